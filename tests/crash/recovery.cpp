#include "tests/crash/recovery.h"

#include <fmt/format.h>

#include <algorithm>

#include "blockdev/metadata/metadata.h"
#include "tests/crash/marks_on_disk.h"

namespace baton::crash {

using replication::ConnectionState;
using replication::DiskState;

namespace {

constexpr Duration patience = std::chrono::minutes(2);

class Recovery {
 public:
  Recovery(FileBay& bay, const Wreck& wreck, Log& log)
      : bay_(bay),
        wreck_(wreck),
        world_(wreck.seed),
        net_(world_, node_count, {}),
        recorder_{.world = world_, .bay = bay, .log = &log, .defect = {}} {}

  std::optional<Finding> run() {
    for (int node = 0; node < node_count; ++node) {
      if (!finding_ && is_there(node)) look_at_image(node);
    }
    if (!finding_ && is_there(0) && is_there(1)) compare_images();
    for (int node = 0; node < node_count; ++node) {
      if (!finding_ && is_there(node)) start(node);
    }
    if (finding_) return finding_;
    if (is_there(0) && is_there(1)) {
      settle();
    } else {
      go_alone(is_there(0) ? host(0) : host(1));
    }
    return finding_;
  }

 private:
  bool is_there(int node) const {
    return wreck_.fate[static_cast<std::size_t>(node)] != Fate::absent;
  }
  Host& host(int node) { return *hosts_[static_cast<std::size_t>(node)]; }
  const HostImage& image(int node) const { return wreck_.images[static_cast<std::size_t>(node)]; }
  HostFiles files(int node) const {
    const std::string name = name_of_node(node);
    return {bay_.path(name + ".img"), bay_.path(name + ".img.baton")};
  }

  void found(std::string rule, std::string what) {
    if (finding_) return;
    finding_ = Finding{std::move(rule), std::move(what), world_.trace().last(60, true)};
  }
  void check_content(const std::string& whose, const sim::SparseImage& content, Floor floor) {
    if (auto wrong = wreck_.expected.violation(content, floor))
      found("content", whose + ": " + *wrong);
  }

  // What the disk shows before anybody has looked at it.
  void look_at_image(int node) {
    const auto which = static_cast<std::size_t>(node);
    check_content(name_of_node(node) + " after the crash", image(node).data, wreck_.on_disk[which]);
    write_image(files(node).data, image(node).data);
    write_image(files(node).metadata, image(node).metadata);
    if (finding_) return;
    auto marks = marks_on_disk(bay_, files(node).metadata);
    if (!marks) return found("recovery", name_of_node(node) + ": " + marks.error().message);
    marks_[which] = std::move(*marks);
  }

  // Rule 5: what differs is marked on one side or the other. A copy without a history is filled
  // whole, and so is not looked at.
  void compare_images() {
    if (!marks_[0].has_history || !marks_[1].has_history) return;
    const sim::SparseImage& mine = image(0).data;
    const sim::SparseImage& theirs = image(1).data;
    for (std::uint64_t at = mine.first_difference(theirs); at < mine.size();
         at = mine.first_difference(theirs, at)) {
      if (!marks_[0].marked(at) && !marks_[1].marked(at)) {
        return found("marks", fmt::format("the copies differ at byte {}, which neither activity "
                                          "log nor bitmap marks",
                                          at));
      }
      at = (at / blockdev::block_bytes + 1) * blockdev::block_bytes;
    }
  }

  void start(int node) {
    const auto which = static_cast<std::size_t>(node);
    hosts_[which] = std::make_unique<Host>(recorder_, net_, node, files(node), image(node).boot);
    const Result<> up = hosts_[which]->start();
    if (!up) found("recovery", up.error().message);
  }

  // --- both are there ---

  void settle() {
    const bool met = world_.run_while_waiting(
        [this] { return connected(host(0)) && connected(host(1)); }, patience);
    if (!met) return found("recovery", "the two never connect");
    if (!somebody_is_primary() && !promote_one()) return;
    const bool settled = world_.run_while_waiting(
        [this] { return host(0).in_sync() && host(1).in_sync(); }, patience);
    if (!settled) return found("recovery", "the copies are never both UpToDate");
    look_at_what_was_copied();
    write_and_flush(host(0).status().role == replication::Role::primary ? host(0) : host(1));
    for (const int node : {1, 0}) {
      if (finding_) return;
      const Result<> stopped = host(node).stop();
      if (!stopped)
        return found("recovery", "a stop after the recovery: " + stopped.error().message);
    }
    compare_settled();
  }

