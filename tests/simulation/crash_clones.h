// What recovery would find if a node died now: asked at every write of metadata, on clones of its
// disks in several variants (quality.md B7), while the world goes on as if nothing had happened.
//
//   recovery  production code opens the clone's metadata: a crash leaves no piece of it damaged but
//             the superblock copy that was being written; what is found is what a reader by the
//             format's document finds, never an older state than the durable one, and is there
//             unchanged afterwards
//   R6        were the clone to meet the other node's copy, nobody would miss a block that differs
#pragma once

#include <set>
#include <utility>

#include "tests/simulation/disk_rules.h"

namespace baton::sim {

class CrashClones {
 public:
  CrashClones(World& world, std::vector<std::unique_ptr<Node>>& nodes, DiskRules& rules);

  // From now on; before, there is no metadata.
  void begin() { begun_ = true; }
  // Something is being submitted to the disk.
  void note_write(const SimDisk& disk);
  // Clones of every disk that was noted in this step.
  void after_step();

 private:
  struct Variant;
  struct Found;
  void recover(int node, std::uint32_t volume, const Variant& variant);
  void check(const Found& found, int node, std::uint32_t volume, const Variant& variant);

  World& world_;
  std::vector<std::unique_ptr<Node>>& nodes_;
  DiskRules& rules_;
  Prng random_;
  bool begun_ = false;
  std::set<std::pair<int, std::uint32_t>> noted_;
};

}  // namespace baton::sim
