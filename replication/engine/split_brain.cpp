// What a split brain is made of, and how an operator ends it (design §5, §8 `resolve`).
#include <fmt/format.h>

#include <algorithm>

#include "replication/engine/engine.h"

namespace baton::replication {

using wire::Type;

namespace {

// The other side dials again after 100 ms and settles; more is the peer's disk or a slow link.
constexpr Duration resolve_patience = std::chrono::seconds(30);

GenerationId last_common(const Lineage& ours, const Lineage& theirs) {
  for (auto at = ours.rbegin(); at != ours.rend(); ++at) {
    if (std::ranges::find(theirs, *at) != theirs.end()) return *at;
  }
  return 0;
}

std::uint64_t bytes_changed(const wire::State& state) {
  std::uint64_t blocks = 0;
  for (const wire::VolumeState& volume : state.volumes) blocks += volume.bits;
  return blocks * blockdev::block_bytes;
}

}  // namespace

// The bits that each side had for the other before it heard of the other's.
SplitBrain Engine::describe_split_brain(const Session& session) const {
  SplitBrain found;
  found.common = last_common(session.own_state_.lineage, session.peer_state_.lineage);
  found.own_bytes = bytes_changed(session.own_state_);
  found.peer_bytes = bytes_changed(session.peer_state_);
  const std::string since = found.common == 0
                                ? "have no generation in common any more"
                                : fmt::format("both wrote since generation {:016x}", found.common);
  found.reason = fmt::format("{} and {} {}: up to {} KiB on {} and {} KiB on {}", config_.self,
                             session.peer_, since, found.own_bytes / 1024, config_.self,
                             found.peer_bytes / 1024, session.peer_);
  return found;
}

Result<> Engine::may_yield() const {
  if (!split_brain_) return failure(fmt::format("{} has no split brain", config_.name));
  if (role_ != Role::primary) return {};
  return failure(
      fmt::format("{} is Primary on {}, whose data would be overwritten: stop what uses it and run "
                  "secondary there first",
                  config_.name, config_.self));
}

void Engine::yield_here() {
  log(Journal::Level::warning,
      fmt::format("resolve: the data of this node yields to that of {}", peer_name_));
  discard_my_data_ = true;
  session_->drop("this node's data yields");
}

void Engine::asked_to_yield(Session& session) {
  const Result<> may = may_yield();
  if (may) return yield_here();
  session.tell({}, Type::yield_refused, std::as_bytes(std::span(may.error().message)));
}

void Engine::yield_refused(std::string reason) {
  yield_refusal_ = std::move(reason);
  gate_changed_.notify_all();
}

Task<Result<>> Engine::resolve_now(std::string keep) {
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  if (keep != config_.self && keep != peer_name_) {
    co_return failure(fmt::format("{} has no node {}; it has {} and {}", config_.name, keep,
                                  config_.self, has_peer() ? peer_name_ : "no other"));
  }
  if (session_ == nullptr || !session_->established()) {
    co_return failure(
        fmt::format("{} is not connected to {}: both nodes have to agree; run "
                    "wait-connect first",
                    config_.name, peer_name_));
  }
  const bool here = keep == peer_name_;
  if (!split_brain_ || here) {
    const Result<> may = may_yield();
    if (!may) co_return may;
  }
  yield_refusal_.reset();
  Session* const before = session_;
  if (here) {
    yield_here();
  } else {
    session_->tell({}, Type::yield);
  }
  // The session of the split brain ends, and the next one knows who yields.
  const TimePoint deadline = env_.clock.now() + resolve_patience;
  bool parted = false;
  while (up_ && !stopping_ && env_.clock.now() < deadline) {
    if (yield_refusal_) co_return failure(*yield_refusal_);
    parted = parted || session_ != before;
    if (parted && replicating_ && sync_ready_) co_return Result<>{};
    const bool again = parted && session_ != nullptr && session_->established() && split_brain_;
    if (again) co_return failure(split_brain_->reason);
    co_await gate_changed_.wait_until(env_.clock, deadline);
  }
  co_return failure(fmt::format("{}: {} does not become SyncTarget: {}", config_.name,
                                here ? config_.self : peer_name_,
                                last_error_.empty() ? "see the log" : last_error_));
}

}  // namespace baton::replication
