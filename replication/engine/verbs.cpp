// What an operator asks for: down, primary, secondary, connect, disconnect (design §8;
// DRBD's meanings where DRBD has the verb).
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {

namespace {

// Design §8 `primary`: before refusing because the peer is Primary.
constexpr Duration role_patience = std::chrono::milliseconds(500);

// For the peer to hear that this node leaves.
constexpr Duration goodbye_patience = std::chrono::seconds(1);

}  // namespace

// While two nodes compare what they have, nothing may change under that; it takes milliseconds, and
// is bounded by the handshake's own limit. Nor while the disks are opened or closed.
Task<Result<>> Engine::not_settling() {
  while (settling_ || going_alone_ || changing_disks_) co_await session_changed_.wait();
  if (!up_) co_return failure(fmt::format("{} is not up on this node", config_.name));
  co_return Result<>{};
}

// The disks are not closed under a verb that flushes or writes them.
Task<Result<>> Engine::using_disks(Task<Result<>> verb) {
  if (stopping_) co_return failure(fmt::format("{} is going down on this node", config_.name));
  ++verbs_running_;
  Result<> result = co_await std::move(verb);
  --verbs_running_;
  session_changed_.notify_all();
  co_return result;
}

Task<Result<>> Engine::take_alone(bool force_generation, Fence fence) {
  // A holder in session with its peer only changes its role. A number that the peer has not been
  // told would make it refuse the next write.
  const bool told =
      session_ != nullptr && session_->established() && (replicating_ || session_->service);
  const bool held_in_session = holding_ && told && epoch_.holder == config_.self;
  // One above the highest that either side has seen, also in a greeting that came to nothing.
  if (!held_in_session) epoch_ = {std::max(epoch_.number, epoch_seen_) + 1, config_.self};
  if (force_generation) {
    // Forced on an incomplete copy: whatever it is, it is a history of its own (rule 8).
    const Lineage& lacks = towards_.empty() ? outdated_by_ : towards_;
    if (!mutant("forced-copy-keeps-its-tip")) lineage_ = half_way_history(lineage_, lacks);
    append_generation(lineage_, env_.random.next_id(), blockdev::lineage_max,
                      {slot_.base_id, slot_.told_id});
    towards_.clear();
    inconsistent_.assign(volumes_.size(), false);
    outdated_ = false;
    slot_.behind = true;
    peer_has_tip_ = unmet_ = false;
    wrote_alone_ = true;
  }
  const Role before = std::exchange(role_, Role::primary);
  taking_ = true;
  const bool durable = co_await commit();
  taking_ = false;
  gate_changed_.notify_all();
  if (!durable) {
    role_ = before;
    co_return failure(
        fmt::format("the metadata of {} cannot be written; see the log", config_.name));
  }
  holding_ = true;
  granted_away_ = false;
  served_ = false;
  resume_primary_ = false;
  take_word_back();  // about data that is now the disk's
  log(Journal::Level::notice, fmt::format("Primary, epoch {}", epoch_.number));
  role_is_here(fence);
  close_window("this node is Primary");
  update_gate();
  tell_status();
  changed();
  fence_lost_peer();
  co_return Result<>{};
}

Task<Result<>> Engine::start_fresh() {
  // The root, and the first generation.
  if (lineage_.empty()) lineage_ = {env_.random.next_id(), env_.random.next_id()};
  inconsistent_.assign(volumes_.size(), false);
  unvouched_ = DiskState::consistent;
  // The other copy, whatever it is, is not this one.
  slot_.behind = has_peer();
  slot_.base_id = 0;
  peer_has_tip_ = unmet_ = false;
  Result<> taken = co_await take_alone(false, Fence::stays);
  // A session that waited for this is settled anew: now there is something to copy.
  if (taken && session_ != nullptr) session_->drop("the first generation was made");
  co_return taken;
}

// What the last session had received lands first: a block does not change by itself under a reader
// (schedules: promoted-under-received-writes).
Task<Result<>> Engine::received_writes_over() {
  const TimePoint patience = env_.clock.now() + config_.timeout * 2;
  while (session_ != nullptr && session_->dropped() && !mutant("promoted-under-received-writes")) {
    const bool told = co_await session_changed_.wait_until(env_.clock, patience);
    if (told || session_ == nullptr || !session_->dropped()) continue;
    co_return failure(fmt::format(
        "{} cannot become Primary on {}: its disk is still writing what it had received "
        "from {}; try again when it is faster",
        config_.name, config_.self, peer_name_));
  }
  co_return co_await not_settling();
}

// The peer may just have become Secondary, or died (design §8 `primary`).
Task<> Engine::hear_of_peers_role() {
  const TimePoint deadline = env_.clock.now() + role_patience;
  const auto primary = [this] {
    return session_ != nullptr && session_->established() && session_->peer_role == Role::primary;
  };
  const bool serves_here = role_ == Role::primary;
  while (primary() && !serves_here && !config_.two_primaries && env_.clock.now() < deadline) {
    co_await gate_changed_.wait_until(env_.clock, deadline);
  }
}

// It is on its way, or its holder has yet to flush what it is going to copy here: a round trip
// later the answer is another one.
Task<> Engine::baton_arrives() {
  const TimePoint deadline = env_.clock.now() + config_.timeout;
  const auto moves = [this] {
    const bool connected = session_ != nullptr && session_->established();
    return connected && (granted_away_ || (to_be_copied_to_ && !sync_ready_));
  };
  while (moves()) {
    const bool told = co_await gate_changed_.wait_until(env_.clock, deadline);
    if (!told) break;
  }
}

// Both may be promoted at once: who comes second joins the other.
Task<Result<>> Engine::take_or_share(PromoteOptions options, bool fenced) {
  Result<> taken = co_await ask_peer_for_baton(Ask::promotion);
  if (taken || !config_.two_primaries) co_return taken;
  const auto there = [this] {
    return session_ != nullptr && session_->established() && session_->peer_role == Role::primary;
  };
  // It is heard of when it is durable there.
  const TimePoint deadline = env_.clock.now() + role_patience;
  while (!there() && env_.clock.now() < deadline) {
    co_await gate_changed_.wait_until(env_.clock, deadline);
  }
  if (there()) co_return co_await promote_now(options, fenced);
  co_return taken;
}

// `fenced`: by the handler, just now.
Task<Result<>> Engine::promote_now(PromoteOptions options, bool fenced) {
  Result<> ready = co_await not_settling();
  const bool can_ask = want_connected_ || starting_;
  if (ready && unmet_ && can_ask && !mutant("promotes-before-it-hears")) co_await hear_peer();
  if (ready) co_await hear_of_peers_role();
  if (ready) ready = co_await not_settling();
  if (ready) ready = co_await received_writes_over();
  if (ready && !options.force) co_await baton_arrives();
  if (!ready) co_return ready;
  const bool connected = session_ != nullptr && session_->established();
  PromotionFacts facts;
  facts.already_primary =
      role_ == Role::primary && ((holding_ && !granted_away_) || (served_ && holder_session()));
  facts.connected = connected && replicating_;
  facts.peer_primary = connected && (session_->peer_role == Role::primary || session_->role_given);
  facts.peer_holds = holder_session() != nullptr && !granted_away_;
  facts.disk = DiskState::up_to_date;
  for (const auto& volume : volumes_) facts.disk = std::min(facts.disk, disk_state(*volume));
  facts.fresh = lineage_.empty() && towards_.empty();
  facts.peer_has_data =
      connected && (session_->peer_state().adopted || !session_->peer_state().lineage.empty());
  facts.split_brain = split_brain_.has_value();
  facts.two_primaries = config_.two_primaries;
  facts.holding = holding_ && !granted_away_;
  facts.force = options.force;
  facts.confirmed = options.confirmed;
  facts.fenced = fenced;
  facts.may_fence = !fenced && !connected && fencing_would_do();
  const PromotionVerdict verdict = decide_promotion(facts);
  switch (verdict.action) {
    case PromotionAction::nothing:
      co_return lift_fence();
    case PromotionAction::start_fresh:
      co_return co_await start_fresh();
    case PromotionAction::take_alone: {
      if (facts.force || facts.fenced) {
        log(Journal::Level::warning, fmt::format("promoted without the peer: {}", verdict.row));
        told_to_go_on_ = true;
        // The next number may have been granted away and taken, and nobody have told (rule 3).
        if (!mutant("forced-into-a-granted-epoch")) {
          epoch_seen_ = std::max(epoch_seen_, epoch_.number + 1);
        }
      }
      co_return co_await take_alone(facts.disk < DiskState::consistent, Fence::is_lifted);
    }
    case PromotionAction::fence: {
      const FenceWord word = co_await ask_fence_handler();
      if (peer_is_out(word)) co_return co_await promote_now(options, true);
      co_return failure(
          fmt::format("{} cannot become Primary on {}: fence-peer says of {}: {}; --force promotes "
                      "all the same",
                      config_.name, config_.self, peer_name_, sentence_of(word)));
    }
    case PromotionAction::take_role:
      co_return co_await ask_peer_for_baton(Ask::promotion);
    case PromotionAction::share:
      co_return co_await share_role(Fence::is_lifted);
    case PromotionAction::take_from_peer:
      if (holding_ && !granted_away_) co_return co_await take_alone(false, Fence::is_lifted);
      co_return co_await take_or_share(options, fenced);
    case PromotionAction::confirm:
      co_return std::unexpected(
          Error{fmt::format("{} on {}: {}", config_.name, config_.self, verdict.sentence),
                ExitCode::refused, true});
    case PromotionAction::refuse:
      break;
  }
  const std::string who =
      facts.peer_primary
          ? fmt::format("{} is Primary on {}: ", config_.name, peer_name_)
          : fmt::format("{} cannot become Primary on {}: ", config_.name, config_.self);
  const bool force_helps = verdict.row == "consistent" || verdict.row == "outdated" ||
                           verdict.row == "inconsistent" || verdict.row == "split-brain";
  co_return failure(fmt::format("{}{}{}", who, verdict.sentence,
                                force_helps ? "; --force promotes all the same" : ""));
}

Task<Result<>> Engine::demote_now(bool force) {
  // One request at a time stops the writes: who ends first would let them go on under the other.
  void_offer("this node becomes Secondary");
  while (quiescing_ && !mutant("demotes-while-others-quiesce")) {
    co_await gate_changed_.wait();
    void_offer("this node becomes Secondary");
  }
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  if (role_ != Role::primary) {
    const bool shared = std::exchange(resume_shared_, false);
    const bool resuming = std::exchange(resume_primary_, false) || shared;
    gate_changed_.notify_all();
    if (!resuming || co_await commit()) co_return Result<>{};
    co_return failure(
        fmt::format("the metadata of {} cannot be written; see the log", config_.name));
  }
  if (!force) {
    for (auto& volume : volumes_) {
      for (const ClientDevice& client : volume->clients()) {
        if (!client.unflushed_writes) continue;
        co_return failure(
            fmt::format("{} cannot become Secondary: {} has written to volume {} since its last "
                        "flush; stop it, "
                        "or use --force",
                        config_.name, client.name(), volume->index()));
      }
    }
  }
  quiesce_reason_ = "this node is becoming Secondary";
  Result<> quiet = co_await quiesce(false);
  const bool flushed = quiet && (served_ || every_volume_usable()) && !flush_hangs_on_peer();
  if (!quiet && force && served_) {
    // Nothing of its clients' is here: what they wrote is with the holder, which cannot be asked.
    reached("demoted-without-its-holder");
    log(Journal::Level::warning,
        fmt::format("Secondary by force: whether {} has the last writes of the clients here on "
                    "stable storage is not known",
                    peer_name_));
    quiet = Result<>{};
  }
  if (!quiet) {
    stop_quiescing();
    co_return quiet;
  }
  role_ = Role::secondary;
  served_ = false;
  if (flushed || mutant("forced-out-is-flushed")) note_clients_are_flushed();
  const bool durable = co_await commit();
  stop_quiescing();
  tell_status();
  changed();
  if (!durable) co_return failure("the metadata cannot be written; see the log");
  log(Journal::Level::notice, "Secondary");
  baton_follows_role();
  co_return Result<>{};
}

Task<Result<>> Engine::connect(bool discard_my_data, bool undo) {
  if (!up_) co_return failure(fmt::format("{} is not up on this node", config_.name));
  if (!has_peer())
    co_return failure(fmt::format("{} has no other node to connect to", config_.name));
  if (discard_my_data && role_ == Role::primary) {
    co_return failure(fmt::format("{} is Primary here; demote it before its data can be discarded",
                                  config_.name));
  }
  const bool filling = holding_ && replicating() != nullptr && complete() &&
                       std::ranges::any_of(volumes_, [](const auto& v) { return v->syncing; });
  if (discard_my_data && filling) {
    co_return failure(
        fmt::format("the copy on {} is being filled from this node's, which is the "
                    "only whole one of {}; wait with wait-sync",
                    peer_name_, config_.name));
  }
  if (discard_my_data) {
    give_word(undo);
  } else {
    take_word_back();
  }
  if (discard_my_data && session_ != nullptr) session_->drop("this node's data is to be discarded");
  want_connected_ = true;
  if (!dialling_) scope_.spawn(keep_connected());
  session_changed_.notify_all();
  changed();
  co_return Result<>{};
}

// A link that is closed with something unread in it is reset, and a goodbye on its way is lost, for
// which the peer would wait, or have this node shot: so the peer closes first.
Task<> Engine::take_leave(std::string reason) {
  Session* const leaving = session_;
  leaving->refuse(reason);
  co_await leaving->sender_.emptied();
  const TimePoint patience = env_.clock.now() + goodbye_patience;
  while (session_ == leaving && !leaving->dropped() && !mutant("leaves-before-it-is-heard")) {
    if (!co_await session_changed_.wait_until(env_.clock, patience)) break;
  }
}

Task<Result<>> Engine::disconnect() {
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  const bool incomplete_writer = may_write() && !complete();
  if (incomplete_writer) {
    reached("disconnect-of-incomplete-writer");
    co_return failure(
        fmt::format("{} is Primary on a copy that is not complete without {}; wait for "
                    "the sync",
                    config_.name, peer_name_));
  }
  want_connected_ = false;
  if (session_ != nullptr && session_->established()) {
    peer_left_ = true;
    co_await take_leave(fmt::format("{} was disconnected by its operator", config_.self));
    if (session_ != nullptr) session_->drop("disconnected by the operator");
  }
  session_changed_.notify_all();
  while (!want_connected_ && (session_ != nullptr || dialling_)) {
    co_await session_changed_.wait();
  }
  if (want_connected_) {
    reached("disconnect-undone");
    co_return failure("a later connect has undone this disconnect");
  }
  last_error_.clear();
  changed();
  co_return Result<>{};
}

void Engine::expect_down() {
  leaving_ = up_;
  gate_changed_.notify_all();
}

Task<Result<>> Engine::down() {
  while (starting_) co_await session_changed_.wait();
  if (!up_) co_return Result<>{};
  while (settling_ || going_alone_) co_await session_changed_.wait();
  stopping_ = true;
  want_connected_ = false;
  env_.handlers.abandon();
  close_window("the resource is going down");
  forget_first_write();
  update_gate();
  const bool drained = co_await wait_drained(env_.clock.now() + config_.timeout * 2);
  if (!drained) {
    reached("stop-not-drained");
    log(Journal::Level::error, "writes are still in flight at the stop");
  }
  if (session_ != nullptr && replicating_) {
    for (auto& volume : volumes_) co_await volume->flush_copies(false);
    if (holding_ && session_ != nullptr && !volumes_.front()->syncing) {
      // The one that stays keeps the baton, and with it an UpToDate copy.
      co_await give_baton_to_peer(0);
    }
  }
  if (session_ != nullptr && session_->established()) {
    co_await take_leave(fmt::format("{} is going down", config_.self));
  }
  if (session_ != nullptr) session_->drop("this node is going down");
  session_changed_.notify_all();
  while (session_ != nullptr || dialling_ || verbs_running_ > 0) co_await session_changed_.wait();

  bool clean = drained && every_volume_usable();
  for (auto& volume : volumes_) {
    if (!volume->attached() || volume->failed()) continue;
    IoError error = co_await volume->settle_alone();
    if (error == IoError::none) error = co_await volume->metadata().empty_activity_log();
    clean = clean && error == IoError::none;
  }
  // A copy that did not stop in order before and has met nobody since may lack what the peer has:
  // that stays so, however orderly it stops now.
  served_ = false;
  clean_ = clean && !(has_peer() && arrival_ < Arrival::clean);
  released_ = clean;
  role_ = Role::secondary;
  resume_primary_ = resume_shared_ = false;
  holding_ = false;
  // The grant is out and nobody has said whether it was taken: not ours on our own word, now and
  // after the next start.
  if (granted_away_ && !mutant("stops-as-holder-after-its-grant")) epoch_.holder.clear();
  const bool durable = co_await commit();
  up_ = false;
  gate_changed_.notify_all();
  session_changed_.notify_all();
  co_await scope_.join();
  for (auto& volume : volumes_) volume->close();
  stopping_ = false;
  changed();
  if (!clean || !durable) {
    co_return failure(fmt::format("{} did not stop cleanly; see the log", config_.name));
  }
  co_return Result<>{};
}

}  // namespace baton::replication
