// Internal metadata: where it lies on the disk whose volume it describes (docs/on-disk-format.md
// "Internal metadata"). Pure. The place follows from the size of the disk alone, so that it is
// found again whatever the configuration says; create-md and every reader ask here.
#pragma once

#include <cstdint>
#include <optional>

namespace baton::blockdev {

// The last bytes of a disk, but for what is left of its last 4096 bytes.
struct InternalArea {
  std::uint64_t offset = 0;  // a multiple of 4096; the volume lies before it
  std::uint64_t bytes = 0;   // a multiple of 4096; takes the bitmaps of all slots that there can be
  friend bool operator==(const InternalArea&, const InternalArea&) = default;
};

// Nothing where no block would be left for the volume.
std::optional<InternalArea> internal_area(std::uint64_t disk_bytes);

// How large a disk has to be made for a volume of `volume_bytes` (at most volume_size_max) to fit
// in front of its metadata; a multiple of 4096.
std::uint64_t disk_bytes_for(std::uint64_t volume_bytes);

}  // namespace baton::blockdev
