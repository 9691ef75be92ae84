// What is demanded of the copies: of each that counts as UpToDate, of all of them together, and of
// what a verify says of them.
#include <fmt/format.h>

#include <algorithm>

#include "tests/simulation/rules.h"

namespace baton::sim {

using replication::ReplicationState;

// A claim that nobody may rely on yet is not held against a node: who does not hold the baton and
// believes in a link which the holder has given up says UpToDate until its own timeout.
bool Rules::claim_counts(int node, std::uint32_t volume) const {
  const Seen& own = seen_[static_cast<std::size_t>(node)];
  if (!own.running || !own.claims[volume]) return false;
  if (own.primary && (own.holder == node || own.holder < 0)) return true;
  // A disk of the past says what it said then, and cannot know better before it is told: promoting
  // it asks first.
  if (has(went_back_, node)) return false;
  for (const Seen& other : seen_) {
    if (&other == &own || !other.running) continue;
    return own.connected && has(other.copies[volume], node);
  }
  return !own.connected;
}

// Primary, and has not given the baton to another without having heard that it was taken.
bool Rules::writes_here(int node) const {
  const Seen& own = seen_[static_cast<std::size_t>(node)];
  return own.primary && std::ranges::none_of(seen_, [&](const Seen& other) {
           return other.running && other.primary && other.epoch > own.epoch;
         });
}

// After a fork a copy that follows a holder is measured by the holder's history.
int Rules::whose_history(int node) const {
  const Seen& own = seen_[static_cast<std::size_t>(node)];
  // Who is served by the holder shows its history, too.
  const bool holds = own.primary && (own.holder == node || own.holder < 0);
  return holds || !own.connected || own.holder < 0 ? node : own.holder;
}

void Rules::check_claims(bool only_new) {
  const ReadCopy read = read_copy();
  for (auto& node : nodes_) {
    const int number = node->number();
    for (std::uint32_t volume = 0; volume < node->volumes(); ++volume) {
      const bool counts = claim_counts(number, volume);
      char& before = checked_[static_cast<std::size_t>(number)].at(volume);
      const bool checked = std::exchange(before, counts ? 1 : 0) != 0;
      if (!counts || (only_new && checked)) continue;
      // Under A and B an acknowledged write may still be on its way to the other copy, whatever the
      // node has become since it received it: readers wait for it.
      const bool may_lag =
          protocol_ != replication::Protocol::c && (!writes_here(number) || !node->disks_idle());
      if (may_lag && !(clients_idle() && all_arrived() && node->disks_idle())) continue;
      if (auto finding = oracle_.check_copy(number, whose_history(number), volume, read)) {
        world_.violated(finding->rule, finding->what);
      } else if (protocol_ != replication::Protocol::a) {
        oracle_.has_everything(number, volume);
      }
    }
  }
}

// What a cut link has swallowed is on its way until the cut is noticed.
bool Rules::all_arrived() const {
  return net_.quiet() && net_.carries(0, 1) && net_.carries(1, 0);
}

void Rules::check_equal() {
  if (!both_up_to_date() || oracle_.is_forked() || !clients_idle() || !all_arrived()) return;
  if (oracle_.old_values_excused()) return;
  for (auto& node : nodes_) {
    if (!node->disks_idle()) return;
  }
  for (std::size_t i = 1; i < nodes_.size(); ++i) {
    for (std::uint32_t volume = 0; volume < nodes_[0]->volumes(); ++volume) {
      const SparseImage& first = nodes_[0]->data(volume).visible();
      const SparseImage& other = nodes_[i]->data(volume).visible();
      const std::optional<std::uint64_t> differs =
          first_unexcused_difference(volume, static_cast<int>(i));
      if (!differs) continue;
      const Cells& cells = oracle_.cells(volume);
      const std::uint64_t cell = *differs;
      std::array<std::byte, sector_bytes> buffer;
      const std::span content = std::span(buffer).first(cells.bytes_of(cell));
      std::string values;
      for (const SparseImage* image : {&first, &other}) {
        image->read(cells.offset_of(cell), content);
        const auto value = cells.decode(cell, content);
        values += value ? fmt::format(" #{}", *value) : " garbage";
      }
      world_.violated("equal copies", fmt::format("volume {} differs at offset {}:{}", volume,
                                                  cells.offset_of(cell), values));
      return;
    }
  }
}

void Rules::hurt_where_different(int node) {
  const auto number = static_cast<std::size_t>(node);
  Node& other = *nodes_[number == 0 ? 1 : 0];
  for (std::uint32_t volume = 0; volume < nodes_[number]->volumes(); ++volume) {
    const SparseImage& ours = nodes_[number]->data(volume).visible();
    const SparseImage& theirs = other.data(volume).visible();
    std::uint64_t at = ours.first_difference(theirs);
    while (at < ours.size()) {
      const std::uint64_t block = at / image_block_bytes * image_block_bytes;
      const std::uint64_t bytes = std::min(image_block_bytes, ours.size() - block);
      damage_.hurt(node, volume, block, bytes);
      at = ours.first_difference(theirs, block + image_block_bytes);
    }
  }
}

// The first cell in which the copies of node 0 and `other` differ although no disk has lied there.
std::optional<std::uint64_t> Rules::first_unexcused_difference(std::uint32_t volume,
                                                               int other) const {
  const Cells& cells = oracle_.cells(volume);
  const SparseImage& ours = nodes_[0]->data(volume).visible();
  const SparseImage& theirs = nodes_[static_cast<std::size_t>(other)]->data(volume).visible();
  std::array<std::byte, sector_bytes> a;
  std::array<std::byte, sector_bytes> b;
  std::uint64_t at = ours.first_difference(theirs);
  while (at < ours.size()) {
    const std::uint64_t block_end =
        std::min((at / image_block_bytes + 1) * image_block_bytes, ours.size());
    while (at < block_end) {
      const std::uint64_t cell = cells.cell_at(at);
      const std::uint64_t bytes = cells.bytes_of(cell);
      ours.read(cells.offset_of(cell), std::span(a).first(bytes));
      theirs.read(cells.offset_of(cell), std::span(b).first(bytes));
      const bool same = std::ranges::equal(std::span(a).first(bytes), std::span(b).first(bytes));
      const bool excused =
          damage_.hurt_now(0, volume, cell) || damage_.hurt_now(other, volume, cell);
      if (!same && !excused) return cell;
      at = cells.offset_of(cell) + bytes;
    }
    at = ours.first_difference(theirs, at);
  }
  return std::nullopt;
}

// Verify knows nothing of the faults, and may report none but their places.
void Rules::check_found(const Node& node, const replication::VerifyStatus& verify) {
  if (oracle_.old_values_excused()) return;
  for (const replication::FoundRange& range : verify.listed) {
    const Cells& cells = oracle_.cells(range.volume);
    const std::uint64_t end = range.offset + range.length;
    for (std::uint64_t block = range.offset; block < end; block += image_block_bytes) {
      const std::uint64_t block_end = std::min(block + image_block_bytes, end);
      bool touched = false;
      for (std::uint64_t at = block; at < block_end && !touched;) {
        const std::uint64_t cell = cells.cell_at(at);
        touched = damage_.ever_hurt(range.volume, cell);
        at = cells.offset_of(cell) + cells.bytes_of(cell);
      }
      if (touched) continue;
      return world_.violated(
          "verify reports what no fault has touched",
          fmt::format("node {}: volume {} at {}", node_name(node.number()), range.volume, block));
    }
  }
}

void Rules::verified(std::uint64_t began) {
  if (!clients_idle() || !all_arrived() || oracle_.old_values_excused()) return;
  for (auto& node : nodes_) {
    if (!node->disks_idle()) return;
  }
  const auto missed = damage_.first_difference(began);
  if (!missed) return;
  world_.violated("verify misses what differs",
                  fmt::format("volume {} at {} was damaged before, still differs, and verify says "
                              "that all is well",
                              missed->volume, missed->offset));
}

}  // namespace baton::sim
