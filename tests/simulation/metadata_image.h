// What a reader finds in a metadata area as it is on a simulated disk now, or would be after a
// power cut: for the rules about what is durable when (disk_rules.h).
#pragma once

#include <optional>

#include "blockdev/metadata/cells.h"
#include "blockdev/metadata/superblock.h"
#include "tests/simulation/sparse_image.h"

namespace baton::sim {

class MetadataImage {
 public:
  // Of a volume of `volume_size` bytes with one peer. `image` must outlive this.
  MetadataImage(const SparseImage& image, std::uint64_t volume_size);

  // The newer of the intact copies; nothing where there is none.
  std::optional<blockdev::Superblock> superblock() const;
  // The number of that copy; 0 where there is none.
  std::uint64_t sequence() const;
  // A damaged cell counts as full, as for every reader (docs/on-disk-format.md).
  bool region_active(std::uint64_t region) const;
  bool block_set(std::uint64_t block) const;

 private:
  std::optional<blockdev::DecodedSuperblock> newest() const;
  bool bit(blockdev::PageIdentity identity, std::uint64_t at, std::uint64_t bit,
           std::uint64_t bits_in_use) const;

  const SparseImage& image_;
  blockdev::Geometry geometry_;
};

}  // namespace baton::sim
