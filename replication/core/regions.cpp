#include "replication/core/regions.h"

#include <algorithm>

#include "base/assert.h"

namespace baton::replication {

RegionRun regions_of(std::uint64_t offset, std::uint64_t length) {
  BATON_ASSERT(length > 0, "an empty range touches no region");
  const std::uint64_t first = offset / lent_region_bytes;
  return {first, (offset + length - 1) / lent_region_bytes - first + 1};
}

LentRegions::Region& LentRegions::region(std::uint64_t number) {
  if (all_.empty()) all_.resize(regions_);
  return all_[number];
}

bool LentRegions::lent_in(RegionRun run) const {
  if (lent_ == 0) return false;
  return std::ranges::any_of(regions(run),
                             [](const Region& each) { return each.state != State::here; });
}

bool LentRegions::all_lent(RegionRun run) const {
  if (lent_ == 0) return false;
  return std::ranges::all_of(regions(run),
                             [](const Region& each) { return each.state != State::here; });
}

bool LentRegions::own_begins(RegionRun run) {
  if (lent_in(run)) return false;
  for (std::uint64_t number = run.first; number < run.first + run.count; ++number) {
    Region& each = region(number);
    ++each.own;
    each.theirs = 0;
    each.ours = true;
  }
  return true;
}

void LentRegions::own_ends(RegionRun run) {
  for (std::uint64_t number = run.first; number < run.first + run.count; ++number) {
    --region(number).own;
  }
}

void LentRegions::lend(std::uint64_t number, TimePoint now) {
  Region& each = region(number);
  each.state = State::lent;
  each.lent_at = each.written_at = now;
  ++lent_;
  ++moves_;
}

std::optional<RegionRun> LentRegions::theirs(RegionRun run, TimePoint now) {
  bool wanted = true;
  for (std::uint64_t number = run.first; number < run.first + run.count; ++number) {
    Region& each = region(number);
    if (each.own == 0) {
      ++each.theirs;
      each.ours = false;
    }
    const std::uint32_t enough = lent_after << (2U * each.contention);
    wanted = wanted && each.state == State::here && each.own == 0 && each.theirs >= enough;
  }
  if (!wanted) return std::nullopt;
  RegionRun lent = run;
  const bool goes_on = run.first > 0 && region(run.first - 1).state == State::lent;
  while (goes_on && lent.count < run_max && lent.first + lent.count < regions_) {
    const Region& next = region(lent.first + lent.count);
    if (next.state != State::here || next.own > 0 || next.ours || next.contention > 0) break;
    ++lent.count;
  }
  for (std::uint64_t number = lent.first; number < lent.first + lent.count; ++number) {
    lend(number, now);
  }
  return lent;
}

void LentRegions::written(RegionRun run, TimePoint now) {
  if (lent_ == 0) return;
  for (std::uint64_t number = run.first; number < run.first + run.count; ++number) {
    region(number).written_at = now;
  }
}

template <class Wanted>
std::vector<RegionRun> LentRegions::recall_where(RegionRun run, const Wanted& wanted) {
  std::vector<RegionRun> runs;
  if (lent_ == 0) return runs;
  for (std::uint64_t number = run.first; number < run.first + run.count; ++number) {
    Region& each = region(number);
    if (each.state != State::lent || !wanted(each)) continue;
    each.state = State::asked_for;
    if (!runs.empty() && runs.back().first + runs.back().count == number) {
      ++runs.back().count;
    } else {
      runs.push_back({number, 1});
    }
  }
  return runs;
}

std::vector<RegionRun> LentRegions::recall(RegionRun run) {
  return recall_where(run, [](const Region&) { return true; });
}

std::vector<RegionRun> LentRegions::recall_idle(RegionRun run, TimePoint now) {
  return recall_where(run, [now](const Region& each) { return now - each.written_at > idle; });
}

bool LentRegions::returned(RegionRun run, TimePoint now) {
  if (all_.empty() || run.count == 0 || run.first > regions_ || run.count > regions_ - run.first) {
    return false;
  }
  const bool asked = std::ranges::all_of(
      regions(run), [](const Region& each) { return each.state == State::asked_for; });
  if (!asked) return false;
  for (std::uint64_t number = run.first; number < run.first + run.count; ++number) {
    Region& each = region(number);
    each.state = State::here;
    each.theirs = 0;
    const bool early = now - each.lent_at < soon;
    each.contention =
        early ? std::min<std::uint8_t>(each.contention + 1, contention_max) : std::uint8_t{0};
    --lent_;
    ++moves_;
  }
  return true;
}

void LentRegions::forget() {
  for (Region& each : all_) {
    each.state = State::here;
    each.theirs = 0;
    each.ours = false;
    each.contention = 0;
  }
  lent_ = 0;
}

bool BorrowedRegions::all_of(RegionRun run) const {
  if (mine_.empty()) return false;
  const auto begin = mine_.begin() + static_cast<std::ptrdiff_t>(run.first);
  return std::all_of(begin, begin + static_cast<std::ptrdiff_t>(run.count),
                     [](bool mine) { return mine; });
}

bool BorrowedRegions::set(RegionRun run, bool mine) {
  if (run.count == 0 || run.first > regions_ || run.count > regions_ - run.first) return false;
  if (mine_.empty()) mine_.resize(regions_);
  for (std::uint64_t number = run.first; number < run.first + run.count; ++number) {
    if (mine_[number] == mine) continue;
    mine_[number] = mine;
    borrowed_ += mine ? 1 : -1;
    ++moves_;
  }
  return true;
}

void BorrowedRegions::forget() {
  mine_.clear();
  borrowed_ = 0;
}

bool BorrowedRegions::lent(RegionRun run) {
  return set(run, true);
}

bool BorrowedRegions::given_back(RegionRun run) {
  return set(run, false);
}

}  // namespace baton::replication
