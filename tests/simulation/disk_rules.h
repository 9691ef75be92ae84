// Rules about what is on the disks when something happens, looked at on the disks themselves.
//
//   R5 and R6  A region is durable in the holder's activity log before a write in it is submitted,
//              and blocks that differ between two copies of one history are in a bitmap or in a
//              region of an activity log, whatever fails now.
//   R8         Who is done with a write that the peer misses has durably recorded that the peer is
//              behind, in every volume, and is in a generation that the peer does not have.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "tests/simulation/node.h"

namespace baton::sim {

class DiskRules {
 public:
  DiskRules(World& world, std::vector<std::unique_ptr<Node>>& nodes);

  // Disks lie from now on: what is on them says nothing about the product.
  void give_up() { believed_ = false; }
  bool believed() const { return believed_; }

  // A write, zeroing or discard is being submitted to a data disk.
  void before_write(const SimDisk& disk, std::uint64_t offset, std::uint64_t length);
  // `node` is done with a write and its peer is not connected.
  void done_alone(int node);
  // Would the next meeting of the two find every block that differs?
  void look_for_forgotten_blocks();
  // The same if the disks of `node` were these; `when` ends the sentence.
  void look_for_forgotten_blocks_of(int node, std::uint32_t volume, const SparseImage& data,
                                    const SparseImage& metadata, std::string_view when);

 private:
  struct Copy;
  void compare(std::uint32_t volume, const Copy& first, const Copy& second, std::string_view when);

  World& world_;
  std::vector<std::unique_ptr<Node>>& nodes_;
  bool believed_ = true;
};

}  // namespace baton::sim
