#include "control/daemon/resource_storage.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace baton::control {

using migration::BatonAt;
using migration::HandoverAnswer;
using namespace replication;

namespace {

// For the guest it is the role that counts: it moves alone to or from a copy that is not whole.
bool peer_is_primary(const ResourceStatus& status) {
  return std::ranges::any_of(status.connections, [](const ConnectionStatus& connection) {
    return connection.peer_role == Role::primary;
  });
}

// A copy that is not whole is good enough on one side: the holder serves it while it is filled.
Result<> usable_copies(const ResourceStatus& status, const std::string& self,
                       const ConnectionStatus& connection) {
  for (std::size_t i = 0; i < connection.peer_devices.size(); ++i) {
    const PeerVolumeStatus& there = connection.peer_devices[i];
    if (there.peer_disk_state == DiskState::up_to_date) continue;
    if (there.replication_state != ReplicationState::sync_source) {
      return failure(
          fmt::format("the copy on {} is not UpToDate, and nothing is being copied to it: run "
                      "batonctl wait-sync {}",
                      connection.name, status.name));
    }
    if (i < status.devices.size() && status.devices[i].disk_state == DiskState::up_to_date)
      continue;
    return failure(fmt::format("the copy on {} is not UpToDate: run batonctl wait-sync {}", self,
                               status.name));
  }
  return {};
}

}  // namespace

BatonAt baton_at(const ResourceStatus& status, const std::string& self) {
  if (status.baton_in_flight || status.baton_holder.empty()) return BatonAt::undecided;
  if (status.role == Role::primary) return BatonAt::source;
  const bool there = status.baton_holder != self || peer_is_primary(status);
  return there ? BatonAt::destination : BatonAt::undecided;
}

Result<> can_hand_over(const ResourceStatus& status, const std::string& self,
                       const std::string& destination) {
  const std::string& name = status.name;
  if (!status.up) return failure(fmt::format("it is down on {}: run batonctl up {}", self, name));
  for (const ConnectionStatus& connection : status.connections) {
    if (connection.name != destination) continue;
    if (connection.split_brain) {
      return failure(fmt::format("{} and {} have split brain: run batonctl resolve {} --keep NODE",
                                 self, destination, name));
    }
    if (connection.connection_state != ConnectionState::connected) {
      const std::string why =
          connection.last_error.empty() ? "" : fmt::format(" ({})", connection.last_error);
      return failure(fmt::format("{} is not connected to {}{}: run batonctl wait-connect {}", self,
                                 destination, why, name));
    }
    if (connection.peer_role == Role::primary && status.role == Role::primary) {
      return failure(
          fmt::format("{} is Primary on both nodes, so nothing has to be handed over: "
                      "migrate it without batonctl, or run batonctl secondary {} on {}",
                      name, name, destination));
    }
    if (auto usable = usable_copies(status, self, connection); !usable) return usable;
  }
  if (baton_at(status, self) != BatonAt::source) {
    return failure(fmt::format("{} is not Primary on {}", name, self));
  }
  if (status.window_open) return failure("it is being offered to the other node already");
  return {};
}

// An engine's verb under way. Shared, because it may outlive whoever waits for it.
struct ResourceStorage::Verb {
  explicit Verb(Signal& its_changed) : changed(its_changed) {}
  Signal& changed;
  std::optional<Result<>> answer;
  bool abandoned = false;

  static Task<> offer(Resource& resource, std::shared_ptr<Verb> verb) {
    const Result<> offered = co_await resource.offer();
    // Nobody waits for it any more, and nobody would ever end it.
    if (offered && verb->abandoned) co_await resource.withdraw_offer();
    verb->answer = offered;
    verb->changed.notify_all();
  }
  static Task<> grant(Resource& resource, std::shared_ptr<Verb> verb) {
    verb->answer = co_await resource.grant_offered();
    verb->changed.notify_all();
  }
};

ResourceStorage::ResourceStorage(Resource& resource, Clock& clock, Signal& changed, Scope& verbs,
                                 std::string self, std::string destination)
    : resource_(resource),
      clock_(clock),
      changed_(changed),
      verbs_(verbs),
      self_(std::move(self)),
      destination_(std::move(destination)) {}

BatonAt ResourceStorage::where() const {
  return baton_at(resource_.status(), self_);
}

Task<Result<>> ResourceStorage::prepare(TimePoint /*deadline*/) {
  co_return can_hand_over(resource_.status(), self_, destination_);
}

Task<Result<>> ResourceStorage::quiesce_and_offer(TimePoint deadline) {
  // The checks once more: the link may have been lost while memory was copied.
  if (auto ready = can_hand_over(resource_.status(), self_, destination_); !ready) co_return ready;
  const auto verb = std::make_shared<Verb>(changed_);
  verbs_.spawn(Verb::offer(resource_, verb));
  bool in_time = true;
  while (in_time && !verb->answer) in_time = co_await changed_.wait_until(clock_, deadline);
  if (const auto answer = verb->answer) co_return *answer;
  verb->abandoned = true;
  co_return failure("the writes under way did not finish in time");
}

// Until it is known where the baton is.
Task<HandoverAnswer> ResourceStorage::settled(TimePoint deadline, std::string reason) {
  bool in_time = true;
  while (in_time && where() == BatonAt::undecided) {
    in_time = co_await changed_.wait_until(clock_, deadline);
  }
  HandoverAnswer answer{.baton = where(), .reason = std::move(reason)};
  if (answer.baton == BatonAt::undecided && answer.reason.empty()) {
    answer.reason = fmt::format("{} has not said whether it took it", destination_);
  }
  co_return answer;
}

Task<HandoverAnswer> ResourceStorage::grant(TimePoint deadline) {
  const ResourceStatus status = resource_.status();
  const bool open = baton_at(status, self_) == BatonAt::source && status.window_open;
  // Taken by a first write, on its way to one, or void: nothing to do but to say which.
  if (!open) co_return co_await settled(deadline, "the offer is not open any more");
  const auto verb = std::make_shared<Verb>(changed_);
  verbs_.spawn(Verb::grant(resource_, verb));
  bool in_time = true;
  while (in_time && !verb->answer) in_time = co_await changed_.wait_until(clock_, deadline);
  std::string reason;
  if (const auto answer = verb->answer; answer && !*answer) reason = answer->error().message;
  co_return co_await settled(deadline, std::move(reason));
}

Task<HandoverAnswer> ResourceStorage::take_back(TimePoint deadline) {
  HandoverAnswer answer = co_await settled(deadline, "");
  if (answer.baton != BatonAt::source) co_return answer;
  const Result<> withdrawn = co_await resource_.withdraw_offer();
  if (withdrawn) co_return answer;
  // A first write at the destination was quicker.
  co_return co_await settled(deadline, withdrawn.error().message);
}

}  // namespace baton::control