  // And nothing else was looked at: what was copied was marked.
  void look_at_what_was_copied() {
    if (!marks_[0].has_history || !marks_[1].has_history) return;
    for (const DiskRequest& request : recorder_.log->disk()) {
      if (request.part != Part::data || request.op == blockdev::Op::flush) continue;
      for (std::uint64_t at = request.offset; at < request.offset + request.length;
           at += blockdev::block_bytes) {
        if (marks_[0].marked(at) || marks_[1].marked(at)) continue;
        return found("marks", fmt::format("{} was given byte {} anew, which neither activity log "
                                          "nor bitmap marks",
                                          name_of_node(request.node), at));
      }
    }
  }

  static bool connected(const Host& host) {
    return host.status().connections.front().connection_state == ConnectionState::connected;
  }
  bool somebody_is_primary() {
    return std::ranges::any_of(
        hosts_, [](const auto& each) { return each->status().role == replication::Role::primary; });
  }

  // As an operator does: not by force, unless nobody was ever promoted.
  bool promote_one() {
    Result<> promoted = host(0).promote({});
    if (!promoted) promoted = host(1).promote({});
    if (!promoted && !marks_[0].has_history && !marks_[1].has_history) {
      promoted = host(0).promote({.force = true, .confirmed = true});
    }
    if (!promoted) {
      found("recovery", "neither node can be promoted: " + promoted.error().message);
    }
    return promoted.has_value();
  }

  // The volume can be used: also where the activity log was found full.
  void write_and_flush(Host& primary) {
    auto device = primary.resource().open(0, {.name = "a client"});
    if (!device) return found("recovery", device.error().message);
    for (std::uint64_t region = 0; region * blockdev::region_bytes < volume_bytes; ++region) {
      perform_zeroing(**device, region * blockdev::region_bytes + (2U << 10U) * sim::sector_bytes);
    }
    blockdev::Request flush;
    flush.op = blockdev::Op::flush;
    perform(**device, flush);
    device->reset();
  }
  // Of a place where nothing was written: what it leaves is as it was.
  void perform_zeroing(blockdev::BlockDevice& device, std::uint64_t offset) {
    if (offset + sim::sector_bytes > volume_bytes) return;
    blockdev::Request zeroing;
    zeroing.op = blockdev::Op::write_zeroes;
    zeroing.offset = offset;
    zeroing.length = sim::sector_bytes;
    perform(device, zeroing);
  }
  void perform(blockdev::BlockDevice& device, blockdev::Request& request) {
    if (finding_) return;
    bool answered = false;
    request.on_complete([](Operation& done) { *static_cast<bool*>(done.context()) = true; },
                        &answered);
    device.submit(request);
    if (!world_.run_while_waiting([&answered] { return answered; }, patience)) {
      found("recovery", fmt::format("a {} after the recovery is never answered",
                                    blockdev::name_of(request.op)));
    } else if (request.error != IoError::none) {
      found("recovery", fmt::format("a {} after the recovery: {}", blockdev::name_of(request.op),
                                    name_of(request.error)));
    }
  }

  void compare_settled() {
    const sim::SparseImage mine = read_image(files(0).data);
    const sim::SparseImage theirs = read_image(files(1).data);
    const std::uint64_t at = mine.first_difference(theirs);
    if (at < mine.size()) {
      found("equal", fmt::format("both are UpToDate and differ at byte {}", at));
    }
    check_content("the settled copy", mine, wreck_.settled);
    for (int node = 0; node < node_count && !finding_; ++node) {
      auto marks = marks_on_disk(bay_, files(node).metadata);
      if (!marks) return found("recovery", marks.error().message);
      if (marks->anything()) {
        found("marks", name_of_node(node) + " has marks left after a stop in order");
      }
    }
  }

  // --- one is there ---

