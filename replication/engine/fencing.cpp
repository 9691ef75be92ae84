// The operator's handlers: the lost peer is fenced before a holder that waits for it goes on alone,
// and before a copy is promoted that has lived through the loss of its holder. What the handler's
// word is worth: core/fencing.h. docs/replication.md "The peer is fenced".
#include <fmt/format.h>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {
namespace {

std::string code_text(std::optional<int> code) {
  return code ? fmt::format(" (exit code {})", *code) : "";
}

}  // namespace

// DRBD calls it with every loss of the peer, also where the writes do not wait for its word.
void Engine::fence_lost_peer() {
  const bool lost = role_ == Role::primary && holding_ && !replicating_ && !peer_left_ &&
                    peer_has_tip_;  // known to be behind, it cannot go on
  const bool asked = fencing_ || told_to_go_on_ || stopping_;
  if (!lost || asked || !env_.handlers.configured(Handler::fence_peer)) return;
  scope_.spawn(go_on_when_fenced());
}

Task<> Engine::go_on_when_fenced() {
  const std::uint64_t losses = losses_;
  const FenceWord word = co_await ask_fence_handler();
  // Of another loss: that one asks anew.
  if (losses != losses_ && !mutant("old-fencing-counts")) {
    reached("fenced-too-late");
    co_return fence_lost_peer();
  }
  if (!suspended() || !peer_is_out(word)) co_return;
  const Result<> going = co_await resume_io();
  if (!going) log(Journal::Level::error, going.error().message);
}

// One question at a time; whoever comes while one is on its way takes its answer.
Task<FenceWord> Engine::ask_fence_handler() {
  if (!fencing_) {
    fencing_ = true;
    fence_word_ = FenceWord::failed;
    log(Journal::Level::warning, fmt::format("fence-peer: asking for {}", peer_name_));
    changed();
    const std::optional<int> code = co_await env_.handlers.run(Handler::fence_peer);
    fence_word_ = fence_word(code);
    fencing_ = false;
    log(Journal::Level::warning, fmt::format("fence-peer says of {}: {}{}", peer_name_,
                                             sentence_of(fence_word_), code_text(code)));
    if (peer_is_out(fence_word_)) fenced_peer_ = true;
    gate_changed_.notify_all();
    changed();
  } else {
    while (fencing_) co_await gate_changed_.wait();
  }
  co_return stopping_ ? FenceWord::failed : fence_word_;
}

// A holder goes on alone behind a goodbye, and a copy that was restarted does not know what has
// happened meanwhile: the other one may be the right one, and must not be shot for nothing.
bool Engine::fencing_would_do() const {
  const bool lived_through = arrival_ == Arrival::lived_through || mutant("restarted-copy-fences");
  const bool left = peer_left_ && !mutant("fences-behind-a-goodbye");
  return env_.handlers.configured(Handler::fence_peer) && lived_through && !left;
}

// The peer is back, and has everything.
void Engine::peer_is_whole() {
  if (!std::exchange(fenced_peer_, false)) return;
  reached("peer-unfenced");
  if (env_.handlers.configured(Handler::unfence_peer)) env_.handlers.start(Handler::unfence_peer);
}

// DRBD's verb, for handlers that reach this node by another way: it does not become Primary
// without force before it has met the other one.
Task<Result<>> Engine::outdate_now() {
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  if (role_ == Role::primary || holding_) {
    co_return failure(fmt::format("{} cannot be outdated on {}: this node {}; ask the other one",
                                  config_.name, config_.self,
                                  role_ == Role::primary ? "is Primary" : "holds the baton"));
  }
  if (replicating_) {
    co_return failure(
        fmt::format("{} cannot be outdated on {}: it is connected to {}; what is "
                    "written there is written here",
                    config_.name, config_.self, peer_name_));
  }
  if (!complete()) co_return Result<>{};  // less than that already
  unvouched_ = DiskState::outdated;
  outdated_ = true;
  const bool durable = co_await commit();
  tell_status();
  changed();
  if (!durable) {
    co_return failure(
        fmt::format("the metadata of {} cannot be written; see the log", config_.name));
  }
  log(Journal::Level::notice, "Outdated, as the operator or a handler said");
  co_return Result<>{};
}

}  // namespace baton::replication
