// One migration, on the node where the guest runs: the coordinator with its doors, what it shows,
// what it leaves in the log.
#pragma once

#include <memory>
#include <string>

#include "base/runtime/shard.h"
#include "control/config.h"
#include "control/daemon/migration_wish.h"
#include "control/daemon/peer_tunnel.h"
#include "control/daemon/resource_storage.h"
#include "control/migration/coordinator.h"
#include "control/migration_result.h"

namespace baton::control {

// What a migration finds on its node. All of it outlives the migration.
struct MigrationPlace {
  Shard& shard;
  replication::Resource& resource;
  replication::Journal& journal;
  Signal& changed;  // after every change of the resource's status
  Scope& verbs;     // see ResourceStorage
  PeerTunnel& tunnel;
  const ResourceSpec& spec;
  const NodeSpec& node;  // this one
};

class GuestMigration final : migration::MigrationObserver {
 public:
  GuestMigration(const MigrationPlace& place, const NodeSpec& destination, MigrationWish& wish);
  GuestMigration(const GuestMigration&) = delete;
  GuestMigration& operator=(const GuestMigration&) = delete;

  // Completes when it is known where the guest goes on; an error where it is not the destination.
  Task<Result<MigrationResult>> run();
  // Finishes or undoes what a coordinator has left that is no more. A QEMU that cannot be reached
  // is taken for gone. Completes with what became of it, which is in the log.
  Task<migration::State> recover();
  // How run() has ended; idle where no QEMU was spoken to.
  migration::State outcome() const { return outcome_; }
  // Stops it if it can be stopped; run() ends soon in any case.
  void cancel();

 private:
  using Channel = std::unique_ptr<migration::QmpChannel>;
  Task<Result<Channel>> reach_destination();
  Task<migration::MigrationReport> coordinate(Channel source, Channel destination,
                                              migration::MigrationOptions options, bool recover);
  Result<migration::MigrationOptions> options() const;
  std::uint64_t disk_to_go() const;
  Result<MigrationResult> result_of(const migration::MigrationReport& report,
                                    std::uint64_t replicated_before);
  void migration_progress(const migration::MigrationProgress& progress) override;
  void migration_step(const migration::Step& step, migration::EventKind event,
                      std::string_view detail) override;

  MigrationPlace place_;
  const NodeSpec& destination_;
  MigrationWish& wish_;
  migration::Coordinator* coordinator_ = nullptr;  // while it runs
  migration::State outcome_ = migration::State::idle;
};

}  // namespace baton::control
