#include "tests/simulation/metadata_image.h"

namespace baton::sim {

using blockdev::BitPage;
using blockdev::CellKind;
using blockdev::SuperblockPage;

MetadataImage::MetadataImage(const SparseImage& image, std::uint64_t volume_size)
    : image_(image), geometry_(blockdev::Geometry::of(volume_size, 1)) {}

std::optional<blockdev::DecodedSuperblock> MetadataImage::newest() const {
  std::optional<blockdev::DecodedSuperblock> newest;
  for (std::uint32_t copy = 0; copy < 2; ++copy) {
    SuperblockPage page;
    image_.read(geometry_.superblock_at(copy), std::as_writable_bytes(std::span(&page, 1)));
    if (inspect(page, copy) != blockdev::CopyState::intact) continue;
    auto decoded = blockdev::decode(page);
    if (decoded && (!newest || decoded->sequence > newest->sequence)) newest = std::move(*decoded);
  }
  return newest;
}

std::optional<blockdev::Superblock> MetadataImage::superblock() const {
  auto found = newest();
  if (!found) return std::nullopt;
  return std::move(found->content);
}

std::uint64_t MetadataImage::sequence() const {
  const auto found = newest();
  return found ? found->sequence : 0;
}

bool MetadataImage::region_active(std::uint64_t region) const {
  const std::uint64_t page = region / blockdev::bits_per_page;
  return bit({.kind = CellKind::activity_log, .page = page}, geometry_.activity_at(page),
             region % blockdev::bits_per_page, geometry_.regions());
}

bool MetadataImage::block_set(std::uint64_t block) const {
  const std::uint64_t page = block / blockdev::bits_per_page;
  return bit({.kind = CellKind::bitmap, .page = page}, geometry_.bitmap_at(0, page),
             block % blockdev::bits_per_page, geometry_.blocks());
}

bool MetadataImage::bit(blockdev::PageIdentity identity, std::uint64_t at, std::uint64_t bit,
                        std::uint64_t bits_in_use) const {
  const std::size_t index = bit / blockdev::bits_per_cell;
  BitPage page;
  const std::uint64_t offset = index * sizeof(blockdev::Cell);
  image_.read(at + offset, std::as_writable_bytes(std::span(&page.cells[index], 1)));
  return !intact(page.cells[index], identity, index, bits_in_use) || blockdev::bit_in(page, bit);
}

}  // namespace baton::sim
