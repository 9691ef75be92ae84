// What an operator asks for: up, down, primary, secondary, connect, disconnect, attach, detach,
// invalidate (design §8; DRBD's meanings where DRBD has the verb).
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {

namespace {

// A holder that restarts alone listens for the other node so long: a dial within a network takes
// milliseconds, and a guest's connection bridges seconds.
constexpr Duration peer_patience = std::chrono::seconds(2);

}  // namespace

// While two nodes compare what they have, nothing may change under that; it takes milliseconds, and
// is bounded by the handshake's own limit.
Task<Result<>> Engine::not_settling() {
  while (settling_ || going_alone_) co_await session_changed_.wait();
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

Task<Result<>> Engine::attach_all() {
  for (auto& volume : volumes_) {
    Result<> attached = co_await volume->attach();
    if (!attached) {
      for (auto& other : volumes_) other->close();
      co_return attached;
    }
  }
  // A generation is durable in all volumes before a write completes, so the longest list is the
  // lineage; a shorter one belongs to a volume that a crash caught before its turn.
  const Volume* newest = volumes_.front().get();
  for (auto& volume : volumes_) {
    if (volume->superblock().lineage.size() > newest->superblock().lineage.size()) {
      newest = volume.get();
    }
  }
  if (newest != volumes_.front().get()) reached("volumes-of-two-lineages");
  const blockdev::Superblock& found = newest->superblock();
  lineage_ = found.lineage;
  towards_ = found.towards;
  epoch_ = {};
  slot_ = found.peers[0];
  slot_.name = peer_name_;
  adopted_ = false;
  clean_ = true;
  for (auto& volume : volumes_) {
    const blockdev::Superblock& own = volume->superblock();
    if (own.epoch > epoch_.number) epoch_ = {own.epoch, own.holder};
    if (!own.towards.empty()) towards_ = own.towards;
    adopted_ = adopted_ || own.adopted;
    clean_ = clean_ && own.clean;
    slot_.behind = slot_.behind || own.peers[0].behind;
    inconsistent_[volume->index()] = own.inconsistent;
  }
  co_return Result<>{};
}

// After a crash the regions of the activity log are all that need looking at: they become bits
// before anybody is met (design §5: every row settles the union).
Task<> Engine::turn_log_into_bits() {
  for (auto& volume : volumes_) {
    blockdev::Metadata& metadata = volume->metadata();
    const std::vector<std::uint64_t>& regions = metadata.recovered_regions();
    if (regions.empty()) continue;
    if (has_peer()) {
      for (const std::uint64_t region : regions) {
        const std::uint64_t offset = region * blockdev::region_bytes;
        const std::uint64_t length = std::min(blockdev::region_bytes, volume->size() - offset);
        volume->bits().set(offset, length);
      }
      const IoError written = co_await metadata.write_bitmap(0);
      if (written != IoError::none) {
        disk_failed(*volume, "writing the bitmap");
        continue;
      }
    }
    // Their bits are durable (or, alone, there is no other copy to compare with): the regions that
    // the metadata holds as released in its first interval may leave the log.
    metadata.mark_clean(metadata.begin_interval());
    const IoError emptied = co_await metadata.empty_activity_log();
    if (emptied != IoError::none) disk_failed(*volume, "writing the activity log");
  }
}

Task<Result<>> Engine::up() {
  while (starting_) co_await session_changed_.wait();
  if (up_) co_return Result<>{};
  starting_ = true;
  Result<> started = co_await start_up();
  starting_ = false;
  session_changed_.notify_all();
  co_return started;
}

Task<Result<>> Engine::start_up() {
  Result<> attached = co_await attach_all();
  if (!attached) co_return attached;
  co_await turn_log_into_bits();

  const blockdev::Superblock& found = volumes_.front()->superblock();
  const bool last_holder = epoch_.holder == config_.self;
  const bool same_boot = found.boot_id == config_.boot_id;
  RestartFacts facts;
  facts.has_lineage = !lineage_.empty();
  facts.complete = complete();
  facts.every_peer_behind = slot_.behind && slot_.told_id == 0;
  facts.single_node = !has_peer();
  facts.clean = clean_;
  facts.last_holder = last_holder;
  unvouched_ = state_after_restart(facts);
  facts.same_boot = same_boot;
  facts.stopped_in_order = found.released;
  facts.doubtful = found.doubtful;
  arrival_ = arrival_after_restart(facts);
  if (facts.doubtful && facts.same_boot) reached("restart-doubtful");
  // A copy that may lack something is not taken up again while another may have it.
  const bool sound = arrival_ != Arrival::crashed || facts.every_peer_behind;
  resume_primary_ = found.primary && last_holder && same_boot && sound && config_.auto_resume;
  const bool had_tip = !lineage_.empty() && slot_.base_id == lineage_.back();
  peer_has_tip_ = !slot_.behind || slot_.told_id != 0 || had_tip;
  unmet_ = has_peer();
  role_ = Role::secondary;
  holding_ = false;
  granted_away_ = false;
  wrote_alone_ = slot_.behind && last_holder;
  clean_ = false;
  released_ = false;
  stopping_ = false;
  leaving_ = false;
  out_of_reach_ = false;
  up_ = true;
  const bool durable = co_await commit();
  if (!durable) {
    up_ = false;
    for (auto& volume : volumes_) volume->close();
    co_return failure(
        fmt::format("the metadata of {} cannot be written; see the log", config_.name));
  }

  if (!has_peer()) {
    // Nobody to ask, nobody to tell: a one-node resource takes its baton at start (design §4).
    if (lineage_.empty()) co_return co_await start_fresh();
    co_return co_await take_alone(false);
  }
  want_connected_ = true;
  scope_.spawn(keep_connected());
  verify_ = {};
  if (config_.verify_interval > Duration::zero()) scope_.spawn(scrub());
  changed();
  // Every other copy is durably known to be behind: nobody else can have gone on.
  const bool asks = !mutant("resumes-without-asking");
  if (resume_primary_ && facts.complete && (facts.every_peer_behind || !asks)) {
    if (asks) co_await hear_peer();
    Result<> resumed = co_await resume_alone();
    if (!resumed) co_return resumed;
  }
  co_return Result<>{};
}

// What this disk says of the other copies may be old, for it may be an older copy of itself. The
// other node would know, so it is heard before this one goes on by its record alone, if it can be
// reached (rule 3).
Task<> Engine::hear_peer() {
  const TimePoint patience = env_.clock.now() + peer_patience;
  while (session_ == nullptr && !out_of_reach_ && env_.clock.now() < patience) {
    co_await session_changed_.wait_until(env_.clock, patience);
  }
  while (settling_ || going_alone_) co_await session_changed_.wait();
}

Task<Result<>> Engine::resume_alone() {
  if (!up_ || holding_ || !resume_primary_) co_return Result<>{};
  co_return co_await take_alone(false);
}

Task<Result<>> Engine::take_alone(bool force_generation) {
  // A holder in session with its peer only changes its role. A number that the peer has not been
  // told would make it refuse the next write.
  const bool held_in_session = holding_ && replicating_ && epoch_.holder == config_.self;
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
  discard_my_data_ = false;  // an earlier word, about data that is now the disk's
  log(Journal::Level::notice, fmt::format("Primary, epoch {}", epoch_.number));
  for (auto& volume : volumes_) {
    for (ClientDevice& client : volume->clients()) client.fenced = true;
  }
  update_gate();
  tell_status();
  changed();
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
  Result<> taken = co_await take_alone(false);
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

Task<Result<>> Engine::promote_now(PromoteOptions options) {
  Result<> ready = co_await not_settling();
  const bool can_ask = want_connected_ || starting_;
  if (ready && unmet_ && can_ask && !mutant("promotes-before-it-hears")) co_await hear_peer();
  if (ready) ready = co_await not_settling();
  if (ready) ready = co_await received_writes_over();
  if (!ready) co_return ready;
  if (!every_volume_usable()) {
    co_return failure(
        fmt::format("a disk of {} has failed on this node; see the log", config_.name));
  }
  const bool connected = session_ != nullptr && session_->established();
  PromotionFacts facts;
  facts.already_primary = role_ == Role::primary && holding_ && !granted_away_;
  facts.connected = connected && replicating_;
  facts.peer_primary = connected && session_->peer_role == Role::primary;
  facts.disk = DiskState::up_to_date;
  for (const auto& volume : volumes_) facts.disk = std::min(facts.disk, disk_state(*volume));
  facts.fresh = lineage_.empty() && towards_.empty();
  facts.peer_has_data =
      connected && (session_->peer_state().adopted || !session_->peer_state().lineage.empty());
  facts.split_brain = split_brain_.has_value();
  facts.force = options.force;
  facts.confirmed = options.confirmed;
  const PromotionVerdict verdict = decide_promotion(facts);
  switch (verdict.action) {
    case PromotionAction::nothing:
      co_return Result<>{};
    case PromotionAction::start_fresh:
      co_return co_await start_fresh();
    case PromotionAction::take_alone: {
      if (facts.force) {
        log(Journal::Level::warning, fmt::format("promoted by force: {}", verdict.row));
      }
      co_return co_await take_alone(facts.disk < DiskState::consistent);
    }
    case PromotionAction::take_from_peer:
      if (holding_ && !granted_away_) co_return co_await take_alone(false);
      co_return co_await ask_peer_for_baton(false);
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
  if (role_ != Role::primary) co_return Result<>{};
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
  if (!quiet) {
    stop_quiescing();
    co_return quiet;
  }
  role_ = Role::secondary;
  const bool durable = co_await commit();
  stop_quiescing();
  tell_status();
  changed();
  if (!durable) co_return failure("the metadata cannot be written; see the log");
  log(Journal::Level::notice, "Secondary");
  co_return Result<>{};
}

Task<Result<>> Engine::connect(bool discard_my_data) {
  if (!up_) co_return failure(fmt::format("{} is not up on this node", config_.name));
  if (!has_peer())
    co_return failure(fmt::format("{} has no other node to connect to", config_.name));
  if (discard_my_data && role_ == Role::primary) {
    co_return failure(fmt::format("{} is Primary here; demote it before its data can be discarded",
                                  config_.name));
  }
  discard_my_data_ = discard_my_data;
  if (discard_my_data && session_ != nullptr) session_->drop("this node's data is to be discarded");
  want_connected_ = true;
  if (!dialling_) scope_.spawn(keep_connected());
  session_changed_.notify_all();
  changed();
  co_return Result<>{};
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
    session_->refuse(fmt::format("{} was disconnected by its operator", config_.self));
    co_await session_->sender_.emptied();
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

Task<Result<>> Engine::attach() {
  if (!up_) co_return failure(fmt::format("{} is not up on this node", config_.name));
  if (every_volume_usable()) co_return Result<>{};
  co_return failure(
      fmt::format("a disk of {} has failed on this node; repair it, then run down and "
                  "up",
                  config_.name));
}

Task<Result<>> Engine::detach() {
  co_return failure(fmt::format("{} cannot run without its disk yet; use down", config_.name));
}

Task<Result<>> Engine::invalidate_now() {
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  const bool connected = session_ != nullptr && replicating_;
  if (role_ == Role::primary) {
    co_return failure(
        fmt::format("{} is Primary here; demote it before its data is invalidated", config_.name));
  }
  if (!connected || holding_) {
    co_return failure(
        fmt::format("{} can be invalidated only while another node that holds the baton is "
                    "connected: it is the "
                    "one to copy from",
                    config_.name));
  }
  for (auto& volume : volumes_) {
    volume->bits().set_all();
    inconsistent_[volume->index()] = true;
    const IoError written = co_await volume->metadata().write_bitmap(0);
    if (written != IoError::none) disk_failed(*volume, "writing the bitmap");
  }
  towards_ = lineage_;
  const bool durable = co_await commit();
  if (!durable) co_return failure("the metadata cannot be written; see the log");
  if (session_ != nullptr) session_->drop("this node's data was invalidated");
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
      co_await give_baton_to_peer(false);
    }
  }
  if (session_ != nullptr && session_->established()) {
    session_->refuse(fmt::format("{} is going down", config_.self));
    co_await session_->sender_.emptied();
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
  clean_ = clean && !(has_peer() && arrival_ < Arrival::clean);
  released_ = clean;
  role_ = Role::secondary;
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
