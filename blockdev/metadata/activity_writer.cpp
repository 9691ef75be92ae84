#include "blockdev/metadata/activity_writer.h"

#include <algorithm>

#include "base/assert.h"
#include "base/mark.h"
#include "base/mutant.h"

namespace baton::blockdev {
namespace {

struct Regions {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

Regions regions_of(const Geometry& geometry, std::uint64_t offset, std::uint64_t length) {
  BATON_ASSERT(
      length > 0 && offset < geometry.volume_size && length <= geometry.volume_size - offset,
      "ranges are checked where requests come in");
  const std::uint64_t first = offset / region_bytes;
  return {.first = first, .count = (offset + length - 1) / region_bytes - first + 1};
}

}  // namespace

ActivityWriter::ActivityWriter(Loop& loop, BlockDevice& device, Fault& fault,
                               const Geometry& geometry, std::vector<BitPage> pages,
                               std::vector<bool> rewrite, std::uint64_t sequence, std::size_t limit)
    : loop_(loop),
      device_(device),
      fault_(fault),
      geometry_(geometry),
      pages_(std::move(pages)),
      changed_(std::move(rewrite)),
      sequence_(sequence),
      log_(geometry.regions(), limit),
      window_(std::make_unique<WriteWindow>(device)),
      scope_(loop) {
  for (std::uint64_t region = 0; region < geometry_.regions(); ++region) {
    if (!bit_in(pages_[region / bits_per_page], region % bits_per_page)) continue;
    recovered_.push_back(region);
    log_.restore(region);
  }
}

bool ActivityWriter::acquire_if_active(std::uint64_t offset, std::uint64_t length) {
  const Regions regions = regions_of(geometry_, offset, length);
  if (!log_.use_if_active(regions.first, regions.count)) return false;
  ++counters_.hits;
  return true;
}

Task<IoError> ActivityWriter::acquire(std::uint64_t offset, std::uint64_t length) {
  if (refusal() != IoError::none) co_return refusal();
  if (acquire_if_active(offset, length)) co_return IoError::none;
  const Regions regions = regions_of(geometry_, offset, length);
  if (regions.count > log_.limit()) co_return IoError::invalid;  // would wait for ever
  Waiter waiter(*this, regions.first, regions.count);
  co_return co_await waiter;
}

Task<IoError> ActivityWriter::empty() {
  if (fault_) co_return fault_.error();
  Waiter waiter(*this, 0, 0);
  co_return co_await waiter;
}

void ActivityWriter::release(std::uint64_t offset, std::uint64_t length) {
  const Regions regions = regions_of(geometry_, offset, length);
  log_.release(regions.first, regions.count);
  // Somebody was blocked while everything was in use, so that a flush would have helped nobody.
  if (!waiting_.empty() && !running_) ask_for_room();
}

void ActivityWriter::mark_clean(std::uint64_t interval) {
  log_.mark_clean(interval);
  asked_ = false;
  look_again_ = true;
  if (!waiting_.empty()) wake();
}

void ActivityWriter::set_pressure_handler(void (*handler)(void*), void* context) {
  pressure_handler_ = handler;
  pressure_context_ = context;
}

void ActivityWriter::wake() {
  if (running_) return;
  running_ = true;
  scope_.spawn(run());
}

Task<> ActivityWriter::run() {
  co_await Yield(loop_);  // whoever asks in the same turn joins the transaction
  while (true) {
    plan();
    if (admitted_.empty()) {
      if (look_again_ && !waiting_.empty()) continue;
      break;
    }
    if (mutant("activity-log-after-data")) let_go(IoError::none);
    const IoError error = co_await write_changed_pages();
    fault_.report(error);
    let_go(error);
  }
  running_ = false;
}

// Everybody in the transaction goes on.
void ActivityWriter::let_go(IoError error) {
  if (error == IoError::none) log_.changes_durable();
  while (!admitted_.empty()) answer(static_cast<Waiter&>(admitted_.front()), error);
}

void ActivityWriter::plan() {
  look_again_ = false;
  changes_.clear();
  while (!waiting_.empty()) {
    auto& next = static_cast<Waiter&>(waiting_.front());
    if (refusal() != IoError::none) {
      answer(next, refusal());
      continue;
    }
    // In order of arrival: a large request that is overtaken by small ones would wait for ever.
    if (!(next.count == 0 ? admit_emptying(next) : admit(next))) break;
  }
  apply(changes_);
}

// False if it has to go on waiting.
bool ActivityWriter::admit(Waiter& waiter) {
  switch (log_.admit(waiter.first, waiter.count, changes_, counters_.misses)) {
    case ActivityLog::Admission::granted:
      ++counters_.hits;
      answer(waiter, IoError::none);
      return true;
    case ActivityLog::Admission::planned:
      waiting_.pop_front();
      admitted_.push_back(waiter);
      return true;
    case ActivityLog::Admission::blocked:
      break;
  }
  if (!waiter.stalled) {
    reached("activity-log-stalls");
    ++counters_.stalls;
  }
  waiter.stalled = true;
  ask_for_room();
  return false;
}

bool ActivityWriter::admit_emptying(Waiter& waiter) {
  if (!admitted_.empty()) return false;  // they are in use now; the next plan will say no
  if (!log_.evict_all(changes_)) {
    answer(waiter, IoError::invalid);
  } else if (changes_.empty() && std::ranges::find(changed_, true) == changed_.end()) {
    answer(waiter, IoError::none);
  } else {
    waiting_.pop_front();
    admitted_.push_back(waiter);
  }
  return true;
}

void ActivityWriter::answer(Waiter& waiter, IoError result) {
  waiter.unlink();
  waiter.result = result;
  loop_.post(waiter);
}

void ActivityWriter::ask_for_room() {
  if (asked_ || log_.dirty() == 0 || pressure_handler_ == nullptr) return;
  asked_ = true;
  pressure_handler_(pressure_context_);
}

void ActivityWriter::apply(const std::vector<ActivityLog::Change>& changes) {
  for (const ActivityLog::Change& change : changes) {
    const std::uint64_t page = change.region / bits_per_page;
    set_bit_in(pages_[page], change.region % bits_per_page, change.active);
    changed_[page] = true;
  }
}

Task<IoError> ActivityWriter::write_changed_pages() {
  ++counters_.transactions;
  ++sequence_;
  for (std::uint64_t page = 0; page < pages_.size(); ++page) {
    if (!changed_[page]) continue;
    changed_[page] = false;
    seal(pages_[page], {.kind = CellKind::activity_log, .slot = 0, .page = page}, sequence_);
    co_await window_->room();
    window_->start(window_->free_place(), geometry_.activity_at(page),
                   std::as_writable_bytes(std::span(&pages_[page], 1)));
  }
  co_await window_->drained();
  if (window_->error() != IoError::none) co_return window_->error();
  if (mutant("activity-log-not-flushed")) co_return IoError::none;
  co_return co_await flush(device_);
}

void ActivityWriter::refuse_acquires() {
  refusing_ = true;
  fail_waiters();
}

void ActivityWriter::fail_waiters() {
  if (!waiting_.empty()) wake();
}

}  // namespace baton::blockdev
