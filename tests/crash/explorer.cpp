#include "tests/crash/explorer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace baton::crash {
namespace {

// What becomes of A and of B. With one absent the other one comes back alone.
constexpr std::array<std::array<Fate, node_count>, 8> endings = {{
    {Fate::power_cut, Fate::killed},
    {Fate::killed, Fate::power_cut},
    {Fate::power_cut, Fate::power_cut},
    {Fate::killed, Fate::killed},
    {Fate::power_cut, Fate::absent},
    {Fate::absent, Fate::power_cut},
    {Fate::killed, Fate::absent},
    {Fate::absent, Fate::killed},
}};

bool by_chance(Keep keep) {
  return keep == Keep::prefix || keep == Keep::newest || keep == Keep::subset || keep == Keep::torn;
}

// What the other host keeps beside `keep`: the same, the opposite, or what chance says.
std::array<Keep, 3> partners_of(Keep keep) {
  switch (keep) {
    case Keep::nothing:
      return {Keep::nothing, Keep::everything, Keep::subset};
    case Keep::everything:
      return {Keep::everything, Keep::nothing, Keep::torn};
    case Keep::only_data:
      return {Keep::only_data, Keep::only_metadata, Keep::nothing};
    case Keep::only_metadata:
      return {Keep::only_metadata, Keep::only_data, Keep::nothing};
    case Keep::prefix:
      return {Keep::prefix, Keep::nothing, Keep::newest};
    case Keep::newest:
      return {Keep::newest, Keep::nothing, Keep::prefix};
    case Keep::subset:
      return {Keep::subset, Keep::everything, Keep::nothing};
    case Keep::torn:
      return {Keep::torn, Keep::nothing, Keep::everything};
  }
  return {};
}

std::vector<std::uint64_t> points_of(const Recording& recording, const Exploration& exploration) {
  const std::uint64_t last = std::min(exploration.last_point, recording.log.events());
  std::vector<std::uint64_t> points;
  if (exploration.first_point > last) return points;
  const std::uint64_t count = last - exploration.first_point + 1;
  const std::uint64_t wanted =
      exploration.points == 0 ? count : std::min(exploration.points, count);
  for (std::uint64_t i = 0; i < wanted; ++i) {
    points.push_back(exploration.first_point + i * count / wanted);
  }
  return points;
}

template <class T>
void shuffle(std::vector<T>& items, sim::Prng random) {
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

}  // namespace

std::vector<Crash> crashes_at(std::uint64_t point, std::uint64_t draws) {
  std::vector<Crash> crashes;
  std::uint64_t number = 0;
  for (const auto& fate : endings) {
    const bool alone = fate[0] == Fate::absent || fate[1] == Fate::absent;
    for (const Keep keep : all_keeps) {
      const auto partners = partners_of(keep);
      for (const Keep other : std::span(partners).first(alone ? 1 : partners.size())) {
        const bool drawn = by_chance(keep) || (!alone && by_chance(other));
        for (std::uint64_t draw = 0; draw < (drawn ? draws : 1); ++draw) {
          crashes.push_back(
              {.point = point, .fate = fate, .keep = {keep, other}, .number = number++});
        }
      }
    }
  }
  return crashes;
}

namespace {

std::optional<Finding> recover_in_turn(FileBay& bay, const Wreck& wreck,
                                       std::span<const Crash> further) {
  Recovered recovered = recover(bay, wreck);
  if (recovered.finding || further.empty()) return std::move(recovered.finding);
  const Recording recovery = recording_of(wreck, std::move(recovered.log));
  return recover_in_turn(bay, wreck_again(wreck, recovery, further.front()), further.subspan(1));
}

}  // namespace

std::optional<Finding> replay(FileBay& bay, const Recording& recording, const Crashes& crashes) {
  const Expectation expected(recording.log.client(), crashes.front().point);
  return recover_in_turn(bay, wreck_of(recording, crashes.front(), expected),
                         std::span(crashes).subspan(1));
}

std::string Explored::summary() const {
  return fmt::format(
      "{} of {} crash points, {} crashes recovered, {} left out as equal, {} crashes of the "
      "recoveries recovered, {} failed",
      points, points_in_all, crashes, equal, again, failures.size());
}

namespace {

class Explorer {
 public:
  Explorer(FileBay& bay, const Recording& recording, const Exploration& exploration,
           const OnFailure& on_failure)
      : bay_(bay), recording_(recording), exploration_(exploration), on_failure_(on_failure) {
    explored_.points_in_all = recording.log.events() + 1;
  }

