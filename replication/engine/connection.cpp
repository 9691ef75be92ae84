// One session after the other: both nodes dial, one link is kept, its loss is made durable before
// anybody is told that a write is done (design §3 rules 4, 5, 8).
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {
namespace {

// design §8 "Both ends dial, back-off 100 ms to 5 s"
constexpr Duration backoff_min = std::chrono::milliseconds(100);
constexpr Duration backoff_max = std::chrono::seconds(5);
// The greeting is quick, but a peer that settles may be writing a large bitmap first.
constexpr int handshake_timeouts = 3;

}  // namespace

Task<> Engine::keep_connected() {
  if (dialling_) co_return;
  dialling_ = true;
  dial_at_ = {};
  backoff_ = backoff_min;
  while (up_ && want_connected_) {
    if (session_ != nullptr || changing_disks_ || short_of_room_) {
      co_await session_changed_.wait();
      continue;
    }
    if (env_.clock.now() < dial_at_) {
      co_await session_changed_.wait_until(env_.clock, dial_at_);
      continue;
    }
    Result<Link> link = co_await env_.links.dial(peer_name_, env_.clock.now() + config_.timeout);
    out_of_reach_ = !link;
    if (link && up_ && want_connected_ && session_ == nullptr && !changing_disks_) {
      Link taken = std::move(*link);
      co_await run_link(std::move(taken), true);
    } else if (!link) {
      dial_later();
      session_changed_.notify_all();
      if (last_error_ == link.error().message) continue;
      last_error_ = link.error().message;
      changed();
    }
  }
  dialling_ = false;
  session_changed_.notify_all();
}

// After every link that came to nothing, whoever dialled it: two nodes that refuse each other would
// else do so without a pause.
void Engine::dial_later() {
  // A little randomness keeps two nodes from dialling each other in step for ever.
  const auto jitter = static_cast<std::int64_t>(env_.random.next() % 1000);
  dial_at_ = env_.clock.now() + backoff_ + backoff_ * jitter / 4000;
  if (mutant("reconnects-without-a-pause")) dial_at_ = {};
  backoff_ = std::min(backoff_ * 2, backoff_max);
}

void Engine::accept(Link link) {
  if (!up_ || !want_connected_ || !has_peer() || changing_disks_) {
    link->close();
    return;
  }
  scope_.spawn(run_link(std::move(link), false));
}

// Drops a link that does not get through its greeting, or through settling, in time.
Task<> Engine::limit_greeting(Session& session, bool& over) {
  const TimePoint deadline = env_.clock.now() + config_.timeout * handshake_timeouts;
  const auto going = [&] { return !over && !session.established_ && !session.dropped_; };
  while (going()) {
    const bool told = co_await session.wake_watch_.wait_until(env_.clock, deadline);
    if (told || !going()) continue;
    reached("handshake-too-long");
    session.drop("the peer did not get through the handshake in time");
  }
}

// Two links can come up at once, because both nodes dial. The one dialled by the node with the
// smaller name stays, unless the peer was restarted: then the older one is dead and yields.
Task<bool> Engine::make_room_for(Session& candidate, bool dialled) {
  while (session_ != nullptr) {
    Session& current = *session_;
    const bool restarted = current.peer_hello_.instance != candidate.peer_hello_.instance;
    const bool preferred = dialled == (config_.self < peer_name_);
    const bool yields = restarted || (!current.established() && preferred);
    if (restarted) reached("link-replaced-by-restarted-peer");
    if (!current.established()) reached("two-links-at-once");
    if (!yields) co_return false;
    current.drop(restarted ? "the peer was restarted" : "another link to the peer is kept");
    while (session_ == &current) co_await session_changed_.wait();
  }
  co_return up_&& want_connected_ && !changing_disks_;
}

Task<> Engine::run_link(Link link, bool dialled) {
  Session session(*this, std::move(link));
  bool over = false;
  session.scope().spawn(limit_greeting(session, over));
  const bool greeted = co_await session.greet();
  bool ran = false;
  if (greeted && short_of_room_) {
    session.refuse(no_room_sentence());
  } else if (greeted) {
    const bool room = co_await make_room_for(session, dialled);
    if (room && !session.dropped_) {
      ran = true;
      session_ = &session;
      // The earlier session's writes are over before this one begins (schedules:
      // old-session-write-lands-late): it was joined before session_ was cleared.
      settling_ = true;
      update_gate();
      // What is said of the lineage and the baton must not change once it is said.
      if (making_generation_ || taking_) reached("settling-waits-for-a-generation");
      while (making_generation_ || taking_) co_await gate_changed_.wait();
      const bool settled = co_await session.settle();
      if (settled && !session.dropped_) {
        settling_ = false;
        co_await session.run();
      }
      settling_ = false;
    } else if (room) {
      session.drop("the link was lost");
    } else {
      session.drop("another link to the peer is kept");
    }
  }
  // A refusal's goodbye leaves before the socket closes; limit_greeting() bounds this.
  co_await session.sender_.emptied();
  over = true;
  session.drop("the link ended");
  co_await session.sender_.stop();
  co_await session.scope().join();
  bytes_replicated_before_ += session.bytes_sent();
  // A link that merely ended says nothing new where a reason is known.
  const bool says_more = session.fault_is_a_reason_ || last_error_.empty();
  if (!session.established_ && says_more && session.fault() != last_error_) {
    last_error_ = session.fault();
    log(Journal::Level::notice, fmt::format("no session with {}: {}", peer_name_, session.fault()));
  }
  if (ran) session_ = nullptr;
  if (ran && session.established_) {
    backoff_ = backoff_min;
    dial_at_ = env_.clock.now() + backoff_min;
  } else if (session_ == nullptr) {
    dial_later();
  }
  update_gate();
  gate_changed_.notify_all();
  session_changed_.notify_all();
  changed();
}

// The link is gone and nothing references the session's buffers any more. First everything that the
// peer may lack becomes durable knowledge, then the writes that waited for the peer complete.
Task<> Engine::session_ended(Session& session) {
  log(Journal::Level::notice,
      fmt::format("session with {} ended: {}", peer_name_, session.fault()));
  last_error_ = session.fault();
  going_alone_ = true;
  const bool took_part = std::exchange(replicating_, false);
  update_gate();
  changed();
  if (took_part) {
    suspension_begins();
    fence_lost_peer();
  }
  bool lacks = false;
  for (auto& volume : volumes_) {
    const bool volume_lacks = volume->session_lost();
    lacks = lacks || volume_lacks;
    volume->syncing = false;
    volume->stop_filling();
  }
  // A copy that was still to be brought up to date is known to lack something.
  if (took_part && !holding_) {
    if (to_be_copied_to_) reached("target-lost-its-source");
    const bool lacks_something = to_be_copied_to_ || short_of_room_;
    unvouched_ = lacks_something ? DiskState::outdated : DiskState::consistent;
    outdated_by_ = lacks_something ? session.peer_state().lineage : Lineage{};
  }
  to_be_copied_to_ = false;
  // Completed writes that the peer may lack, or writes about to be completed without it: a
  // generation at once. Otherwise with the first write that it will miss (rule 8).
  // With a disk of its own that has failed, this node does not go on at all: the peer's copy is the
  // one that counts, and a generation here would make it look like the older one.
  if (took_part && holding_ && has_peer() && peer_has_tip_ && lacks && every_volume_usable() &&
      alone() == OnPeerLost::go_on) {
    if (mutant("done-before-generation")) session.lose_everything();
    co_await make_generation();
  }
  if (took_part) unflushed_there_ = lacks;
  if (took_part) peer_lacks_ = lacks && config_.protocol == Protocol::a;
  session.lose_everything();
  peer_offers_ = false;
  forget_first_write();
  // An offer belongs to its session: the peer has forgotten it, and a grant in a later session
  // would come from somebody who does not know what was written in between.
  if (offering_) reached("offer-lost-with-its-session");
  void_offer("the connection to the other node was lost");
  if (asking_ && !answer_) reached("asked-and-lost");
  if (!answer_) answer_ = failure("the connection to the other node was lost");
  answered_.notify_all();
  verify_changed_.notify_all();
  // What the other node compares there is nothing that this one knows of.
  if (verify_.elsewhere) verify_.running = false;
  going_alone_ = false;
  update_gate();
  gate_changed_.notify_all();
  changed();
}

}  // namespace baton::replication
