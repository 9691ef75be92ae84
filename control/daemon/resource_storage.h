// The storage's part of a migration, on the source's node: StorageHandover by the engine's verbs
// (docs/migration-coordinator.md "What the storage promises").
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/task.h"
#include "control/migration/storage_handover.h"
#include "replication/engine/resource.h"

namespace baton::control {

// Where the right to write is (the role, and with it the baton or the holder's service), by a
// status of node `self`. Pure.
migration::BatonAt baton_at(const replication::ResourceStatus& status, const std::string& self);
// Whether `self` could hand over to `destination` now; else one sentence. One of the two copies is
// UpToDate; the other one as well, or it is being filled, or it is the source's that has failed.
// Pure.
Result<> can_hand_over(const replication::ResourceStatus& status, const std::string& self,
                       const std::string& destination);

class ResourceStorage final : public migration::StorageHandover {
 public:
  // `changed` is notified after every change of the status. `verbs` owns engine verbs, which run to
  // their end whoever waits for them; it ends before the resource does.
  ResourceStorage(replication::Resource& resource, Clock& clock, Signal& changed, Scope& verbs,
                  std::string self, std::string destination);

  Task<Result<>> prepare(TimePoint deadline) override;
  Task<Result<>> quiesce_and_offer(TimePoint deadline) override;
  Task<migration::HandoverAnswer> grant(TimePoint deadline) override;
  Task<migration::HandoverAnswer> take_back(TimePoint deadline) override;

 private:
  struct Verb;
  migration::BatonAt where() const;
  Task<migration::HandoverAnswer> settled(TimePoint deadline, std::string reason);

  replication::Resource& resource_;
  Clock& clock_;
  Signal& changed_;
  Scope& verbs_;
  std::string self_;
  std::string destination_;
};

}  // namespace baton::control
