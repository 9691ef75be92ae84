// What the control plane knows of every resource, and who wants to hear of changes. Lives on the
// control shard; the shards post to it.
#pragma once

#include <boost/intrusive/list.hpp>
#include <map>
#include <string>
#include <vector>

#include "base/runtime/shard.h"
#include "base/task.h"
#include "control/daemon/log.h"
#include "control/status.h"

namespace baton::control {

// Hears every change from the moment it subscribed until it is destroyed.
class Subscriber : public boost::intrusive::list_base_hook<
                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual void heard(const Change& change) = 0;

 protected:
  ~Subscriber() = default;
};

class StatusBoard {
 public:
  explicit StatusBoard(Shard& shard) : shard_(shard), changed_(shard.loop()) {}
  StatusBoard(const StatusBoard&) = delete;
  StatusBoard& operator=(const StatusBoard&) = delete;

  // --- from any thread ---
  void publish(StatusEntry entry);
  // Something to know that is no change of state. About `resource`.
  void note(LogLevel level, std::string resource, std::string text);

  // --- on the control shard ---
  // Null when nothing was published of it yet.
  const StatusEntry* find(const std::string& resource) const;
  const std::map<std::string, StatusEntry>& entries() const { return entries_; }
  // Notified after everything that was published, also when only numbers moved.
  Signal& changed() { return changed_; }
  void subscribe(Subscriber& subscriber) { subscribers_.push_back(subscriber); }

 private:
  void take(StatusEntry entry);
  void tell(const Change& change);
  Shard& shard_;
  Signal changed_;
  std::map<std::string, StatusEntry> entries_;
  boost::intrusive::list<Subscriber, boost::intrusive::constant_time_size<false>> subscribers_;
};

}  // namespace baton::control
