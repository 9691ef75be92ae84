// Which cells of which copy hold something else than what was stored there, because a disk has
// lied: rot, lost and misplaced writes, shredded sectors, a data disk replaced behind its
// metadata's back.
//
// Nothing in Baton can see that: the data has no checksums on disk, and only `verify` compares two
// copies. So what such a cell shows is excused, and nothing else is: it stays damaged on that one
// copy until it is written again, and gets onto another copy only by a resync that reads from the
// damaged one. What shows up anywhere else breaks the rules as ever.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "tests/simulation/oracle.h"

namespace baton::sim {

class Damage {
 public:
  Damage(const Oracle& oracle, std::size_t nodes, std::size_t volumes, ReadCopy read);

  // Cells of which any byte lies in the range.
  void hurt(int node, std::uint32_t volume, std::uint64_t offset, std::uint64_t length);
  // Written anew: cells wholly inside the range are what was meant; unless it was a resync that
  // carried the damage of another copy along.
  void stored(int node, std::uint32_t volume, std::uint64_t offset, std::uint64_t length);
  // The copy shows something older: where that is the damage, it is back.
  void look_again(int node);
  // The disks of `node` are being replaced, and that shows: the copy is to be written anew before
  // it may count, so what differs is no damage. -1: no more.
  void ignore(int node) { ignored_ = node; }
  // `node` is the source of a resync now.
  void is_source(int node);

  bool hurt_now(int node, std::uint32_t volume, std::uint64_t cell) const;
  // On any copy, at any time from `invoked` (the oracle's time) on. Which copy an answer came from
  // cannot be told from outside when the baton moves meanwhile; that the other copy is sound is
  // looked at there.
  bool hurt_since(std::uint32_t volume, std::uint64_t cell, std::uint64_t invoked) const;
  std::size_t cells_hurt() const;
  // At any time until now, on any copy.
  bool ever_hurt(std::uint32_t volume, std::uint64_t cell) const;
  // A cell that was damaged before `time` (the oracle's), and still differs between the copies.
  struct Place {
    std::uint32_t volume;
    std::uint64_t offset;
  };
  std::optional<Place> first_difference(std::uint64_t time) const;

 private:
  struct Hurt {
    std::uint64_t from = 0;
    std::uint64_t until = UINT64_MAX;
    std::uint64_t content = 0;  // a hash of what is wrongly there
  };
  using Cell = std::map<std::uint64_t, Hurt>;
  Cell& cells_of(int node, std::uint32_t volume);
  const Cell& cells_of(int node, std::uint32_t volume) const;
  std::uint64_t content_of(int node, std::uint32_t volume, std::uint64_t cell) const;
  bool carried_along(int node, std::uint32_t volume, std::uint64_t cell) const;

  const Oracle& oracle_;
  std::size_t nodes_;
  std::size_t volumes_;
  ReadCopy read_;
  std::vector<Cell> hurt_;  // by node and volume
  int ignored_ = -1;
  std::vector<std::uint64_t> source_at_;  // by node: when it was last seen to be a source
};

}  // namespace baton::sim
