// R6 for a copy that yields, looked at on the disks with the first write that overwrites it:
//
//   - its undo file is whole and durable, unless somebody said --no-undo;
//   - what the file holds is what the copy showed until now;
//   - nothing that this copy alone shows is missing in it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <tuple>
#include <vector>

#include "tests/simulation/node.h"
#include "tests/simulation/oracle.h"

namespace baton::sim {

class UndoRules {
 public:
  UndoRules(World& world, Oracle& oracle, std::vector<std::unique_ptr<Node>>& nodes)
      : world_(world), oracle_(oracle), nodes_(nodes), waived_(nodes.size()) {}

  // An operator has said --no-undo about the data of `node`.
  void waive(int node) { waived_[static_cast<std::size_t>(node)] = 1; }
  void words_are_over() { std::ranges::fill(waived_, char{0}); }
  // Copies that were looked at while they began to be overwritten.
  std::uint64_t looked_at() const { return seen_.size(); }

  // A write, zeroing or discard is being submitted to a data disk of a world with two histories.
  // True if it is the first one that overwrites a copy which yields.
  bool before_write(const SimDisk& disk);

 private:
  void look_at(const SimDisk& disk, std::uint64_t generation);
  bool alone_here(const SimDisk& disk, std::uint64_t cell) const;

  World& world_;
  Oracle& oracle_;
  std::vector<std::unique_ptr<Node>>& nodes_;
  std::vector<char> waived_;
  // Copies that are being overwritten: node, volume, the tip of what they were.
  std::set<std::tuple<int, std::uint32_t, std::uint64_t>> seen_;
};

}  // namespace baton::sim
