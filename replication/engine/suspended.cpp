// The peer is lost, and the configuration says that writes do not go on without it (on-peer-lost):
// they wait, in order, for its return or for resume-io, and at last fail (rule 11). Flushes go on
// that cover nothing the peer may lack, and reads of everything but such a write that the own disk
// has and that failed for its client. No generation is made meanwhile, so that the peer can be
// promoted in this node's place, once this one is known to be dead or fenced, without a split brain
// (schedules: idle-after-loss).
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {
namespace {

constexpr const char* waits =
    "the other node is lost and on-peer-lost is suspend: resume-io goes on without it";
constexpr const char* fences =
    "the other node is lost, and the fence-peer handler is asked whether it is out";
constexpr const char* fails = "the other node is lost and on-peer-lost is fail";

}  // namespace

OnPeerLost Engine::alone() const {
  const AloneFacts facts{.policy = config_.on_peer_lost,
                         .holds = holding_ && !granted_away_,
                         .has_peer = has_peer(),
                         .replicating = replicating_,
                         .peer_may_go_on = peer_has_tip_,
                         .peer_left = peer_left_,
                         .told_to_go_on = told_to_go_on_};
  return decide_alone(facts).then;
}

bool Engine::suspended() const {
  return role_ == Role::primary && alone() != OnPeerLost::go_on;
}

const char* Engine::suspended_reason() const {
  if (!suspended()) return "";
  if (alone() == OnPeerLost::fail) return fails;
  return fencing_ ? fences : waits;
}

// The writes that wait for the peer wake by themselves when their time is over.
void Engine::suspension_begins() {
  ++losses_;
  for (auto& volume : volumes_) volume->open_.clear();
  if (!suspended()) return;
  log(Journal::Level::warning, fmt::format("writes stop: {}", suspended_reason()));
  changed();
}

// What a write that is past admission waits for before it is submitted anywhere.
Task<IoError> Engine::wait_for_submission(TimePoint deadline, const char** reason) {
  unblock_submission();
  if (!suspended()) {
    co_await gate_changed_.wait();
    co_return IoError::none;
  }
  *reason = suspended_reason();
  if (stopping_) co_return IoError::shutdown;
  if (alone() == OnPeerLost::fail) co_return IoError::io;
  write_is_held(waits);
  const bool told = co_await gate_changed_.wait_until(env_.clock, deadline);
  held_write_goes_on();
  if (told || !suspended()) co_return IoError::none;
  reached("suspended-until-the-deadline");
  co_return IoError::no_space;
}

// A write that was with the peer when it was lost: the own disk has it. It is done when the peer
// has it, in a later session, or when this node goes on alone (its bits were set with the loss).
// The peer may have it as well: no refusal that says otherwise.
Task<IoError> Volume::replicate_again(const blockdev::Request& request, const Piece& piece,
                                      TimePoint deadline, const char** reason) {
  for (;;) {
    if (!engine_.may_write()) {
      const bool says_refused = engine_.served() || mutant("open-write-refused");
      co_return says_refused ? IoError::not_permitted : IoError::io;
    }
    if (failed_ || engine_.cannot_go_alone()) co_return IoError::io;
    if (engine_.submission_blocked()) {
      const IoError error = co_await engine_.wait_for_submission(deadline, reason);
      if (error != IoError::none) {
        open_.push_back({piece.offset, piece.length});
        co_return error == IoError::no_space ? IoError::no_space : IoError::io;
      }
      continue;
    }
    Session* const session = engine_.replicating();
    if (session == nullptr) {
      reached("in-flight-and-resumed");
      bits().set(piece.offset, piece.length);
      co_return IoError::none;
    }
    if (session->window_full() || unflushed_.full()) {
      if (unflushed_.full()) flush_peer_soon();
      co_await session->window_moved().wait();
      continue;
    }
    reached("in-flight-and-sent-again");
    Latch finished;
    SentWrite sent;
    fill_header(sent, request, piece);
    sent.on_sent = nullptr;
    sent.session = session;
    sent.finished = &finished;
    finished.add();
    unflushed_.note(piece.offset, piece.length, false);
    session->send(sent, request.op == blockdev::Op::write ? wire::Type::write : wire::Type::zero);
    co_await finished;
    if (!sent.peer_lost) co_return IoError::none;
  }
}

bool Volume::shows_open_write(std::uint64_t offset, std::uint64_t length) const {
  if (engine_.alone() == OnPeerLost::go_on || mutant("open-write-is-read")) return false;
  return std::ranges::any_of(open_, [&](const OpenWrite& write) {
    return write.offset < offset + length && offset < write.offset + write.length;
  });
}

Task<IoError> Volume::until_settled(std::uint64_t offset, std::uint64_t length) {
  const TimePoint deadline = engine_.env().clock.now() + engine_.fence_hold();
  while (shows_open_write(offset, length)) {
    reached("read-of-an-open-write-waits");
    const bool told = co_await engine_.gate_changed().wait_until(engine_.env().clock, deadline);
    if (!told) co_return IoError::io;
  }
  co_return IoError::none;
}

// The peer's copy may count again, without a generation in between, and may not have on stable
// storage what clients were told of: a flush answered now would be a lie of it (rule 2).
bool Engine::flush_hangs_on_peer() const {
  if (mutant("suspended-flush-is-answered")) return false;
  return unflushed_there_ && suspended() && config_.protocol != Protocol::a;
}

Task<IoError> Engine::wait_for_lost_peer(TimePoint deadline) {
  while (flush_hangs_on_peer()) {
    if (stopping_) co_return IoError::shutdown;
    if (alone() == OnPeerLost::fail) co_return IoError::io;
    write_is_held(waits);
    const bool told = co_await gate_changed_.wait_until(env_.clock, deadline);
    held_write_goes_on();
    if (!told && flush_hangs_on_peer()) co_return IoError::no_space;
  }
  co_return IoError::none;
}

// DRBD's verb: go on without the peer.
Task<Result<>> Engine::resume_io_now() {
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  if (!suspended()) co_return Result<>{};
  log(Journal::Level::warning,
      fmt::format("resume-io: going on without {}; if it was promoted meanwhile, that is a split "
                  "brain",
                  peer_name_));
  told_to_go_on_ = true;
  unblock_submission();
  while (making_generation_) co_await gate_changed_.wait();
  update_gate();
  gate_changed_.notify_all();
  changed();
  if (needs_generation()) {
    co_return failure(
        fmt::format("{} cannot go on alone: its metadata cannot be written; see the "
                    "log",
                    config_.name));
  }
  co_return Result<>{};
}

}  // namespace baton::replication
