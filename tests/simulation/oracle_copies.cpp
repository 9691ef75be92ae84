// The oracle's other half: which copies are bound to have what.
#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "tests/simulation/damage.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/trace.h"

namespace baton::sim {

// What no copy is bound to have any more may be there or not.
void Oracle::lose(Write& write, int node) {
  write.copies &= static_cast<NodeSet>(~bit(node));
  write.durable &= static_cast<NodeSet>(~bit(node));
  write.lost |= bit(node);
  write.lost_at = now_;
  if (write.copies == 0) write.fate = Fate::unknown;
}

void Oracle::forget(Write& write) {
  write.copies = write.durable = 0;
  write.lost_at = now_;
  write.fate = Fate::unknown;
}

void Oracle::replaced(int node) {
  failure();
  replaced_ |= bit(node);
  for (std::uint64_t number = 1; number < writes_.size(); ++number) {
    Write& write = writes_[number];
    if (write.fate != Fate::firm || !has(write.copies, node)) continue;
    lose(write, node);
  }
}

void Oracle::power_cut(int node) {
  failure();
  lost_cache_at_[static_cast<std::size_t>(node)] = now_;
  for (Write& write : writes_) {
    if (write.fate != Fate::firm || !has(write.copies, node) || has(write.durable, node)) continue;
    lose(write, node);
  }
}

void Oracle::flush_failed(int node) {
  failure();
  lost_cache_at_[static_cast<std::size_t>(node)] = now_;
  for (Write& write : writes_) {
    const bool uncovered = has(write.copies, node) && !has(write.durable, node);
    if (write.fate == Fate::firm && uncovered) lose(write, node);
  }
}

void Oracle::killed_before_writing(int node, const ReadCopy& read) {
  failure();
  for (std::uint64_t number = 1; number < writes_.size(); ++number) {
    Write& write = writes_[number];
    if (write.node == node) continue;
    const bool under_way = write.fate == Fate::in_flight;
    const bool at_stake =
        write.fate == Fate::firm && has(write.copies, node) && !has(write.durable, node);
    if ((!under_way && !at_stake) || !surely_missing(number, node, read)) continue;
    // The answer that this copy has received it may be on its way.
    if (under_way) write.fell |= bit(node);
    if (at_stake) lose(write, node);
  }
}

bool Oracle::present(std::uint64_t number, int node, const ReadCopy& read, bool zeroes_tell,
                     bool beside_counts) const {
  const Write& write = writes_[number];
  const Volume& volume = volumes_[write.volume];
  std::array<std::byte, sector_bytes> buffer;
  for (std::uint64_t at = write.offset; at < write.offset + write.length;) {
    const std::uint64_t cell = volume.cells.cell_at(at);
    const std::uint64_t bytes = volume.cells.bytes_of(cell);
    const std::span content = std::span(buffer).first(bytes);
    const Entry* entry = entry_of(number, cell);
    read(node, write.volume, at, content);
    const auto value = volume.cells.decode(cell, content);
    // The write was invoked, or its value read, when the fate of `other` was already settled.
    const auto surely_earlier = [&](const Entry& other) {
      const std::uint64_t known = known_by(other);
      const bool seen_later = entry->seen_by != never && entry->seen_from > known;
      return known != never && (writes_[entry->write].invoked > known || seen_later);
    };
    // No entry: forgotten, because what took its place is durable on every copy. Zeroes may be of
    // any later zeroing.
    const auto zeroed_later = [&](const Entry& other) {
      return entry != nullptr && other.value > entry->value && writes_[other.write].zero &&
             writes_[other.write].fate != Fate::refused && !writes_[other.write].rolled_back &&
             !surely_earlier(other);
    };
    // Of two writes that were under way together the numbers do not say which came last.
    const auto surely_later = [&](std::uint64_t other) {
      return other < writes_.size() && !writes_[other].rolled_back &&
             writes_[other].invoked > known_by(*entry);
    };
    // Nor do they of two that were under way one beside the other, of which nobody was answered.
    const auto ran_beside = [&](std::uint64_t other) {
      const std::vector<Entry>& history = *find_history(volume, cell);
      const auto found = std::ranges::find(history, other, &Entry::value);
      return found != history.end() && !writes_[found->write].rolled_back &&
             !surely_earlier(*found);
    };
    bool shown =
        value && *value != 0 && entry != nullptr &&
        (*value == entry->value || surely_later(*value) || (beside_counts && ran_beside(*value)));
    if (value && *value == 0 && entry != nullptr) {
      shown = zeroes_tell &&
              (write.zero || std::ranges::any_of(*find_history(volume, cell), zeroed_later));
    }
    if (entry != nullptr && !shown) return false;
    at += bytes;
  }
  return true;
}

// Does the copy show, somewhere, what was settled before the write began? When in doubt, no.
bool Oracle::surely_missing(std::uint64_t number, int node, const ReadCopy& read) const {
  const Write& write = writes_[number];
  const Volume& volume = volumes_[write.volume];
  std::array<std::byte, sector_bytes> buffer;
  for (std::uint64_t at = write.offset; at < write.offset + write.length;) {
    const std::uint64_t cell = volume.cells.cell_at(at);
    const std::span content = std::span(buffer).first(volume.cells.bytes_of(cell));
    read(node, write.volume, at, content);
    at += content.size();
    const auto value = volume.cells.decode(cell, content);
    const std::vector<Entry>* history = find_history(volume, cell);
    if (!value || history == nullptr || entry_of(number, cell) == nullptr) continue;
    const bool known = std::ranges::any_of(*history, [&](const Entry& entry) {
      const bool same = *value == 0 ? writes_[entry.write].zero : entry.value == *value;
      return same && (known_by(entry) == never || known_by(entry) >= write.invoked);
    });
    // Not in the history any more: what took its place is durable on every copy.
    const bool later = *value < writes_.size() && writes_[*value].invoked >= write.invoked;
    if (!known && !later) return true;
  }
  return false;
}

// Is any part of it what a reader on `node` must see?
bool Oracle::shows_anywhere(std::uint64_t number, int node) const {
  const Write& write = writes_[number];
  const Volume& volume = volumes_[write.volume];
  for (std::uint64_t at = write.offset; at < write.offset + write.length;) {
    const std::uint64_t cell = volume.cells.cell_at(at);
    const Entry* entry = entry_of(number, cell);
    if (entry != nullptr &&
        superseder(*find_history(volume, cell), *entry, node, now_) == nullptr) {
      return true;
    }
    at += volume.cells.bytes_of(cell);
  }
  return false;
}

void Oracle::forked(int node, const ReadCopy& read) {
  failure();
  if (forked_) return;
  for (std::uint64_t number = 1; number < writes_.size(); ++number) {
    Write& write = writes_[number];
    if (write.fate != Fate::firm || write.rolled_back || has(write.copies, node)) continue;
    // The operator was told that writes may be lost. Those that no flush covered, and that this
    // copy lost with its power, nobody misses: this copy is as good as the other, and is followed.
    if (has(write.lost, node) && write.durable == 0) {
      forget(write);
    } else if (!has(write.absent, node) &&
               (present(number, node, read, !has(replaced_, node), true) ||
                shows_the_same(write, node, read))) {
      write.copies |= bit(node);
      write.believed |= bit(node);
    }
  }
  believe_copy(node, read);
  forked_ = true;
  forked_at_ = now_;
  unbegun_branch_ = bit(node);
}

// The generation of the forced node overrules every copy that lacks it, so before its first write
// is acknowledged all that its copy has is on stable storage (docs/replication.md "The way of one
// write"). The other one has made its own before, if it went on.
void Oracle::branch_has_begun(NodeSet copies) {
  const NodeSet begun = static_cast<NodeSet>(copies & unbegun_branch_);
  unbegun_branch_ &= static_cast<NodeSet>(~begun);
  if (begun == 0) return;
  for (Write& write : writes_) {
    if (write.fate == Fate::firm && write.acknowledged < forked_at_) {
      write.durable |= static_cast<NodeSet>(write.copies & begun);
    }
  }
}

// Whatever the copies that are bound to the write show there, this one shows, too.
bool Oracle::shows_the_same(const Write& write, int node, const ReadCopy& read) const {
  const Cells& cells = volumes_[write.volume].cells;
  std::array<std::byte, sector_bytes> ours;
  std::array<std::byte, sector_bytes> theirs;
  for (int other = 0; other < static_cast<int>(nodes_); ++other) {
    if (!has(write.copies, other)) continue;
    for (std::uint64_t at = write.offset; at < write.offset + write.length;) {
      const std::uint64_t bytes = cells.bytes_of(cells.cell_at(at));
      read(node, write.volume, at, std::span(ours).first(bytes));
      read(other, write.volume, at, std::span(theirs).first(bytes));
      if (!std::equal(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(bytes),
                      theirs.begin())) {
        return false;
      }
      at += bytes;
    }
  }
  return true;
}

// Whoever is promoted by force goes on from what its copy shows. What was read elsewhere of writes
// that were never settled with it says nothing of that.
void Oracle::believe_copy(int node, const ReadCopy& read) {
  std::array<std::byte, sector_bytes> buffer;
  for (std::uint32_t number = 0; number < volumes_.size(); ++number) {
    Volume& volume = volumes_[number];
    for (std::uint64_t cell = 0; cell < volume.index.size(); ++cell) {
      if (volume.index[cell] < 0) continue;
      std::vector<Entry>& history = history_of(volume, cell);
      const std::span content = std::span(buffer).first(volume.cells.bytes_of(cell));
      read(node, number, volume.cells.offset_of(cell), content);
      const auto value = volume.cells.decode(cell, content);
      for (Entry& entry : history) {
        const bool shown =
            value && (*value == 0 ? writes_[entry.write].zero : entry.value == *value);
        if (shown || entry.seen_by == never || entry.seen_on == node) continue;
        entry.seen_from = 0;
        entry.seen_by = never;
      }
    }
  }
}

std::vector<std::uint64_t> Oracle::only_on(int node, int other) const {
  std::vector<std::uint64_t> found;
  for (std::uint64_t number = 1; number < writes_.size(); ++number) {
    const Write& write = writes_[number];
    // Of writes that were never acknowledged, one from before the fork that was read here since is
    // no history of this node's own.
    const bool others = write.observed && write.invoked < forked_at_;
    // Zeroes that a blank disk shows as well are nothing it has alone because the one that wrote
    // them lost its power.
    const bool by_chance = write.zero && has(write.believed, node) && has(write.lost, other);
    if (write.fate == Fate::firm && !write.rolled_back && has(write.copies, node) &&
        !has(write.copies, other) && !others && !by_chance && shows_anywhere(number, node)) {
      found.push_back(number);
    }
  }
  return found;
}

// The loser's own writes are gone, but for what the other copy shows of them all the same: those
// may stay, and nobody is bound to have them. One that nobody answered may have gone to the other,
// if that served the loser's clients.
void Oracle::roll_back(int loser, const ReadCopy& read) {
  for (std::uint64_t number = 1; number < writes_.size(); ++number) {
    Write& write = writes_[number];
    const bool only_there = write.fate == Fate::firm && write.copies == bit(loser);
    const bool left_there =
        write.fate == Fate::unknown && write.node == loser && write.invoked > forked_at_;
    if (!only_there && !left_there) continue;
    const bool may_stay = left_there || write.invoked < forked_at_;
    if (may_stay && shown_in_part(number, 1 - loser, read)) {
      forget(write);
    } else {
      write.rolled_back = true;
    }
  }
}

bool Oracle::shown_in_part(std::uint64_t number, int node, const ReadCopy& read) const {
  const Write& write = writes_[number];
  const Volume& volume = volumes_[write.volume];
  std::array<std::byte, sector_bytes> buffer;
  for (std::uint64_t at = write.offset; at < write.offset + write.length;) {
    const std::uint64_t cell = volume.cells.cell_at(at);
    const std::span content = std::span(buffer).first(volume.cells.bytes_of(cell));
    read(node, write.volume, at, content);
    const auto value = volume.cells.decode(cell, content);
    const Entry* entry = entry_of(number, cell);
    if (entry != nullptr && value && *value == (write.zero ? 0 : entry->value)) return true;
    at += content.size();
  }
  return false;
}

// Is what only `node` was bound to have now on the copy of `other`? A write invoked after the fork
// proves it. One that was in flight before may have reached both sides by itself: of those, none
// may be missing.
Oracle::Kept Oracle::kept(int node, int other, const ReadCopy& read) const {
  bool some = false;
  bool missing = false;
  for (std::uint64_t number = 1; number < writes_.size(); ++number) {
    const Write& write = writes_[number];
    // Zeroes prove nothing: a blank disk shows them, too.
    const bool only_there = write.fate == Fate::firm && !write.rolled_back && !write.zero &&
                            has(write.copies, node) && !has(write.copies, other);
    if (!only_there) continue;
    const bool shown = shown_in_part(number, other, read);
    if (shown && write.invoked > forked_at_) return Kept::surely;
    some = some || shown;
    missing = missing || (!shown && shows_anywhere(number, node));
  }
  // A disk of the past may have had them all along.
  return some && !missing && !has(replaced_, other) ? Kept::perhaps : Kept::no;
}

bool Oracle::went_on_since_the_fork(int node) const {
  return std::ranges::any_of(writes_, [&](const Write& write) {
    return write.node == node && write.invoked > forked_at_ && write.acknowledged != never;
  });
}

// One of the two histories has become the truth. Which one, the copies show; whether it may,
// follows from what each alone was bound to have and from the operator's word.
std::optional<Finding> Oracle::end_fork(int discarded, bool binding, int follower,
                                        const ReadCopy& read) {
  BATON_ASSERT(nodes_ == 2, "forks are followed between two nodes");
  const std::vector<std::uint64_t> first = only_on(0, 1);
  const std::vector<std::uint64_t> second = only_on(1, 0);
  std::optional<Finding> finding;
  if (!first.empty() && !second.empty() && discarded < 0 && binding) {
    const auto last = [&](const std::vector<std::uint64_t>& writes) {
      return describe({.value = writes.back(), .write = writes.back()});
    };
    finding =
        Finding{"R3 split brain was merged",
                fmt::format("A alone had {} acknowledged writes, the last {}, and B alone {}, "
                            "the last {}, and both copies now count as UpToDate",
                            first.size(), last(first), second.size(), last(second))};
  }
  int loser = !first.empty() ? 1 : !second.empty() ? 0 : -1;
  // Whoever went on alone since the fork is followed, though its writes bind nobody any longer when
  // it lost its power with them in its cache. A stale copy that wins went on with nothing.
  // So is the other, when neither has anything alone: what was read at the follower is no evidence.
  const bool idle = follower >= 0 && !went_on_since_the_fork(follower);
  if (idle && (loser < 0 || went_on_since_the_fork(1 - follower))) loser = follower;
  // An operator's word about a copy that would have been followed anyway may go unheard. And under
  // A a forced promotion may cost what the writer alone had.
  const int suspect = discarded >= 0 ? discarded : binding || loser < 0 ? -1 : 1 - loser;
  // What a disk of the past shows proves nothing; then only an operator's word does.
  const bool told = discarded >= 0 || replaced_ == 0;
  if (suspect >= 0 && suspect == follower) {
    loser = follower;
  } else if (suspect >= 0 && told && follower < 0) {
    const Kept here = kept(suspect, 1 - suspect, read);
    const bool overwritten =
        here == Kept::perhaps && kept(1 - suspect, suspect, read) == Kept::surely;
    if (here == Kept::no || overwritten) loser = suspect;
  }
  if (loser >= 0) roll_back(loser, read);
  // What was read on the losing side is no evidence on the other.
  for (Volume& volume : volumes_) {
    for (std::vector<Entry>& history : volume.histories) {
      for (Entry& entry : history) {
        if (entry.seen_by == never || entry.seen_by < forked_at_ || entry.seen_on != loser)
          continue;
        entry.seen_from = 0;
        entry.seen_by = never;
      }
    }
  }
  forked_ = false;
  if (old_values_excused_) finding.reset();
  return finding;
}

std::optional<Finding> Oracle::all_agree(std::uint64_t told_at, int discarded, bool binding,
                                         const ReadCopy& read) {
  ++now_;
  std::optional<Finding> finding;
  if (forked_) finding = end_fork(discarded, binding, -1, read);
  replaced_ = 0;
  if (!binding) return finding;
  for (Write& write : writes_) {
    if (write.fate != Fate::firm || write.rolled_back || write.copies == all_) continue;
    const NodeSet added = static_cast<NodeSet>(all_ & ~write.copies);
    write.copies = all_;
    write.lost = 0;
    if (write.acknowledged < told_at) write.durable |= added;
  }
  return finding;
}

void Oracle::has_everything(int node, std::uint32_t volume) {
  if (forked_) return;
  for (Write& write : writes_) {
    if (write.volume != volume || write.fate != Fate::firm || write.rolled_back) continue;
    write.copies |= bit(node);
    write.lost &= static_cast<NodeSet>(~bit(node));
  }
}

std::optional<Finding> Oracle::check_copy(int node, int as_node, std::uint32_t volume,
                                          const ReadCopy& read) const {
  const Volume& v = volumes_[volume];
  std::array<std::byte, sector_bytes> buffer;
  for (const std::uint64_t cell : v.touched) {
    if (damage_ != nullptr && damage_->hurt_now(node, volume, cell)) continue;
    const std::span content = std::span(buffer).first(v.cells.bytes_of(cell));
    read(node, volume, v.cells.offset_of(cell), content);
    auto finding = judge(as_node, volume, cell, content, now_, nullptr);
    if (finding)
      return Finding{"R4 a copy claims UpToDate and is not",
                     "copy of " + node_name(node) + ", " + finding->rule + ": " + finding->what};
  }
  return {};
}

}  // namespace baton::sim
