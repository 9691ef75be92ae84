// Who may write now, and what held writes wait for (design §4; rules 3 and 11).
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {

void Engine::update_gate() {
  const bool open = up_ && !stopping_ && may_write() && !granted_away_ && !quiescing_ &&
                    !leaving_disk_ && !changing_disks_ && !going_alone_ && !settling_ &&
                    !needs_generation();
  const bool opened = open && !admits_;
  admits_ = open;
  if (opened) gate_changed_.notify_all();
}

// A client's write at a node that does not admit it at once. Bounded by one deadline, counted from
// the request's arrival (rule 11).
Task<IoError> Engine::admission(ClientDevice& client, TimePoint deadline, const char** reason) {
  if (forwards() && !fenced(client)) co_return IoError::none;
  const TimePoint arrived = env_.clock.now();
  hold(held_writes_, "");
  IoError error = IoError::none;
  bool in_window = false;
  const char* not_come = nullptr;  // the role was waited for
  while (fenced(client) || (!admits_ && !forwards())) {
    const char* why = "";
    if (!up_ || stopping_ || (leaving_ && !may_write())) {
      error = IoError::shutdown;
      break;
    }
    if (may_write() && cannot_go_alone() && !may_be_served() && !changing_disks_) {
      *reason = "a disk of this node has failed; the other node's copy is the one to go on with";
      error = IoError::io;
      break;
    }
    if (fenced(client)) {
      why = "the baton has been elsewhere since this client was attached";
    } else if (granted_away_) {
      why = "the baton is on its way to the other node";
    } else if (changing_disks_) {
      why = "this node's disks are being opened or closed";
    } else if (leaving_disk_) {
      why = "this node's disk has failed, and the other node takes over";
    } else if (quiescing_ && served_) {
      why = quiesce_reason_;
      if (offering_ && !mutant("served-write-spares-the-offer")) {
        reached("offer-voided-by-a-served-write");
        void_offer("a client here wrote first");
        continue;
      }
    } else if (served_) {
      why = config_.two_primaries ? "the other node, which holds the baton, cannot be reached"
                                  : "the other node, which has this node's disk, cannot be reached";
    } else if (may_write() && cannot_go_alone()) {
      why = "a disk of this node has failed, and the other node cannot be reached";
    } else if (may_write()) {
      why = quiescing_ ? quiesce_reason_ : "the loss of the other node is being recorded";
      if (suspended() && !quiescing_) why = suspended_reason();
      if (suspended() && alone() == OnPeerLost::fail) {
        *reason = why;
        error = IoError::io;
        break;
      }
      if (offering_) {
        reached("offer-voided-by-own-write");
        void_offer("a client here wrote first");
      }
      if (admits_) break;
      unblock_submission();
    } else if (peer_offers_) {
      why = "the other node was asked for the baton";
      not_come = "the guest on the other node goes on";
      if (!asking_) scope_.spawn(take_for_first_write());
    } else if (window_open_) {
      if (!std::exchange(in_window, true)) ++writes_in_window_;
      why = "the other node is asked for the role (handover window)";
      not_come = "the handover window was closed before the role came here";
      if (can_ask_in_window()) scope_.spawn(ask_in_window());
    } else if ((resume_primary_ || resume_shared_) && want_connected_ &&
               !mutant("refused-before-the-role-is-back")) {
      // A guest whose daemon was restarted under it: an error would reach its file system.
      reached("write-held-until-the-role-is-back");
      why = "this node was Primary before its restart, and waits for the other node's word";
      not_come = "this node was Primary before its restart, and is not any more";
    } else if (not_come != nullptr) {
      *reason = not_come;
      error = IoError::no_space;
      break;
    } else {
      *reason = "this node is Secondary and does not hold the baton";
      error = IoError::not_permitted;
      if (!std::exchange(client.refusal_logged, true)) {
        log(Journal::Level::warning,
            fmt::format("a write of {} is refused: this node is Secondary and does not hold the "
                        "baton; batonctl primary or handover brings it here",
                        client.name()));
      }
      break;
    }
    held_writes_.reason = why;
    changed();
    const bool told = co_await gate_changed_.wait_until(env_.clock, deadline);
    if (!told && (fenced(client) || (!admits_ && !forwards()))) {
      reached("write-held-until-its-deadline");
      *reason = why;
      // ENOSPC pauses a QEMU guest under its default policy; EIO would reach its filesystem.
      error = IoError::no_space;
      break;
    }
  }
  go_on(held_writes_);
  held_longest_ = std::max(held_longest_, env_.clock.now() - arrived);
  // The question is taken back when nobody waits for its answer any more.
  if (in_window && --writes_in_window_ == 0) gate_changed_.notify_all();
  co_return error;
}

// The first write that the peer will miss is here: the generation comes first.
void Engine::unblock_submission() {
  if (!needs_generation() || making_generation_ || going_alone_ || settling_) return;
  if (cannot_go_alone() || suspended()) return;
  // The other node may write by now: a generation here, of nothing, would be a split brain
  // (schedules: grant-read-after-a-long-pause).
  if (granted_away_) {
    reached("no-generation-behind-a-grant");
    return;
  }
  making_generation_ = true;
  struct Run {
    static Task<> make(Engine& engine) {
      co_await engine.make_generation();
      engine.making_generation_ = false;
      engine.update_gate();
      engine.gate_changed_.notify_all();
    }
  };
  scope_.spawn(Run::make(*this));
}

// Rule 8. Durable in every volume before any write in it completes.
Task<bool> Engine::make_generation() {
  const bool durable = co_await begin_generation("going on without " + peer_name_);
  if (!durable) {
    reached("generation-not-durable");
    // What the disk says is what the peer may have: nothing is done on top of it by this node
    // alone.
    peer_has_tip_ = true;
    co_return false;
  }
  peer_has_tip_ = unmet_ = false;
  wrote_alone_ = true;
  co_return true;
}

Task<bool> Engine::begin_generation(std::string why) {
  // The new generation overrules every copy that lacks it, so nothing acknowledged before it may
  // hang on this disk's cache: a power cut would take it back here, and then from the peer.
  for (auto& volume : volumes_) {
    if (!volume->attached() || volume->failed()) continue;
    if (mutant("generation-on-unflushed-data")) continue;
    blockdev::Request flush;
    flush.op = blockdev::Op::flush;
    co_await perform(volume->disk(), flush);
    if (flush.error != IoError::none) co_await flush_failed(*volume);
  }
  const GenerationId id = env_.random.next_id();
  Lineage keep{slot_.base_id, slot_.told_id};
  append_generation(lineage_, id, blockdev::lineage_max, keep);
  slot_.behind = true;
  log(Journal::Level::notice, fmt::format("{}: new generation {:016x}", why, id));
  co_return mutant("generation-not-persisted") || co_await commit();
}

bool Engine::reads_own_copy() const {
  if (mutant("target-serves-local-reads")) return !lineage_.empty();
  if (mutant("secondary-serves-local-reads")) return complete();
  return holding_ && !granted_away_ && complete() && every_volume_usable();
}

Session* Engine::holder_session() {
  // A node to be copied to must not show what only the holder has before the holder has flushed it
  // and this copy is durably a target: else it could outlive the holder and count as complete.
  const bool early = to_be_copied_to_ && !sync_ready_;
  const bool usable = session_ != nullptr && session_->established() && session_->peer_holding &&
                      (replicating_ || session_->service) && !early;
  return usable ? session_ : nullptr;
}

// Rule 7: a node that does not hold the baton asks the holder; it waits briefly for one.
Task<Session*> Engine::wait_for_holder_session(TimePoint deadline, blockdev::Op op) {
  const auto waits = [this] { return holder_session() == nullptr && !reads_own_copy() && up_; };
  if (!waits()) co_return holder_session();
  HeldRequests& held = op == blockdev::Op::read ? held_reads_ : held_writes_;
  hold(held, "the other node, which holds the baton, cannot be reached");
  while (waits() && co_await gate_changed_.wait_until(env_.clock, deadline)) {
  }
  go_on(held);
  co_return holder_session();
}

void Engine::hold(HeldRequests& held, const char* why) {
  if (held.count++ == 0) held.since = env_.clock.now();
  held.reason = why;
  changed();
}

void Engine::go_on(HeldRequests& held) {
  if (--held.count == 0) held.reason = "";
  changed();
}

}  // namespace baton::replication
