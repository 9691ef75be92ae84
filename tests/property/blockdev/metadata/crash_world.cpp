#include "tests/property/blockdev/metadata/crash_world.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/support/run_task.h"

namespace baton::blockdev {
namespace {

// Every sector of the superblock differs between two commits, so that a torn copy is seen.
Superblock content_of(std::uint64_t epoch, std::uint64_t volume_size) {
  Superblock content;
  content.resource = fmt::format("vm1-{}", epoch);
  content.node = "alpha";
  content.size = volume_size;
  content.epoch = epoch;
  content.towards.assign(lineage_max, epoch);
  content.lineage.assign(lineage_max, epoch + 1);
  for (PeerSlot& peer : content.peers) peer.base_id = epoch;
  return content;
}

}  // namespace

CrashWorld::CrashWorld(std::uint64_t volume_size, std::size_t regions_limit, std::uint64_t seed)
    : volume_size_(volume_size), limit_(regions_limit), rng_(seed), blocks_(slots) {
  Loop loop;
  tests::CrashDisk disk(tests::DiskImage(Metadata::bytes_needed(volume_size, slots)));
  const auto formatted =
      tests::run(loop, disk, Metadata::format(loop, disk, content_of(0, volume_size), slots));
  if (!*formatted) complain(formatted->error().message);
  restart(std::make_unique<tests::CrashDisk>(disk.visible()));
}

void CrashWorld::complain(const std::string& what) {
  if (complaint_.empty()) complaint_ = what;
}

// --- the history ---

CrashWorld::Held CrashWorld::any_range(const Step& step) const {
  // Few distinct places, so that histories meet; sometimes over a region's end.
  const std::uint64_t regions = (volume_size_ + region_bytes - 1) / region_bytes;
  const std::uint64_t region = (step.a % 7) * regions / 7 + step.a / 7 % 3;
  const std::uint64_t offset = std::min(region * region_bytes, volume_size_ - 1);
  const std::uint64_t length = step.b % 4 == 0 ? 2 * region_bytes : 4096;
  return {.offset = offset, .length = std::min(length, volume_size_ - offset)};
}

void CrashWorld::carry_out(const Step& step) {
  if (!complaint_.empty()) return;
  const std::uint64_t blocks = (volume_size_ + block_bytes - 1) / block_bytes;
  const std::uint64_t block = std::min((step.a % 12) * blocks / 12 + step.a / 12 % 2, blocks - 1);
  switch (step.kind) {
    case Kind::commit:
      scope_->spawn(commit(*this, ++commits_asked_));
      break;
    case Kind::acquire:
      scope_->spawn(acquire(*this, any_range(step)));
      break;
    case Kind::release:
      if (held_.empty()) break;
      released(held_[step.a % held_.size()]);
      held_.erase(held_.begin() + step.a % held_.size());
      break;
    case Kind::begin_interval:
      if (store_->begin_interval() != interval_) complain("intervals are numbered from 1");
      ++interval_;
      break;
    case Kind::mark_clean:
      mark_clean();
      break;
    case Kind::set_bit:
    case Kind::clear_bit:
      change_bit(step.b % slots, block, step.kind == Kind::set_bit);
      break;
    case Kind::write_bitmap:
      scope_->spawn(write_bitmap(*this, step.a % slots));
      break;
    case Kind::disk_steps:
      for (std::uint32_t i = 0; i <= step.a % 6; ++i) disk_step();
      break;
    case Kind::empty_log:
      scope_->spawn(empty_log(*this));
      break;
    case Kind::power_cut:
      restart(std::make_unique<tests::CrashDisk>(disk_->after_power_cut(rng_)));
      break;
    case Kind::kill:
      restart(disk_->after_kill(rng_));
      break;
    case Kind::disk_dies:
      disk_->fail_everything();
      disk_dead_ = true;
      break;
  }
  run_loop();
}

void CrashWorld::finish() {
  // More rounds than there can be requests, so that an endless wait ends the test.
  for (int i = 0; i < 2000 && complaint_.empty() && !scope_->empty(); ++i) {
    if (!disk_->idle()) {
      disk_step();
      continue;
    }
    if (!held_.empty()) {
      released(held_.back());
      held_.pop_back();
    } else if (room_wanted_) {
      room_wanted_ = false;
      if (store_->begin_interval() != interval_++) complain("intervals are numbered from 1");
      mark_clean();
    } else if (!disk_dead_) {
      return complain("somebody waits, and nobody was asked to make room");
    }
    run_loop();
  }
  if (!scope_->empty()) complain("somebody waits for ever");
}

void CrashWorld::run_loop() {
  while (loop_->run_turn()) {
  }
}

void CrashWorld::disk_step() {
  if (disk_->idle() || !complaint_.empty()) return;
  cut_and_check();
  disk_->step(rng_);
  run_loop();
  cut_and_check();
}

void CrashWorld::mark_clean() {
  clean_ = interval_ - 1;
  store_->mark_clean(clean_);
}

Task<> CrashWorld::commit(CrashWorld& world, std::uint64_t epoch) {
  Superblock next = content_of(epoch, world.volume_size_);
  const IoError error = co_await world.store_->commit(std::move(next));
  if (error == IoError::none) world.commits_done_ = std::max(world.commits_done_, epoch);
  if (error != IoError::none && !world.disk_dead_) world.complain("a commit failed");
}

Task<> CrashWorld::acquire(CrashWorld& world, Held range) {
  const std::uint64_t last = (range.offset + range.length - 1) / region_bytes;
  for (std::uint64_t r = range.offset / region_bytes; r <= last; ++r) {
    world.regions_asked_.insert(r);
  }
  const IoError error = co_await world.store_->acquire(range.offset, range.length);
  if (error == IoError::none) world.granted(range);
  if (error != IoError::none && !world.disk_dead_) world.complain("an acquire failed");
}

Task<> CrashWorld::write_bitmap(CrashWorld& world, std::uint32_t slot) {
  const std::uint64_t begun = ++world.tick_;
  const IoError error = co_await world.store_->write_bitmap(slot);
  if (error != IoError::none && !world.disk_dead_) world.complain("a bitmap write failed");
  if (error != IoError::none) co_return;
  for (auto& [number, block] : world.blocks_[slot]) {
    if (block.changed > begun) continue;
    block.may_be_set = block.now;
    block.may_be_clear = !block.now;
  }
}

Task<> CrashWorld::empty_log(CrashWorld& world) {
  const IoError error = co_await world.store_->empty_activity_log();
  if (error == IoError::none || error == IoError::invalid) co_return;
  if (!world.disk_dead_) world.complain("emptying the log failed");
}

void CrashWorld::granted(Held range) {
  held_.push_back(range);
  const std::uint64_t last = (range.offset + range.length - 1) / region_bytes;
  for (std::uint64_t r = range.offset / region_bytes; r <= last; ++r) ++regions_[r].uses;
}

void CrashWorld::released(Held range) {
  store_->release(range.offset, range.length);
  const std::uint64_t last = (range.offset + range.length - 1) / region_bytes;
  for (std::uint64_t r = range.offset / region_bytes; r <= last; ++r) {
    if (--regions_[r].uses == 0) regions_[r].released_in = interval_;
  }
}

void CrashWorld::change_bit(std::uint32_t slot, std::uint64_t number, bool on) {
  Bitmap& bitmap = store_->bitmap(slot);
  if (on) {
    bitmap.set(number * block_bytes, 1);
  } else {
    bitmap.clear(number * block_bytes, block_bytes);
  }
  Block& block = blocks_[slot][number];
  if (block.now == on) return;
  block.now = on;
  block.changed = ++tick_;
  (on ? block.may_be_set : block.may_be_clear) = true;
}

// --- the checks ---

void CrashWorld::cut_and_check() {
  if (!complaint_.empty()) return;
  ++cuts_;
  if (store_) stalls_ = std::max(stalls_, store_->activity_counters().stalls);
  Loop loop;
  tests::CrashDisk disk(disk_->after_power_cut(rng_));
  std::vector<std::string> warnings;
  const auto loaded = tests::run(loop, disk, Store::open(loop, disk, warnings, limit_));
  if (!*loaded) return complain(loaded->error().message);
  check(***loaded, warnings);
}

void CrashWorld::check(Metadata& loaded, const std::vector<std::string>& warnings) {
  // A torn superblock copy is the only damage that a power cut does.
  for (const std::string& warning : warnings) {
    if (!warning.starts_with("superblock copy")) complain(warning);
  }
  check_superblock(loaded);
  check_regions(loaded);
  for (std::uint32_t slot = 0; slot < slots; ++slot) check_blocks(loaded, slot);
}

void CrashWorld::check_superblock(const Metadata& loaded) {
  const std::uint64_t epoch = loaded.superblock().epoch;
  if (loaded.superblock() != content_of(epoch, volume_size_)) complain("a commit is mixed up");
  const std::uint64_t durable = store_ ? store_->superblock().epoch : 0;
  if (epoch < commits_done_ || epoch < durable || epoch > commits_asked_) {
    complain(
        fmt::format("commit {} is on the disk; {} was completed, {} called durable, {} asked "
                    "for",
                    epoch, commits_done_, durable, commits_asked_));
  }
}

void CrashWorld::check_regions(const Metadata& loaded) {
  const auto& recovered = loaded.recovered_regions();
  for (const auto& [number, region] : regions_) {
    const bool needed = region.uses > 0 || region.released_in > clean_;
    if (needed && !std::ranges::binary_search(recovered, number)) {
      complain(fmt::format("region {} was granted and is not recovered", number));
    }
  }
  for (const std::uint64_t number : recovered) {
    if (!regions_asked_.contains(number)) {
      complain(fmt::format("region {} is recovered and was never asked for", number));
    }
  }
}

void CrashWorld::check_blocks(Metadata& loaded, std::uint32_t slot) {
  const Bitmap& bitmap = loaded.bitmap(slot);
  std::uint64_t set = 0;
  for (const auto& [number, block] : blocks_[slot]) {
    const bool on = bitmap.test(number);
    set += on ? 1 : 0;
    if (on ? !block.may_be_set : !block.may_be_clear) {
      complain(fmt::format("slot {}: the bit of block {} is {} on the disk", slot, number,
                           on ? "set" : "lost"));
    }
  }
  if (set != bitmap.blocks_set()) complain("bits are set that nobody set");
}

// --- a new process ---

void CrashWorld::restart(std::unique_ptr<tests::CrashDisk> disk) {
  scope_.reset();  // the kill: frames go where they stand
  store_.reset();
  disk_ = std::move(disk);
  loop_ = std::make_unique<Loop>();
  scope_ = std::make_unique<Scope>(*loop_);
  disk_dead_ = false;
  room_wanted_ = false;
  held_.clear();
  open();
}

void CrashWorld::open() {
  std::vector<std::string> warnings;
  auto opened = tests::run(*loop_, *disk_, Store::open(*loop_, *disk_, warnings, limit_));
  if (!*opened) return complain(opened->error().message);
  check(***opened, warnings);
  store_ = std::move(**opened);
  store_->set_pressure_handler(
      [](void* self) { static_cast<CrashWorld*>(self)->room_wanted_ = true; }, this);
  commits_asked_ = commits_done_ = store_->superblock().epoch;
  interval_ = 1;
  clean_ = 0;
  regions_.clear();
  regions_asked_.clear();
  for (const std::uint64_t region : store_->recovered_regions()) {
    regions_[region].released_in = 1;
    regions_asked_.insert(region);
  }
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    for (auto& [number, block] : blocks_[slot]) {
      block.now = store_->bitmap(slot).test(number);
      block.may_be_set = block.now;
      block.may_be_clear = !block.now;
      block.changed = 0;
    }
  }
}

}  // namespace baton::blockdev
