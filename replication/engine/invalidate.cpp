// A copy is given up: it is Inconsistent from then on, durably, and filled anew from the node that
// holds the baton. `invalidate` gives up the own one, `invalidate-remote` the peer's, which then
// does the same as if it had been asked there.
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {

Result<> Engine::may_invalidate() const {
  if (role_ == Role::primary) {
    return failure(
        fmt::format("{} is Primary here; demote it before its data is invalidated", config_.name));
  }
  if (session_ == nullptr || !replicating_ || holding_) {
    return failure(
        fmt::format("{} can be invalidated only while another node that holds the baton is "
                    "connected: it is the one to copy from",
                    config_.name));
  }
  const bool disks = std::ranges::all_of(volumes_, [](const auto& v) { return v->attached(); });
  if (!disks) {
    return failure(fmt::format("{} has no disk on {} whose data could be given up; attach it first",
                               config_.name, config_.self));
  }
  if (giving_up_) {
    return failure(fmt::format(
        "the copy of {} on {} is being given up already; wait-sync waits until it is filled anew",
        config_.name, config_.self));
  }
  return {};
}

// The next session settles as with an incomplete copy, so the word becomes durable where every
// target becomes one: behind the source's flush. What was acknowledged by both disks' caches would
// else hang on one of them (seeds 1004290, 1004380).
Task<Result<>> Engine::invalidate_now() {
  Result<> ready = co_await not_settling();
  if (ready) ready = may_invalidate();
  if (!ready) co_return ready;
  giving_up_ = true;
  session_->drop("this node's copy is given up");
  if (mutant("given-up-before-the-flush")) {
    towards_ = lineage_;
    inconsistent_.assign(volumes_.size(), true);
    co_await commit();
  }
  const TimePoint deadline = env_.clock.now() + config_.timeout * 4;
  while (gives_copy_up() && up_ && !stopping_) {
    const bool told = co_await gate_changed_.wait_until(env_.clock, deadline);
    if (!told) break;
  }
  const bool given_up = !std::exchange(giving_up_, false);
  if (given_up) co_return Result<>{};
  if (holding_ || role_ == Role::primary) {
    reached("invalidate-met-a-handover");
    co_return failure(fmt::format("{} has taken the baton of {} meanwhile; nothing was given up",
                                  config_.self, config_.name));
  }
  reached("invalidate-not-settled");
  co_return failure(
      fmt::format("{} has not begun to fill this node's copy of {} anew, so it was not given up; "
                  "connect the nodes and say it again",
                  peer_name_, config_.name));
}

Result<> Engine::may_invalidate_peer() const {
  const bool connected = session_ != nullptr && session_->established() && replicating_;
  if (!connected) {
    return failure(
        fmt::format("the copy on {} can be invalidated only while it is connected: it is filled "
                    "anew from here",
                    peer_name_.empty() ? "another node" : peer_name_));
  }
  if (session_->peer_role == Role::primary) {
    return failure(fmt::format("{} is Primary on {}; demote it before its data is invalidated",
                               config_.name, peer_name_));
  }
  if (!holding_ || granted_away_ || !every_volume_usable() || !complete()) {
    return failure(
        fmt::format("the copy on {} can be invalidated only by the node that holds the baton and "
                    "is UpToDate: it is the one to copy from",
                    peer_name_));
  }
  const bool syncing =
      std::ranges::any_of(volumes_, [](const auto& volume) { return volume->syncing; });
  if (syncing) {
    return failure(fmt::format("the copy on {} is being filled already", peer_name_));
  }
  return {};
}

// Done when the peer is filled anew: it has recorded, durably, that it is no copy.
Task<Result<>> Engine::invalidate_remote_now() {
  Result<> ready = co_await not_settling();
  if (ready) ready = may_invalidate_peer();
  if (!ready) co_return ready;
  const std::uint64_t fills = fills_begun_;
  invalidate_refusal_.reset();
  session_->tell({}, wire::Type::invalidate_ask);
  const TimePoint deadline = env_.clock.now() + config_.timeout * 4;
  while (fills_begun_ == fills && !invalidate_refusal_ && up_ && !stopping_) {
    const bool told = co_await gate_changed_.wait_until(env_.clock, deadline);
    if (!told) break;
  }
  if (fills_begun_ != fills) co_return Result<>{};
  if (invalidate_refusal_) co_return failure(*invalidate_refusal_);
  reached("invalidate-remote-unanswered");
  co_return failure(fmt::format(
      "{} has not said whether it has given its copy up; status shows what it is", peer_name_));
}

void Engine::asked_to_invalidate() {
  scope_.spawn(invalidate_for_peer());
}

Task<> Engine::invalidate_for_peer() {
  const Result<> done = co_await invalidate();
  if (done || session_ == nullptr || !session_->established()) co_return;
  reached("invalidate-remote-refused");
  const std::string& why = done.error().message;
  session_->tell({}, wire::Type::invalidate_refused,
                 std::as_bytes(std::span(why.data(), std::min<std::size_t>(why.size(), 1000))));
}

void Engine::invalidate_refused(std::string why) {
  invalidate_refusal_ = std::move(why);
  gate_changed_.notify_all();
}

}  // namespace baton::replication