  Explored run() {
    for (const std::uint64_t point : points_of(recording_, exploration_)) {
      if (over_) break;
      ++explored_.points;
      explore_point(point);
    }
    return std::move(explored_);
  }

 private:
  void explore_point(std::uint64_t point) {
    const std::uint64_t wanted = exploration_.crashes_at_point;
    std::vector<Crash> crashes = crashes_at(point, exploration_.draws);
    if (wanted != 0) shuffle(crashes, sim::Prng(recording_.seed, "crashes", point));
    const Expectation expected(recording_.log.client(), point);
    std::set<std::array<std::uint64_t, std::size_t{2} * node_count>> seen;
    for (const Crash& crash : crashes) {
      if (over_ || (wanted != 0 && seen.size() == wanted)) break;
      const Wreck wreck = wreck_of(recording_, crash, expected);
      const bool is_new =
          seen.insert({static_cast<std::uint64_t>(crash.fate[0]), wreck.images[0].choice,
                       static_cast<std::uint64_t>(crash.fate[1]), wreck.images[1].choice})
              .second;
      if (is_new) {
        explore_crash(crash, wreck);
      } else {
        ++explored_.equal;
      }
    }
  }

  void explore_crash(const Crash& crash, const Wreck& wreck) {
    ++explored_.crashes;
    Recovered recovered = recover(bay_, wreck);
    if (recovered.finding) return failed({crash}, std::move(*recovered.finding));
    if (!crash.both() || exploration_.again == 0) return;
    const Recording recovery = recording_of(wreck, std::move(recovered.log));
    sim::Prng random(wreck.seed, "again", crash.number);
    for (std::uint64_t i = 0; i < exploration_.again && !over_; ++i) {
      const auto choices = crashes_at(random.below(recovery.log.events() + 1), 1);
      const Crash& next = choices[random.below(choices.size())];
      ++explored_.again;
      auto finding = recover(bay_, wreck_again(wreck, recovery, next)).finding;
      if (finding) failed({crash, next}, std::move(*finding));
    }
  }

  void failed(Crashes crashes, Finding finding) {
    explored_.failures.push_back({std::move(crashes), std::move(finding)});
    if (on_failure_) on_failure_(explored_.failures.back());
    over_ = exploration_.stop_at_first;
  }

  FileBay& bay_;
  const Recording& recording_;
  const Exploration& exploration_;
  const OnFailure& on_failure_;
  Explored explored_;
  bool over_ = false;
};

}  // namespace

Explored explore(FileBay& bay, const Recording& recording, const Exploration& exploration,
                 const OnFailure& on_failure) {
  return Explorer(bay, recording, exploration, on_failure).run();
}

std::string to_text(const Failure& failure, const Recording& recording, int scale) {
  std::string text = fmt::format(
      "{}: {}\n  crash before {}\n  replay with: baton-crash --seed {} --scale {} "
      "--replay {}\n",
      failure.finding.rule, failure.finding.what,
      recording.log.describe(failure.crashes.front().point), recording.seed, scale,
      to_text(failure.crashes));
  return text;
}

std::string folder_for_recovery() {
  constexpr const char* in_memory = "/dev/shm";
  if (::access(in_memory, W_OK) == 0) return in_memory;
  return std::filesystem::temp_directory_path();
}

}  // namespace baton::crash
