#include "tests/simulation/disk_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "blockdev/metadata/metadata.h"
#include "tests/simulation/metadata_image.h"

namespace baton::sim {

using blockdev::Superblock;
using replication::Role;

namespace {

bool contains(const std::vector<std::uint64_t>& lineage, std::uint64_t id) {
  return std::ranges::find(lineage, id) != lineage.end();
}

// True if a meeting of the two copies the blocks that the union of both records names: in one
// generation, or where one is the source by its bitmap.
bool settled_by_bits(const Superblock& source, const Superblock& target) {
  const bool whole = !source.inconsistent && source.towards.empty() && !target.inconsistent &&
                     target.towards.empty();
  if (!whole || source.lineage.empty() || target.lineage.empty()) return false;
  const std::uint64_t tip = target.lineage.back();
  if (source.lineage.back() == tip) return true;
  const auto& slot = source.peers[0];
  return contains(source.lineage, tip) && (tip == slot.base_id || tip == slot.told_id);
}

}  // namespace

// One node's disks of one volume, as a reader or a power cut leaves them.
struct DiskRules::Copy {
  Copy(const SparseImage& content, const SparseImage& area)
      : data(content), metadata(area, content.size()) {}
  Copy(Node& node, std::uint32_t volume, bool after_power_cut)
      : Copy(after_power_cut ? node.data(volume).durable() : node.data(volume).visible(),
             after_power_cut ? node.metadata(volume).durable() : node.metadata(volume).visible()) {}
  bool names(std::uint64_t block) const {
    return metadata.block_set(block) ||
           metadata.region_active(block * blockdev::block_bytes / blockdev::region_bytes);
  }
  const SparseImage& data;
  MetadataImage metadata;
};

DiskRules::DiskRules(World& world, std::vector<std::unique_ptr<Node>>& nodes)
    : world_(world), nodes_(nodes) {}

void DiskRules::before_write(const SimDisk& disk, std::uint64_t offset, std::uint64_t length) {
  if (!believed_ || length == 0) return;
  Node& node = *nodes_[static_cast<std::size_t>(disk.node())];
  if (!node.up()) return;
  const replication::ResourceStatus& status = node.fresh_status();
  // A Primary that the holder serves gets even its own writes from there.
  if (status.role != Role::primary || status.baton_holder != node.name()) return;
  const MetadataImage own(node.metadata(disk.volume()).durable(), disk.size());
  // What it had received before it became Primary is in the log of the node that sent it.
  Node& peer = *nodes_[static_cast<std::size_t>(1 - disk.node())];
  const MetadataImage other(peer.metadata(disk.volume()).durable(), disk.size());
  const std::uint64_t last = (offset + length - 1) / blockdev::region_bytes;
  for (std::uint64_t region = offset / blockdev::region_bytes; region <= last; ++region) {
    if (own.region_active(region) || other.region_active(region)) continue;
    return world_.violated(
        "R5 a write is not in the activity log",
        fmt::format("node {} writes {}+{} of volume {}, and region {} is not durable in its log",
                    node.name(), offset, length, disk.volume(), region));
  }
}

void DiskRules::done_alone(int number) {
  if (!believed_) return;
  Node& node = *nodes_[static_cast<std::size_t>(number)];
  Node& peer = *nodes_[static_cast<std::size_t>(1 - number)];
  for (std::uint32_t volume = 0; volume < node.volumes(); ++volume) {
    const std::uint64_t size = node.data(volume).size();
    const auto own = MetadataImage(node.metadata(volume).durable(), size).superblock();
    const auto other = MetadataImage(peer.metadata(volume).durable(), size).superblock();
    if (!own || own->lineage.empty()) {
      return world_.violated("R8 no generation", node.name() + " writes alone and has no record");
    }
    const bool shared = other && contains(other->lineage, own->lineage.back());
    if (own->peers[0].behind && !shared) continue;
    return world_.violated(
        "R8 no generation",
        fmt::format("node {} is done with a write that {} misses; its record of volume {} says {}",
                    node.name(), peer.name(), volume,
                    own->peers[0].behind ? "that it is in a generation which that node has, too"
                                         : "nothing of that"));
  }
}

void DiskRules::look_for_forgotten_blocks() {
  if (!believed_ || nodes_.size() != 2) return;
  static constexpr std::array<std::string_view, 2> cut_a = {"", ", after a power cut of A"};
  static constexpr std::array<std::string_view, 2> cut_b = {"", ", after a power cut of B"};
  for (std::uint32_t volume = 0; volume < nodes_[0]->volumes() && !world_.violation(); ++volume) {
    for (const bool first_cut : {false, true}) {
      for (const bool second_cut : {false, true}) {
        compare(volume, Copy(*nodes_[0], volume, first_cut), Copy(*nodes_[1], volume, second_cut),
                std::string(cut_a[first_cut]).append(cut_b[second_cut]));
      }
    }
  }
}

void DiskRules::look_for_forgotten_blocks_of(int node, std::uint32_t volume,
                                             const SparseImage& data, const SparseImage& metadata,
                                             std::string_view when) {
  if (!believed_ || nodes_.size() != 2) return;
  const Copy clone(data, metadata);
  for (const bool cut : {false, true}) {
    compare(volume, clone, Copy(*nodes_[static_cast<std::size_t>(1 - node)], volume, cut), when);
  }
}

void DiskRules::compare(std::uint32_t volume, const Copy& first, const Copy& second,
                        std::string_view when) {
  const auto ours = first.metadata.superblock();
  const auto theirs = second.metadata.superblock();
  if (!ours || !theirs) return;
  if (!settled_by_bits(*ours, *theirs) && !settled_by_bits(*theirs, *ours)) return;
  std::uint64_t at = first.data.first_difference(second.data);
  while (at < first.data.size()) {
    const std::uint64_t block = at / blockdev::block_bytes;
    if (!first.names(block) && !second.names(block)) {
      return world_.violated("R6 a block is forgotten",
                             fmt::format("volume {} differs at offset {}{}, and were they to meet "
                                         "now nobody would look there",
                                         volume, at, when));
    }
    at = first.data.first_difference(second.data, (block + 1) * blockdev::block_bytes);
  }
}

}  // namespace baton::sim
