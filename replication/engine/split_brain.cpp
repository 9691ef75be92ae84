// What a split brain is made of, and how an operator ends it (design §5, §8 `resolve`).
#include "replication/core/split_brain.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "replication/engine/engine.h"

namespace baton::replication {

using wire::Type;

namespace {

// Header::flags of yield: nothing is kept of what is overwritten.
constexpr std::uint32_t flag_no_undo = 1U << 18U;

// The other side dials again after 100 ms and settles; more is the peer's disk or a slow link.
constexpr Duration resolve_patience = std::chrono::seconds(30);

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

// Nobody has been told: what the configuration says about such a case, if anything.
void Engine::ask_policy(Session& session) const {
  const wire::State& own = session.own_state_;
  const wire::State& peer = session.peer_state_;
  if (own.discard_my_data || peer.discard_my_data) return;
  const auto side = [](const std::string& name, const wire::State& state) {
    return SplitSide{.name = name,
                     .role = state.primary ? Role::primary : Role::secondary,
                     .epoch = state.epoch.number,
                     .bytes_changed = bytes_changed(state),
                     .complete = state.complete};
  };
  const YieldVerdict verdict = decide_after_split_brain(config_.after_sb, side(config_.self, own),
                                                        side(session.peer_, peer));
  session.yields = verdict.who;
  if (verdict.lost_primary != Yields::nobody) {
    const bool here = verdict.lost_primary == Yields::self;
    env_.journal.line(
        Journal::Level::warning,
        fmt::format("after-sb: {} is Primary and has lost: {}", here ? config_.self : session.peer_,
                    here ? "pri-lost-after-sb is run" : "its pri-lost-after-sb is run"));
    if (here) env_.handlers.start(Handler::pri_lost_after_sb);
  }
  if (verdict.who == Yields::nobody) return;
  env_.journal.line(Journal::Level::warning,
                    fmt::format("after-sb: {}, so the data of {} yields", verdict.row,
                                verdict.who == Yields::self ? config_.self : session.peer_));
}

// At the begin of a split brain's session: by a word that was given before, or by the policy.
void Engine::yield_unasked(Session& session) {
  if (session.yields == Yields::self && !discard_my_data_ && may_yield()) {
    reached("yields-by-policy");
    yield_answer_ = 0;
    return yield_here(true);
  }
  keep_undo_soon();
}

Result<> Engine::may_yield() const {
  if (!split_brain_) return failure(fmt::format("{} has no split brain", config_.name));
  if (role_ != Role::primary) return {};
  return failure(
      fmt::format("{} is Primary on {}, whose data would be overwritten: stop what uses it and run "
                  "secondary there first",
                  config_.name, config_.self));
}

// In the session of the split brain. With `undo` it goes on until what differs is kept.
void Engine::yield_here(bool undo) {
  give_word(undo);
  if (undo_first()) return keep_undo_soon();
  log(Journal::Level::warning,
      fmt::format("resolve: the data of this node yields to that of {}", peer_name_));
  session_->drop("this node's data yields");
}

void Engine::asked_to_yield(const wire::Header& header, Session& session) {
  const Result<> may = may_yield();
  if (may) {
    yield_answer_ = header.number;
    return yield_here((header.flags & flag_no_undo) == 0);
  }
  wire::Header refusal;
  refusal.number = header.number;
  session.tell(refusal, Type::yield_refused, std::as_bytes(std::span(may.error().message)));
}

// To an earlier question the answer may come late: what it was about is over.
void Engine::yield_refused(const wire::Header& header, std::string reason) {
  if (header.number != yield_asked_) return;
  yield_refusal_ = std::move(reason);
  gate_changed_.notify_all();
}

Task<Result<>> Engine::resolve_now(std::string keep, bool undo) {
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
    yield_answer_ = 0;
    yield_here(undo);
  } else {
    take_word_back();  // an earlier one, that this node's data yields
    wire::Header header;
    header.number = ++yield_asked_;
    header.flags = undo ? 0 : flag_no_undo;
    session_->tell(header, Type::yield);
  }
  // The session of the split brain ends, as soon as what differs is kept, however long that takes;
  // and the next one knows who yields.
  TimePoint deadline = TimePoint::never();
  bool parted = false;
  while (up_ && !stopping_ && env_.clock.now() < deadline) {
    if (yield_refusal_) co_return failure(*yield_refusal_);
    parted = parted || session_ != before;
    if (parted && replicating_ && sync_ready_) co_return Result<>{};
    if (parted && in_split_brain() && !yielding_) co_return failure(split_brain_->reason);
    if (parted && !yielding_ && deadline == TimePoint::never()) {
      deadline = env_.clock.now() + resolve_patience;
    }
    co_await gate_changed_.wait_until(env_.clock, deadline);
  }
  co_return failure(fmt::format("{}: {} does not become SyncTarget: {}", config_.name,
                                here ? config_.self : peer_name_,
                                last_error_.empty() ? "see the log" : last_error_));
}

}  // namespace baton::replication
