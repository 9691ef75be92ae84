#include "tests/simulation/oracle.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "tests/simulation/damage.h"
#include "tests/simulation/trace.h"

namespace baton::sim {

Oracle::Oracle(std::size_t nodes, const std::vector<std::uint64_t>& volume_sizes)
    : nodes_(nodes), all_(static_cast<NodeSet>((1U << nodes) - 1)), lost_cache_at_(nodes) {
  for (std::size_t i = 0; i < volume_sizes.size(); ++i) {
    const Cells cells(static_cast<std::uint32_t>(i), volume_sizes[i]);
    volumes_.push_back({cells, std::vector<std::int32_t>(cells.count(), -1), {}, {}});
  }
  Write blank{};
  blank.node = -1;
  blank.zero = true;
  blank.fate = Fate::firm;
  blank.ended = blank.acknowledged = 0;
  blank.copies = blank.durable = all_;
  writes_.push_back(blank);
}

NodeSet Oracle::lost_cache_since(std::uint64_t time) const {
  NodeSet nodes = 0;
  for (std::size_t node = 0; node < nodes_; ++node) {
    if (lost_cache_at_[node] > time) nodes |= bit(static_cast<int>(node));
  }
  return nodes;
}

// --- histories of cells ---

std::vector<Oracle::Entry>& Oracle::history_of(Volume& volume, std::uint64_t cell) {
  std::int32_t& index = volume.index[cell];
  if (index < 0) {
    index = static_cast<std::int32_t>(volume.histories.size());
    volume.histories.emplace_back().push_back({.value = 0, .write = 0, .observed = 0});
    volume.touched.push_back(cell);
  }
  return volume.histories[static_cast<std::size_t>(index)];
}

const std::vector<Oracle::Entry>* Oracle::find_history(const Volume& volume,
                                                       std::uint64_t cell) const {
  const std::int32_t index = volume.index[cell];
  return index < 0 ? nullptr : &volume.histories[static_cast<std::size_t>(index)];
}

const Oracle::Entry* Oracle::entry_of(std::uint64_t write, std::uint64_t cell) const {
  const std::vector<Entry>* history = find_history(volumes_[writes_[write].volume], cell);
  if (history == nullptr) return nullptr;
  const auto found = std::ranges::find(*history, write, &Entry::write);
  return found == history->end() ? nullptr : &*found;
}

bool Oracle::binds(const Write& write, int node) const {
  if (write.fate != Fate::firm || write.rolled_back) return false;
  return forked_ ? has(write.copies, node) : write.copies != 0;
}

// By then the write had surely taken effect, or never would.
std::uint64_t Oracle::known_by(const Entry& entry) const {
  return std::min(writes_[entry.write].ended, entry.observed);
}

// A write that had surely taken the place of `entry` before `invoked`; null: it may still show.
const Oracle::Entry* Oracle::superseder(const std::vector<Entry>& history, const Entry& entry,
                                        int node, std::uint64_t invoked) const {
  const std::uint64_t known = known_by(entry);
  if (known == never) return nullptr;
  for (const Entry& other : history) {
    const Write& write = writes_[other.write];
    if (&other == &entry || !binds(write, node)) continue;
    if (write.invoked > known && known_by(other) <= invoked) return &other;
    // Once a read that began after `entry` was settled has returned another value, `entry` is gone.
    const bool same_content = write.zero && writes_[entry.write].zero;
    // What was read on the other side of a fork says nothing on this one.
    if (forked_ && other.seen_by > forked_at_ && other.seen_on != node) continue;
    if (!same_content && other.seen_from > known && other.seen_by <= invoked) return &other;
  }
  return nullptr;
}

// In a fork, of a write that came after it. Acknowledged, it is of the history of the copies that
// are bound to it: its client's node may be served by the other. While it is on its way nothing
// says.
bool Oracle::of_its_history(const Write& write, int node) {
  if (write.fate == Fate::in_flight) return true;
  return write.fate == Fate::firm ? has(write.copies, node) : write.node == node;
}

bool Oracle::may_show(const std::vector<Entry>& history, const Entry& entry, int node,
                      std::uint64_t invoked) const {
  const Write& write = writes_[entry.write];
  if (write.fate == Fate::refused || write.rolled_back) return false;
  if (forked_ && write.invoked > forked_at_ && !of_its_history(write, node)) return false;
  return superseder(history, entry, node, invoked) == nullptr;
}

// Entries that can never show again whatever happens: what took their place is durable everywhere.
void Oracle::prune(std::vector<Entry>& history) const {
  constexpr std::size_t worth_looking = 8;
  if (history.size() < worth_looking || history_kept_) return;
  const std::uint64_t oldest = reads_open_.empty() ? now_ : reads_open_.front();
  const auto gone = [&](const Entry& entry) {
    const Write& write = writes_[entry.write];
    if (write.fate == Fate::in_flight) return false;
    for (const Entry& other : history) {
      const Write& later = writes_[other.write];
      const bool stays = later.fate == Fate::firm && !later.rolled_back && later.durable == all_;
      if (stays && later.invoked > known_by(entry) && later.acknowledged <= oldest) {
        return true;
      }
    }
    return false;
  };
  std::vector<Entry> kept;
  for (const Entry& entry : history) {
    if (!gone(entry)) kept.push_back(entry);
  }
  history = std::move(kept);
}

// --- clients ---

std::uint64_t Oracle::invoke_write(int node, std::uint32_t volume, std::uint64_t offset,
                                   std::uint64_t length, bool zero, bool fua) {
  Write write{};
  write.node = node;
  write.volume = volume;
  write.offset = offset;
  write.length = length;
  write.zero = zero;
  write.fua = fua;
  write.invoked = ++now_;
  writes_.push_back(write);
  const std::uint64_t number = writes_.size() - 1;
  const Cells& cells = volumes_[volume].cells;
  for (std::uint64_t at = offset; at < offset + length;) {
    const std::uint64_t cell = cells.cell_at(at);
    auto& history = history_of(volumes_[volume], cell);
    prune(history);
    history.push_back({.value = number, .write = number});
    at += cells.bytes_of(cell);
  }
  return number;
}

void Oracle::end_write(std::uint64_t write, Fate fate) {
  writes_[write].ended = ++now_;
  for (const auto& [original, record] : seen_in_flight_) {
    if (original == write) writes_[record].ended = now_;
  }
  if (writes_[write].fate == Fate::in_flight) writes_[write].fate = fate;
}

void Oracle::write_done(std::uint64_t write, NodeSet copies, int holder) {
  // The answer of a copy that has lost its cache since was still on its way.
  if (!writes_[write].fua) {
    copies &= static_cast<NodeSet>(~lost_cache_since(writes_[write].invoked));
  }
  // What was lost on its way has come to the holder since, for it has answered.
  NodeSet fell = writes_[write].fell;
  if (holder >= 0) fell &= static_cast<NodeSet>(~bit(holder));
  copies &= static_cast<NodeSet>(~fell);
  if (copies == 0) return write_unknown(write);
  end_write(write, Fate::firm);
  Write& done = writes_[write];
  done.fate = Fate::firm;
  done.acknowledged = now_;
  done.copies |= copies;
  if (done.fua) done.durable |= copies;
  if (forked_ && done.invoked > forked_at_) branch_has_begun(copies);
  for (const auto& [original, record] : seen_in_flight_) {
    if (original != write) continue;
    writes_[record].copies |= copies;
    if (done.fua) writes_[record].durable |= copies;
  }
  std::erase_if(seen_in_flight_, [write](const auto& pair) { return pair.first == write; });
  ++acknowledged_;
}

void Oracle::write_refused(std::uint64_t write) {
  end_write(write, Fate::refused);
}

void Oracle::write_unknown(std::uint64_t write) {
  end_write(write, Fate::unknown);
}

std::uint64_t Oracle::invoke_read() {
  reads_open_.push_back(++now_);
  return now_;
}

void Oracle::read_abandoned(std::uint64_t invoked) {
  std::erase(reads_open_, invoked);
}

void Oracle::note_observed(Entry& entry, int node, std::uint32_t volume, std::uint64_t cell,
                           std::uint64_t invoked, NodeSet copies) {
  entry.observed = std::min(entry.observed, now_);
  if (invoked > entry.seen_from) {
    entry.seen_from = invoked;
    entry.seen_by = now_;
    entry.seen_on = node;
  }
  const Write& write = writes_[entry.write];
  // An answer that was on its way when the copy it came from lost the write proves nothing now.
  if (write.fate == Fate::firm || invoked < write.lost_at) return;
  // Seen once, it has happened here: from now on it binds like an acknowledged write.
  Write record = write;
  record.volume = volume;
  record.offset = volumes_[volume].cells.offset_of(cell);
  record.length = volumes_[volume].cells.bytes_of(cell);
  record.fate = Fate::firm;
  record.acknowledged = now_;
  // In a fork the other copy is another history's, whatever this node still believes.
  record.copies = forked_ ? bit(node) : copies;
  record.durable = 0;
  record.observed = true;
  if (write.fate == Fate::in_flight) seen_in_flight_.emplace_back(entry.write, writes_.size());
  entry.write = writes_.size();
  writes_.push_back(record);
}

std::optional<Finding> Oracle::judge(int node, std::uint32_t volume, std::uint64_t cell,
                                     std::span<const std::byte> content, std::uint64_t invoked,
                                     const Entry** matched) const {
  const Volume& v = volumes_[volume];
  const std::optional<std::uint64_t> value = v.cells.decode(cell, content);
  const std::vector<Entry>* history = find_history(v, cell);
  const std::string where = fmt::format("volume {} offset {} on node {}", volume,
                                        v.cells.offset_of(cell), node_name(node));
  if (!value) return Finding{"R7 invented value", where + " holds what nobody wrote there"};
  if (history == nullptr) {
    if (*value == 0) return {};
    return Finding{"R7 invented value", where + " was never written and is not zero"};
  }
  const Entry* shown = nullptr;
  std::size_t matches = 0;
  for (const Entry& entry : *history) {
    const bool same = *value == 0 ? writes_[entry.write].zero : entry.value == *value;
    if (!same) continue;
    if (shown == nullptr || writes_[shown->write].fate == Fate::refused) shown = &entry;
    if (!may_show(*history, entry, node, invoked)) continue;
    ++matches;
    if (matched != nullptr) *matched = &entry;
  }
  if (matches > 0) {
    if (matches > 1 && matched != nullptr) *matched = nullptr;  // two zeroings look alike
    return {};
  }
  // Zeroes are of the blank disk or of any zeroing.
  const bool refused =
      *value != 0 && shown != nullptr && writes_[shown->write].fate == Fate::refused;
  if (old_values_excused_ && *value < writes_.size() && !refused) return {};
  if (shown != nullptr) return explain(node, volume, cell, *history, *shown, invoked);
  if (*value < writes_.size() && *value != 0) {
    return Finding{
        "R7 stale read",
        where + " shows " + describe({.value = *value, .write = *value}) + ", long overwritten"};
  }
  return Finding{"R7 invented value", where + " shows a write that never was"};
}

std::string Oracle::describe(const Entry& entry) const {
  if (entry.value == 0) return "the blank disk";
  const Write& w = writes_[entry.write];
  const char* fate = w.rolled_back               ? "rolled back"
                     : w.fate == Fate::firm      ? "acknowledged"
                     : w.fate == Fate::refused   ? "refused"
                     : w.fate == Fate::in_flight ? "in flight"
                                                 : "failed or unanswered";
  std::string copies;
  for (int node = 0; node < static_cast<int>(nodes_); ++node) {
    if (has(w.copies, node)) copies += node_name(node) + (has(w.durable, node) ? "+" : "");
  }
  return fmt::format("#{} ({} via {}, {}+{}, {}{}{})", entry.value, w.zero ? "zeroes" : "write",
                     node_name(w.node), w.offset, w.length, fate, copies.empty() ? "" : " on ",
                     copies);
}

Finding Oracle::explain(int node, std::uint32_t volume, std::uint64_t cell,
                        const std::vector<Entry>& history, const Entry& shown,
                        std::uint64_t invoked) const {
  const Write& write = writes_[shown.write];
  std::string what =
      fmt::format("volume {} offset {} on node {} shows {}", volume,
                  volumes_[volume].cells.offset_of(cell), node_name(node), describe(shown));
  if (write.rolled_back) return {"R9 a discarded write came back", what};
  if (write.fate == Fate::refused) return {"R3 a refused write took effect", what};
  const Entry* over = superseder(history, shown, node, invoked);
  if (over == nullptr) return {"R3 histories were mixed", what};
  const Write& expected = writes_[over->write];
  what += "; expected " + describe(*over);
  if (last_failure_ <= expected.acknowledged) return {"R7 stale read", what};
  if (expected.durable != 0) return {"R2 flushed write lost", what};
  return {"R1 acknowledged write lost", what};
}

std::optional<Finding> Oracle::read_done(int node, std::uint32_t volume, std::uint64_t invoked,
                                         std::uint64_t offset, std::span<const std::byte> data,
                                         NodeSet copies) {
  ++now_;
  ++reads_checked_;
  read_abandoned(invoked);
  const Cells& cells = volumes_[volume].cells;
  for (std::uint64_t done = 0; done < data.size();) {
    const std::uint64_t cell = cells.cell_at(offset + done);
    const std::uint64_t bytes = cells.bytes_of(cell);
    const Entry* matched = nullptr;
    if (damage_ != nullptr && damage_->hurt_since(volume, cell, invoked)) {
      done += bytes;
      continue;
    }
    auto finding = judge(node, volume, cell, data.subspan(done, bytes), invoked, &matched);
    if (finding) return finding;
    if (matched != nullptr) {
      auto& history = history_of(volumes_[volume], cell);
      note_observed(history[static_cast<std::size_t>(matched - history.data())], node, volume, cell,
                    invoked, copies);
    }
    done += bytes;
  }
  return {};
}

void Oracle::flush_done(std::uint32_t volume, std::uint64_t invoked, NodeSet copies) {
  ++now_;
  for (Write& write : writes_) {
    if (write.volume == volume && write.fate == Fate::firm && write.acknowledged < invoked) {
      write.durable |= static_cast<NodeSet>(write.copies & copies);
    }
  }
}

void Oracle::own_flush_done(std::span<const std::uint64_t> writes, std::uint64_t invoked) {
  ++now_;
  for (const std::uint64_t number : writes) {
    Write& write = writes_[number];
    if (write.fate == Fate::firm && write.acknowledged < invoked) write.durable |= write.copies;
  }
}

}  // namespace baton::sim
