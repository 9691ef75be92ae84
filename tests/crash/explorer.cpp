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

std::vector<Case> cases_at(std::uint64_t point, std::uint64_t draws) {
  std::vector<Case> cases;
  std::uint64_t number = 0;
  for (const auto& fate : endings) {
    const bool alone = fate[0] == Fate::absent || fate[1] == Fate::absent;
    for (const Keep keep : all_keeps) {
      const auto partners = partners_of(keep);
      for (const Keep other : std::span(partners).first(alone ? 1 : partners.size())) {
        const bool drawn = by_chance(keep) || (!alone && by_chance(other));
        for (std::uint64_t draw = 0; draw < (drawn ? draws : 1); ++draw) {
          cases.push_back(
              {.point = point, .fate = fate, .keep = {keep, other}, .number = number++});
        }
      }
    }
  }
  return cases;
}

std::string Explored::summary() const {
  return fmt::format("{} of {} crash points, {} crashes recovered, {} left out as equal, {} failed",
                     points, points_in_all, cases, equal, failures.size());
}

Explored explore(FileBay& bay, const Recording& recording, const Exploration& exploration,
                 const OnFailure& on_failure) {
  Explored explored;
  explored.points_in_all = recording.log.events() + 1;
  for (const std::uint64_t point : points_of(recording, exploration)) {
    ++explored.points;
    std::vector<Case> cases = cases_at(point, exploration.draws);
    if (exploration.cases_at_point != 0) {
      shuffle(cases, sim::Prng(recording.seed, "cases", point));
    }
    std::set<std::array<std::uint64_t, 2 * node_count>> seen;
    std::uint64_t tried = 0;
    for (const Case& crash : cases) {
      if (exploration.cases_at_point != 0 && tried == exploration.cases_at_point) break;
      const HostImages images = images_of(recording, crash);
      const bool is_new = seen.insert({static_cast<std::uint64_t>(crash.fate[0]), images[0].choice,
                                       static_cast<std::uint64_t>(crash.fate[1]), images[1].choice})
                              .second;
      if (!is_new) {
        ++explored.equal;
        continue;
      }
      ++tried;
      ++explored.cases;
      auto finding = recover(bay, recording, crash, images);
      if (!finding) continue;
      explored.failures.push_back({crash, std::move(*finding)});
      if (on_failure) on_failure(explored.failures.back());
      if (exploration.stop_at_first) return explored;
    }
  }
  return explored;
}

std::string to_text(const Failure& failure, const Recording& recording, int scale) {
  std::string text = fmt::format(
      "{}: {}\n  crash before {}\n  replay with: baton-crash --seed {} --scale {} "
      "--replay {}\n",
      failure.finding.rule, failure.finding.what, recording.log.describe(failure.crash.point),
      recording.seed, scale, to_text(failure.crash));
  return text;
}

std::string folder_for_recovery() {
  constexpr const char* in_memory = "/dev/shm";
  if (::access(in_memory, W_OK) == 0) return in_memory;
  return std::filesystem::temp_directory_path();
}

}  // namespace baton::crash
