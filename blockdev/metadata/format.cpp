#include "blockdev/metadata/format.h"

namespace baton::blockdev {
namespace {

std::uint64_t divide_up(std::uint64_t value, std::uint64_t unit) {
  return value / unit + (value % unit != 0 ? 1 : 0);
}

}  // namespace

Geometry Geometry::of(std::uint64_t volume_size, std::uint32_t slots) {
  Geometry geometry{.volume_size = volume_size, .slots = slots};
  geometry.activity_pages = divide_up(geometry.regions(), bits_per_page);
  geometry.bitmap_pages = divide_up(geometry.blocks(), bits_per_page);
  return geometry;
}

std::uint64_t Geometry::regions() const {
  return divide_up(volume_size, region_bytes);
}

std::uint64_t Geometry::blocks() const {
  return divide_up(volume_size, block_bytes);
}

std::uint64_t Metadata::bytes_needed(std::uint64_t volume_size, std::uint32_t slots) {
  return Geometry::of(volume_size, slots).bytes();
}

}  // namespace baton::blockdev
