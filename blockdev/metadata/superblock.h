// The superblock between memory and its 4 KiB page: pure.
#pragma once

#include <string_view>

#include "blockdev/metadata/format.h"

namespace baton::blockdev {

// One sentence if `content` cannot be written down: a name too long, too many generations.
Result<> check_encodable(const Superblock& content);

// `content` must be encodable.
void encode(SuperblockPage& page, const Superblock& content, const Geometry& geometry,
            std::uint64_t sequence, std::uint32_t copy);

enum class CopyState : std::uint8_t {
  absent,      // no magic: never written, or something else is here
  unreadable,  // the device answered with an error
  damaged,     // torn, rotten or misplaced
  intact,      // what was written, all of it, where it belongs
};
const char* name_of(CopyState state) noexcept;

CopyState inspect(const SuperblockPage& page, std::uint32_t copy);

struct DecodedSuperblock {
  Superblock content;
  Geometry geometry;
  std::uint64_t sequence = 0;
};
// Of an intact page. Fails, with the reason as a clause, on anything this version does not know:
// an intact page that is not understood was written by a newer Baton, and guessing would hurt.
Result<DecodedSuperblock> decode(const SuperblockPage& page);

// What the configuration says about the volume that a metadata device should belong to.
struct VolumeIdentity {
  std::string_view resource;
  std::string_view node;
  std::uint32_t volume = 0;
  std::uint64_t size = 0;  // bytes; 0: not said
};
// One sentence if the metadata on `device_name` belongs to something else.
Result<> check_belongs(const Superblock& content, const VolumeIdentity& expected,
                       std::string_view device_name);

}  // namespace baton::blockdev
