#include "tests/crash/crash_image.h"

#include <algorithm>
#include <span>
#include <vector>

namespace baton::crash {

using blockdev::Op;

namespace {

constexpr std::uint64_t sector_bytes = sim::sector_bytes;

// What was submitted before the last flush that is over is on stable storage, if it was complete by
// then (blockdev/block_device.h, flush).
std::uint64_t flushed_before(const Log& log, int node, Part part, std::uint64_t point) {
  std::uint64_t before = 0;
  for (const DiskRequest& request : log.disk()) {
    const bool covers = request.node == node && request.part == part && request.op == Op::flush &&
                        request.completed < point && !request.forgotten;
    if (covers) before = std::max(before, request.submitted);
  }
  return before;
}

bool certain(const DiskRequest& write, Fate fate, std::uint64_t point, std::uint64_t flushed) {
  if (write.completed >= point) return false;
  return fate == Fate::killed || write.fua || write.completed < flushed;
}

void apply(sim::SparseImage& image, const DiskRequest& write, std::uint64_t begin,
           std::uint64_t end) {
  if (write.op == Op::write) {
    image.write(write.offset + begin, std::span(write.bytes).subspan(begin, end - begin));
  } else {
    image.zero(write.offset + begin, end - begin);
  }
}

void apply_some_sectors(sim::SparseImage& image, const DiskRequest& write, sim::Prng& random) {
  for (std::uint64_t begin = 0; begin < write.length;) {
    const std::uint64_t at = write.offset + begin;
    const std::uint64_t end = std::min(write.length, begin + sector_bytes - at % sector_bytes);
    if (random.percent(50)) apply(image, write, begin, end);
    begin = end;
  }
}

class Chooser {
 public:
  Chooser(Keep keep, std::uint64_t uncertain, sim::Prng random) : keep_(keep), random_(random) {
    border_ = random_.below(uncertain + 1);
  }

  // Of the next uncertain write.
  bool keeps(const DiskRequest& write) {
    const std::uint64_t number = number_++;
    switch (keep_) {
      case Keep::nothing:
        return false;
      case Keep::everything:
      case Keep::torn:
        return true;
      case Keep::only_data:
        return write.part == Part::data;
      case Keep::only_metadata:
        return write.part == Part::metadata;
      case Keep::prefix:
        return number < border_;
      case Keep::newest:
        return number >= border_;
      case Keep::subset:
        return random_.percent(50);
    }
    return false;
  }
  bool tears() const { return keep_ == Keep::torn; }
  sim::Prng& random() { return random_; }

 private:
  Keep keep_;
  sim::Prng random_;
  std::uint64_t border_ = 0;
  std::uint64_t number_ = 0;
};

}  // namespace

const char* name_of(Fate fate) {
  static constexpr std::array names = {"absent", "killed", "power-cut"};
  return names[static_cast<std::size_t>(fate)];
}

const char* name_of(Keep keep) {
  static constexpr std::array names = {"nothing", "everything", "only-data", "only-metadata",
                                       "prefix",  "newest",     "subset",    "torn"};
  return names[static_cast<std::size_t>(keep)];
}

HostImage image_at(const Recording& recording, int node, std::uint64_t point, Fate fate, Keep keep,
                   sim::Prng random) {
  const Log& log = recording.log;
  const auto which = static_cast<std::size_t>(node);
  HostImage result;
  result.metadata = sim::SparseImage(recording.metadata[which].size());
  result.data.copy_from(recording.data[which]);
  result.metadata.copy_from(recording.metadata[which]);
  result.boot = recording.boot[which];
  if (fate == Fate::power_cut) result.boot = sim::mix(result.boot) | 1U;

  const std::array flushed = {flushed_before(log, node, Part::data, point),
                              flushed_before(log, node, Part::metadata, point)};
  const auto is_certain = [&](const DiskRequest& write) {
    return certain(write, fate, point, flushed[static_cast<std::size_t>(write.part)]);
  };
  std::vector<const DiskRequest*> writes;
  for (const DiskRequest& request : log.disk()) {
    if (request.submitted >= point) break;
    if (request.node != node || request.op == Op::flush || request.forgotten) continue;
    writes.push_back(&request);
    if (!is_certain(request)) ++result.uncertain;
  }

  Chooser chooser(keep, result.uncertain, random);
  // In the order in which they were submitted: what is written later comes over what is older. No
  // two that overlap are under way together (the engine orders them).
  for (const DiskRequest* write : writes) {
    sim::SparseImage& image = write->part == Part::data ? result.data : result.metadata;
    if (is_certain(*write)) {
      apply(image, *write, 0, write->length);
      continue;
    }
    const bool kept = chooser.keeps(*write);
    result.choice = sim::mix(result.choice * 2 + (kept ? 1 : 0));
    if (kept && chooser.tears()) {
      apply_some_sectors(image, *write, chooser.random());
      result.choice = sim::mix(result.choice ^ chooser.random().next());
    } else if (kept) {
      apply(image, *write, 0, write->length);
    }
  }
  return result;
}

}  // namespace baton::crash
