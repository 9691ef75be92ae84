// Steps that hurt disks, or put other disks in their place, and what the oracle is told of it.
#include <algorithm>

#include "blockdev/metadata/format.h"
#include "tests/simulation/director.h"

namespace baton::sim {

void Director::hurt_disks(const Step& step) {
  Node& node = cluster_.node(step.node);
  const auto volume = static_cast<std::uint32_t>(step.number("volume", 0));
  SimDisk& disk = step.has_word("meta") ? node.metadata(volume) : node.data(volume);
  if (step.what == Do::undo_room) return node.give_undo_room(step.number("bytes", 0));
  if (step.what == Do::mend && step.has_word("undo")) return node.mend_undo();
  if (step.what == Do::mend) return disk.mend();
  if (step.what == Do::slow_disk) {
    DiskModel model = cluster_.settings().disks[static_cast<std::size_t>(step.node)];
    model.slow_max = std::chrono::milliseconds(step.number("ms", 100));
    model.slow_permille = step.number("permille", 200);
    return disk.set_model(model);
  }
  cluster_.oracle().failure();
  const bool lies =
      step.what == Do::rot || step.what == Do::lose_writes || step.what == Do::misdirect;
  if (lies) cluster_.rules().disks().give_up();
  if (step.what == Do::rot) {
    return disk.rot(step.number("offset", 0), step.number("length", UINT64_MAX),
                    step.number("sectors", 1));
  }
  if (step.what == Do::lose_writes || step.what == Do::misdirect) {
    disk.lie({.kind = step.what == Do::misdirect ? DiskLie::Kind::misdirected : DiskLie::Kind::lost,
              .count = step.has_word("sticky") ? UINT64_MAX : step.number("count", 1),
              .offset = step.number("offset", 0),
              .length = step.number("length", UINT64_MAX),
              .to = step.number("to", UINT64_MAX)});
    // Nobody can know what was never stored. One write of a superblock is the exception: of the two
    // copies that a commit writes, the other one says it.
    const bool one_copy = !step.has_word("sticky") && step.number("count", 1) == 1 &&
                          step.number("length", UINT64_MAX) <= page_bytes &&
                          step.number("offset", 0) < blockdev::activity_log_offset &&
                          step.number("to", UINT64_MAX - 1) >= blockdev::activity_log_offset;
    if (step.has_word("meta") && !one_copy) cluster_.oracle().excuse_old_values();
    return;
  }
  if (step.what == Do::hang) {
    if (!step.has_word("guarded") || cluster_.may_fail(disk)) disk.hang();
    return;
  }
  if (step.has_word("all")) return disk.fail_for_good();
  DiskFault fault;
  fault.op = step.has_word("read")    ? blockdev::Op::read
             : step.has_word("flush") ? blockdev::Op::flush
                                      : blockdev::Op::write;
  fault.count = step.has_word("sticky") ? UINT64_MAX : step.number("count", 1);
  fault.offset = step.number("offset", 0);
  fault.length = step.number("length", UINT64_MAX);
  fault.error = step.has_word("enospc") ? IoError::no_space : IoError::io;
  fault.guarded = step.has_word("guarded");
  if (step.has_word("undo")) return node.fail_undo(fault);
  disk.fail(fault);
}

// The disks of a node that the step names: data, metadata or both, of one volume or of all.
std::vector<SimDisk*> Director::named_disks(const Step& step) {
  Node& node = cluster_.node(step.node);
  std::vector<SimDisk*> disks;
  const std::uint64_t only = step.number("volume", UINT64_MAX);
  for (std::uint32_t volume = 0; volume < node.volumes(); ++volume) {
    if (only != UINT64_MAX && only != volume) continue;
    if (!step.has_word("meta")) disks.push_back(&node.data(volume));
    if (!step.has_word("data")) disks.push_back(&node.metadata(volume));
  }
  return disks;
}

void Director::replace_disks(const Step& step) {
  Node& node = cluster_.node(step.node);
  const auto number = static_cast<std::size_t>(step.node);
  Rules& rules = cluster_.rules();
  if (step.what == Do::snapshot) {
    for (SimDisk* disk : named_disks(step)) disk->take_snapshot();
    cluster_.oracle().keep_history();
    // Between two sessions nobody sees from outside whether the next one is stamped yet: it takes
    // another one to make the copy surely an old one.
    newer_from_[number] = rules.meetings() + (rules.connected() ? 1 : 2);
    return;
  }
  // A script of which steps were left out may say this of a node that runs.
  if (node.running()) return;
  cluster_.oracle().failure();
  rules.disks().give_up();
  if (step.what == Do::create_md) return make_anew(step.node);
  const std::vector<SimDisk*> disks = named_disks(step);
  const auto copied = [](const SimDisk* disk) { return disk->has_snapshot(); };
  if (step.what == Do::restore && !std::ranges::all_of(disks, copied)) return;
  const bool data_alone = step.has_word("data");
  const bool known = step.what == Do::blank || rules.meetings() >= newer_from_[number];
  // The other node has evidence, or the start is refused: nothing in the copy is excused, since it
  // must not count as it is. Data alone, or a copy from within the session that is still the
  // newest, nobody can tell from the disk itself: the damage is in the cells that differ.
  if (known && !data_alone) rules.damage().ignore(step.node);
  for (SimDisk* disk : disks) {
    step.what == Do::restore ? disk->restore_snapshot() : disk->replace_by_blank();
  }
  rules.damage().ignore(-1);
  rules.damage().look_again(step.node);
  cluster_.oracle().replaced(step.node);
  rules.went_back(step.node);
  // What a power cut had taken from the data before, the metadata of that time does not know
  // either.
  if (!known && !data_alone && !step.has_word("meta")) rules.hurt_where_different(step.node);
  // Metadata alone, from within the session: what was on its way since, and which blocks the peer
  // lacks, is forgotten.
  if (!known && step.has_word("meta")) cluster_.oracle().excuse_old_values();
}

// batonctl create-md: a copy that knows nothing and is bound to have nothing.
void Director::make_anew(int number) {
  cluster_.node(number).create_metadata();
  cluster_.oracle().replaced(number);
}

// A start that was refused has said why, in one sentence for a person, and an operator does what it
// says.
void Director::repair_refused_start(int number) {
  Node& node = cluster_.node(number);
  const std::string why = node.refusal();
  if (why.size() < 20 || why.size() > 500 || why.find('\n') != std::string::npos) {
    return cluster_.world().violated("a start is refused without a clear sentence",
                                     node_name(number) + ": " + why);
  }
  node.exit();
  // A disk that could not be read may be read now.
  const bool lost = why.contains("create-md") && !why.contains("unreadable");
  if (lost) make_anew(number);
  node.start();
}

}  // namespace baton::sim
