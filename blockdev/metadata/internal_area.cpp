#include "blockdev/metadata/internal_area.h"

#include "blockdev/metadata/format.h"

namespace baton::blockdev {
namespace {

std::uint64_t whole_blocks(std::uint64_t bytes) {
  return bytes / block_bytes * block_bytes;
}

// Counted over the whole disk, a little more than the volume needs: one step and no iteration, and
// a re-implementation cannot get it wrong. For every slot, so that a node that is added later
// neither moves the metadata nor makes the volume smaller.
std::uint64_t area_bytes(std::uint64_t disk_bytes) {
  return Geometry::of(disk_bytes, peer_slots_max).bytes();
}

}  // namespace

std::optional<InternalArea> internal_area(std::uint64_t disk_bytes) {
  const std::uint64_t end = whole_blocks(disk_bytes);
  const std::uint64_t bytes = area_bytes(end);
  if (end <= bytes) return std::nullopt;
  return InternalArea{.offset = end - bytes, .bytes = bytes};
}

std::uint64_t disk_bytes_for(std::uint64_t volume_bytes) {
  const std::uint64_t volume = whole_blocks(volume_bytes + block_bytes - 1);
  // A larger disk has more metadata, which needs a larger disk: from below, until both agree.
  std::uint64_t disk = volume;
  while (volume + area_bytes(disk) != disk) disk = volume + area_bytes(disk);
  return disk;
}

}  // namespace baton::blockdev
