#include "blockdev/metadata/superblock.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mutant.h"

namespace baton::blockdev {
namespace {

std::uint64_t checksum_of(const SuperblockPage& page) {
  return xxh3_64(bytes_of(page).subspan(sizeof page.checksum));
}

template <std::size_t N>
bool fits(const std::string& name, const std::array<char, N>&) {
  return name.size() < N && name.find('\0') == std::string::npos;
}

template <std::size_t N>
void put(std::array<char, N>& field, const std::string& name) {
  field.fill('\0');
  std::ranges::copy(name, field.begin());
}

// Nothing if the field is not NUL-padded text.
template <std::size_t N>
std::optional<std::string> text_in(const std::array<char, N>& field) {
  const auto end = std::ranges::find(field, '\0');
  if (end == field.end()) return std::nullopt;
  if (std::any_of(end, field.end(), [](char c) { return c != '\0'; })) return std::nullopt;
  return std::string(field.begin(), end);
}

template <std::size_t N>
bool all_zero(const std::array<std::byte, N>& field) {
  return std::ranges::all_of(field, [](std::byte b) { return b == std::byte{0}; });
}

std::uint32_t flags_of(const Superblock& content) {
  std::uint32_t flags = 0;
  if (content.clean) flags |= flag_clean;
  if (content.released) flags |= flag_released;
  if (content.primary) flags |= flag_primary;
  if (content.inconsistent) flags |= flag_inconsistent;
  if (content.outdated) flags |= flag_outdated;
  if (content.adopted) flags |= flag_adopted;
  if (content.doubtful) flags |= flag_doubtful;
  if (content.flush_failed) flags |= flag_flush_failed;
  return flags;
}

void take_flags(Superblock& content, std::uint32_t flags) {
  content.clean = (flags & flag_clean) != 0;
  content.released = (flags & flag_released) != 0;
  content.primary = (flags & flag_primary) != 0;
  content.inconsistent = (flags & flag_inconsistent) != 0;
  content.outdated = (flags & flag_outdated) != 0;
  content.adopted = (flags & flag_adopted) != 0;
  content.doubtful = (flags & flag_doubtful) != 0;
  content.flush_failed = (flags & flag_flush_failed) != 0;
}

void encode_ids(std::array<le64, lineage_max>& field, le32& count,
                const std::vector<std::uint64_t>& ids) {
  count = static_cast<std::uint32_t>(ids.size());
  for (std::size_t i = 0; i < field.size(); ++i) field[i] = i < ids.size() ? ids[i] : 0;
}

bool decode_ids(std::vector<std::uint64_t>& ids, const std::array<le64, lineage_max>& field,
                std::uint32_t count) {
  if (count > lineage_max) return false;
  ids.assign(field.begin(), field.begin() + count);
  return std::all_of(field.begin() + count, field.end(), [](le64 id) { return id == 0; });
}

SessionRecord record_of(const SessionStamp& stamp) {
  return {.number = le64(stamp.number), .id = le64(stamp.id)};
}

void encode_peer(PeerRecord& record, const PeerSlot& peer) {
  put(record.name, peer.name);
  record.base_id = peer.base_id;
  record.told_id = peer.told_id;
  record.session = record_of(peer.session);
  record.confirmed = record_of(peer.confirmed);
  record.flags = peer.behind ? peer_flag_behind : 0;
  record.reserved.fill(std::byte{0});
}

bool decode_peer(PeerSlot& peer, const PeerRecord& record) {
  const std::optional<std::string> name = text_in(record.name);
  if (!name || (record.flags & ~known_peer_flags) != 0 || !all_zero(record.reserved)) return false;
  peer.name = *name;
  peer.base_id = record.base_id;
  peer.told_id = record.told_id;
  peer.session = {.number = record.session.number, .id = record.session.id};
  peer.confirmed = {.number = record.confirmed.number, .id = record.confirmed.id};
  peer.behind = (record.flags & peer_flag_behind) != 0;
  return true;
}

Result<Geometry> decode_geometry(const SuperblockPage& page) {
  if (page.slots > peer_slots_max) {
    return failure(
        fmt::format("it has {} bitmaps, more than {}", std::uint32_t{page.slots}, peer_slots_max));
  }
  if (page.volume_size == 0 || page.volume_size > volume_size_max) {
    return failure(
        fmt::format("the volume size {} is out of range", std::uint64_t{page.volume_size}));
  }
  const Geometry geometry = Geometry::of(page.volume_size, page.slots);
  if (page.activity_offset != geometry.activity_at(0) ||
      page.activity_pages != geometry.activity_pages ||
      page.bitmap_offset != geometry.bitmap_at(0, 0) ||
      page.bitmap_pages != geometry.bitmap_pages) {
    return failure("its layout is not that of version 1");
  }
  return geometry;
}

// Everything but the peers. False if a field holds what version 1 never writes.
bool decode_fields(Superblock& content, const SuperblockPage& page) {
  const std::optional<std::string> resource = text_in(page.resource);
  const std::optional<std::string> node = text_in(page.node);
  const std::optional<std::string> holder = text_in(page.holder);
  if (!resource || !node || !holder) return false;
  if ((page.flags & ~known_flags) != 0 || page.reserved != 0) return false;
  if (!all_zero(page.reserved_tail)) return false;
  content.resource = *resource;
  content.node = *node;
  content.holder = *holder;
  content.volume = page.volume;
  content.size = page.volume_size;
  content.epoch = page.epoch;
  content.boot_id = page.boot_id;
  take_flags(content, page.flags);
  return decode_ids(content.lineage, page.lineage, page.lineage_count) &&
         decode_ids(content.towards, page.towards, page.towards_count);
}

}  // namespace

Result<> check_encodable(const Superblock& content) {
  const SuperblockPage page{};
  if (content.size == 0 || content.size > volume_size_max) {
    return failure(fmt::format("volume {} of {} has a size of {} bytes; metadata is for 1 to {}",
                               content.volume, content.resource, content.size, volume_size_max));
  }
  if (content.resource.empty() || !fits(content.resource, page.resource)) {
    return failure(fmt::format("the resource name \"{}\" must have 1 to {} bytes", content.resource,
                               page.resource.size() - 1));
  }
  if (content.node.empty() || !fits(content.node, page.node)) {
    return failure(fmt::format("the node name \"{}\" must have 1 to {} bytes", content.node,
                               page.node.size() - 1));
  }
  if (!fits(content.holder, page.holder)) {
    return failure(fmt::format("the holder's name \"{}\" is longer than {} bytes", content.holder,
                               page.holder.size() - 1));
  }
  for (const PeerSlot& peer : content.peers) {
    if (fits(peer.name, page.node)) continue;
    return failure(fmt::format("the peer's name \"{}\" is longer than {} bytes", peer.name,
                               page.node.size() - 1));
  }
  if (content.lineage.size() > lineage_max || content.towards.size() > lineage_max) {
    return failure(fmt::format("the lineage of {} is longer than {} generations", content.resource,
                               lineage_max));
  }
  return {};
}

void encode(SuperblockPage& page, const Superblock& content, const Geometry& geometry,
            std::uint64_t sequence, std::uint32_t copy) {
  BATON_ASSERT(check_encodable(content), "callers check before they hand content over");
  page = SuperblockPage{};
  page.magic = superblock_magic;
  page.version = format_version;
  page.copy = copy;
  page.features = known_features;
  page.sequence = sequence;
  page.volume_size = content.size;
  page.activity_offset = geometry.activity_at(0);
  page.bitmap_offset = geometry.bitmap_at(0, 0);
  page.activity_pages = static_cast<std::uint32_t>(geometry.activity_pages);
  page.bitmap_pages = static_cast<std::uint32_t>(geometry.bitmap_pages);
  page.slots = geometry.slots;
  page.volume = content.volume;
  page.flags = flags_of(content);
  page.epoch = content.epoch;
  page.boot_id = content.boot_id;
  put(page.resource, content.resource);
  put(page.node, content.node);
  put(page.holder, content.holder);
  encode_ids(page.lineage, page.lineage_count, content.lineage);
  encode_ids(page.towards, page.towards_count, content.towards);
  for (std::size_t i = 0; i < peer_slots_max; ++i) encode_peer(page.peers[i], content.peers[i]);
  page.checksum = checksum_of(page);
}

const char* name_of(CopyState state) noexcept {
  switch (state) {
    case CopyState::absent:
      return "absent";
    case CopyState::unreadable:
      return "unreadable";
    case CopyState::damaged:
      return "damaged";
    case CopyState::intact:
      return "intact";
  }
  return "unknown";
}

CopyState inspect(const SuperblockPage& page, std::uint32_t copy) {
  const bool whole =
      page.checksum == checksum_of(page) || mutant("superblock-checksum-not-verified");
  if (whole && page.magic == superblock_magic && page.copy == copy) {
    return CopyState::intact;
  }
  return page.magic == superblock_magic ? CopyState::damaged : CopyState::absent;
}

Result<DecodedSuperblock> decode(const SuperblockPage& page) {
  if (page.version != format_version) {
    return failure(fmt::format("it has version {}, this Baton knows version {}",
                               std::uint32_t{page.version}, format_version));
  }
  if ((page.features & ~known_features) != 0) {
    return failure(fmt::format("it uses features {:#x} that this Baton does not know",
                               std::uint64_t{page.features} & ~known_features));
  }
  DecodedSuperblock decoded;
  decoded.sequence = page.sequence;
  Result<Geometry> geometry = decode_geometry(page);
  if (!geometry) return std::unexpected(geometry.error());
  decoded.geometry = *geometry;
  if (!decode_fields(decoded.content, page)) {
    return failure("a field holds what version 1 never writes");
  }
  for (std::size_t i = 0; i < peer_slots_max; ++i) {
    if (!decode_peer(decoded.content.peers[i], page.peers[i])) {
      return failure(fmt::format("peer slot {} holds what version 1 never writes", i));
    }
  }
  return decoded;
}

Result<> check_belongs(const Superblock& content, const VolumeIdentity& expected,
                       std::string_view device_name) {
  if (content.resource != expected.resource || content.node != expected.node ||
      content.volume != expected.volume) {
    return failure(fmt::format(
        "{} holds the metadata of volume {} of resource {} on node {}, not of volume {} of {} on "
        "{}: check the `meta` and `disks` paths",
        device_name, content.volume, content.resource, content.node, expected.volume,
        expected.resource, expected.node));
  }
  if (expected.size != 0 && content.size != expected.size) {
    return failure(fmt::format(
        "{} was made for a volume of {} bytes, but volume {} of {} has {} bytes: check the path "
        "and `size`; a volume changes its size with `batonctl resize` only",
        device_name, content.size, expected.volume, expected.resource, expected.size));
  }
  return {};
}

}  // namespace baton::blockdev
