// A resource comes up: what its disks say is read, judged, and made the engine's own (design §4
// "Restart", §5; docs/replication.md "The baton and the roles").
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
    inconsistent_[volume->index()] = own.inconsistent;
    // A crash between two superblocks: in one the peer has caught up, so it has been told.
    const blockdev::PeerSlot& peer = own.peers[0];
    if (own.lineage != lineage_ || peer.behind == slot_.behind) continue;
    reached("volumes-disagree-about-the-peer");
    slot_.behind = true;
    slot_.told_id = lineage_.empty() ? 0 : lineage_.back();
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

// What the metadata that was just read say of this copy and of the other one.
RestartFacts Engine::judge_copy() {
  const blockdev::Superblock& found = volumes_.front()->superblock();
  RestartFacts facts;
  facts.has_lineage = !lineage_.empty();
  facts.complete = complete();
  facts.every_peer_behind = slot_.behind && slot_.told_id == 0;
  facts.single_node = !has_peer();
  facts.clean = clean_;
  facts.last_holder = epoch_.holder == config_.self;
  facts.outdated = outdated_ = found.outdated;
  unvouched_ = state_after_restart(facts);
  facts.same_boot = found.boot_id == config_.boot_id;
  facts.stopped_in_order = found.released;
  facts.doubtful = found.doubtful;
  arrival_ = arrival_after_restart(facts);
  if (facts.doubtful && facts.same_boot) reached("restart-doubtful");
  const bool had_tip = !lineage_.empty() && slot_.base_id == lineage_.back();
  peer_has_tip_ = !slot_.behind || slot_.told_id != 0 || had_tip;
  wrote_alone_ = slot_.behind && facts.last_holder;
  return facts;
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

  const RestartFacts facts = judge_copy();
  const bool was_primary = volumes_.front()->superblock().primary;
  // A copy that may lack something is not taken up again while another may have it.
  const bool sound = arrival_ != Arrival::crashed || facts.every_peer_behind;
  resume_primary_ =
      was_primary && facts.last_holder && facts.same_boot && sound && config_.auto_resume;
  resume_shared_ = was_primary && config_.two_primaries && facts.same_boot && config_.auto_resume;
  unmet_ = has_peer();
  told_to_go_on_ = peer_left_ = fenced_peer_ = false;
  role_ = Role::secondary;
  served_ = false;
  holding_ = false;
  granted_away_ = false;
  clean_ = false;
  released_ = false;
  stopping_ = false;
  leaving_ = false;
  undo_kept_ = false;  // the disk may be another one
  pauses_sync_ = false;
  out_of_reach_ = false;
  up_ = true;
  const bool durable = co_await commit();
  if (!durable) {
    up_ = false;
    // A verb's that came meanwhile (archived seed 2002605).
    while (commits_ > 0) co_await gate_changed_.wait();
    for (auto& volume : volumes_) volume->close();
    co_return failure(
        fmt::format("the metadata of {} cannot be written; see the log", config_.name));
  }

  if (!has_peer()) {
    // Nobody to ask, nobody to tell: a one-node resource takes its baton at start (design §4).
    if (lineage_.empty()) co_return co_await start_fresh();
    co_return co_await take_alone(false, Fence::stays);
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
  co_return co_await take_alone(false, Fence::stays);
}

}  // namespace baton::replication