  void go_alone(Host& alone) {
    const int node = alone.number();
    const bool claims = alone.disk_state() == DiskState::up_to_date;
    const Result<> promoted = alone.promote({});
    if (promoted && !claims && alone.disk_state() != DiskState::up_to_date) {
      return found("claim", "promoted without force, and not UpToDate");
    }
    if (!promoted) {
      if (claims) return found("claim", "UpToDate, and refuses: " + promoted.error().message);
      const Result<> forced = alone.promote({.force = true, .confirmed = true});
      if (!forced) return found("recovery", "refuses force: " + forced.error().message);
    }
    write_and_flush(alone);
    if (finding_) return;
    const Result<> stopped = alone.stop();
    if (!stopped) return found("recovery", "a stop after the recovery: " + stopped.error().message);
    check_content(name_of_node(node) + (claims ? " alone, UpToDate" : " alone, forced"),
                  read_image(files(node).data),
                  claims ? wreck_.claimed[static_cast<std::size_t>(node)] : Floor::none);
  }

  FileBay& bay_;
  const Wreck& wreck_;
  sim::World world_;
  sim::SimNet net_;
  Recorder recorder_;
  std::array<std::unique_ptr<Host>, node_count> hosts_;
  std::array<MarksOnDisk, node_count> marks_;
  std::optional<Finding> finding_;
};

constexpr Floor after(Fate fate) {
  return fate == Fate::killed ? Floor::acknowledged : Floor::flushed;
}

}  // namespace

HostImages images_of(const Recording& recording, const Crash& crash) {
  const auto image = [&](std::size_t node) {
    return image_at(recording, static_cast<int>(node), crash.point, crash.fate[node],
                    crash.keep[node],
                    sim::Prng(sim::mix(recording.seed) ^ sim::mix(crash.point), "crash",
                              crash.number * node_count + node));
  };
  return {image(0), image(1)};
}

// By rules 1 and 2: a copy that counts holds what was flushed; one that has lost nothing holds what
// was acknowledged, and then both do once they have met.
Wreck wreck_of(const Recording& recording, const Crash& crash, const Expectation& expected) {
  Wreck wreck{.seed = sim::mix(recording.seed ^ sim::mix(crash.point)),
              .images = images_of(recording, crash),
              .fate = crash.fate,
              .expected = expected,
              .settled = Floor::flushed};
  const unsigned counting = recording.log.counting_at(crash.point);
  for (std::size_t node = 0; node < node_count; ++node) {
    const bool counted = (counting >> node & 1U) != 0;
    wreck.on_disk[node] = counted ? after(crash.fate[node]) : Floor::none;
    wreck.claimed[node] = after(crash.fate[node]);
    if (counted && crash.fate[node] == Fate::killed) wreck.settled = Floor::acknowledged;
  }
  return wreck;
}

Recovered recover(FileBay& bay, const Wreck& wreck) {
  Recovered recovered;
  recovered.finding = Recovery(bay, wreck, recovered.log).run();
  return recovered;
}

Recording recording_of(const Wreck& wreck, Log log) {
  Recording recording{.seed = wreck.seed,
                      .log = std::move(log),
                      .data = {sim::SparseImage(volume_bytes), sim::SparseImage(volume_bytes)},
                      .metadata = {sim::SparseImage(wreck.images[0].metadata.size()),
                                   sim::SparseImage(wreck.images[1].metadata.size())},
                      .boot = {wreck.images[0].boot, wreck.images[1].boot}};
  for (std::size_t node = 0; node < node_count; ++node) {
    recording.data[node].copy_from(wreck.images[node].data);
    recording.metadata[node].copy_from(wreck.images[node].metadata);
  }
  return recording;
}

// What a copy lost in the first crash it need not have after the second one. Which copies count
// while they settle, nobody says.
Wreck wreck_again(const Wreck& before, const Recording& recovery, const Crash& crash) {
  Wreck wreck{.seed = sim::mix(recovery.seed ^ sim::mix(crash.point)),
              .images = images_of(recovery, crash),
              .fate = crash.fate,
              .expected = before.expected,
              .settled = before.settled};
  for (std::size_t node = 0; node < node_count; ++node) {
    wreck.claimed[node] = std::min(before.claimed[node], after(crash.fate[node]));
    if (crash.fate[node] == Fate::power_cut) wreck.settled = Floor::flushed;
  }
  return wreck;
}

}  // namespace baton::crash
