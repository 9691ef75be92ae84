// What lies where on a metadata device: docs/on-disk-format.md in structs. No decisions here.
//
//        0  superblock copy 0     (4 KiB)
//   64 KiB  superblock copy 1     (4 KiB; apart, so that one bad spot does not take both)
//  128 KiB  activity log          pages of bits, one bit per region
//     then  bitmap of slot 0, 1…  pages of bits, one bit per block
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/buffer_pool.h"
#include "base/endian.h"
#include "blockdev/metadata/metadata.h"

namespace baton::blockdev {

// --- bits: the activity log and the bitmaps ---

// A cell is one sector, the unit that a disk writes whole, and carries its own checksum and
// identity. So a 4 KiB page torn by a power cut is eight cells, each as before or as after.
inline constexpr std::size_t cell_bytes = 512;
inline constexpr std::size_t words_per_cell = 60;
inline constexpr std::uint64_t bits_per_cell = words_per_cell * 64;
inline constexpr std::size_t cells_per_page = page_bytes / cell_bytes;
inline constexpr std::uint64_t bits_per_page = bits_per_cell * cells_per_page;
inline constexpr std::uint64_t words_per_page = words_per_cell * cells_per_page;

enum class CellKind : std::uint32_t {
  activity_log = 0x4c41'4e42,  // "BNAL": a bit is a region that may have writes in flight
  bitmap = 0x4d42'4e42,        // "BNBM": a bit is a block that the peer may lack
};

struct Cell {
  le64 checksum;  // XXH3-64 of the 504 bytes that follow
  le32 kind;      // CellKind
  le16 slot;      // of the bitmap; 0 in the activity log
  le16 reserved;  // 0
  le64 number;    // cell n holds the bits [n * 3840, (n + 1) * 3840)
  le64 sequence;  // of the write that put it here; tells a person which cells came together
  std::array<le64, words_per_cell> words;  // bit i is bit i % 64 of word i / 64
};
static_assert(sizeof(Cell) == cell_bytes);
static_assert(offsetof(Cell, words) == 32);
static_assert(std::is_trivially_copyable_v<Cell>);

struct alignas(page_bytes) BitPage {
  std::array<Cell, cells_per_page> cells;
};
static_assert(sizeof(BitPage) == page_bytes);

// --- the superblock ---

inline constexpr std::array<char, 8> superblock_magic = {'B', 'A', 'T', 'O', 'N', 'M', 'D', '\n'};
inline constexpr std::uint32_t format_version = 1;
inline constexpr std::uint64_t known_features = 0;  // a set bit that is not here: refuse to load
inline constexpr std::uint64_t superblock_distance_bytes = 64U << 10U;
inline constexpr std::uint64_t activity_log_offset = 2 * superblock_distance_bytes;
inline constexpr std::size_t node_name_bytes = 64;  // with at least one NUL
inline constexpr std::size_t resource_name_bytes = 128;

enum SuperblockFlags : std::uint32_t {
  flag_clean = 1U << 0U,
  flag_released = 1U << 1U,
  flag_primary = 1U << 2U,
  flag_inconsistent = 1U << 3U,
  flag_outdated = 1U << 4U,
  flag_adopted = 1U << 5U,
  flag_doubtful = 1U << 6U,
  flag_flush_failed = 1U << 7U,
  known_flags = (1U << 8U) - 1,
};

enum PeerFlags : std::uint32_t {
  peer_flag_behind = 1U << 0U,
  known_peer_flags = 1,
};

struct SessionRecord {
  le64 number;
  le64 id;
};

struct PeerRecord {
  std::array<char, node_name_bytes> name;  // NUL-padded; empty: the slot is free
  le64 base_id;
  le64 told_id;
  SessionRecord session;
  SessionRecord confirmed;
  le32 flags;                          // PeerFlags
  std::array<std::byte, 12> reserved;  // 0
};
static_assert(sizeof(PeerRecord) == 128);

struct alignas(page_bytes) SuperblockPage {
  le64 checksum;  // XXH3-64 of the 4088 bytes that follow
  std::array<char, 8> magic;
  le32 version;
  le32 copy;      // 0 or 1: where it belongs
  le64 features;  // a reader refuses what it does not know
  le64 sequence;  // the newer of the two copies has the higher one
  le64 volume_size;
  le64 activity_offset;
  le64 bitmap_offset;  // of slot 0
  le32 activity_pages;
  le32 bitmap_pages;  // of each slot
  le32 slots;
  le32 volume;
  le32 flags;     // SuperblockFlags
  le32 reserved;  // 0
  le64 epoch;
  le64 boot_id;
  std::array<char, resource_name_bytes> resource;
  std::array<char, node_name_bytes> node;
  std::array<char, node_name_bytes> holder;
  le32 lineage_count;
  le32 towards_count;
  std::array<le64, lineage_max> lineage;  // root first; unused entries 0
  std::array<le64, lineage_max> towards;
  std::array<PeerRecord, peer_slots_max> peers;
  std::array<std::byte, 1680> reserved_tail;  // 0
};
static_assert(sizeof(SuperblockPage) == page_bytes);
static_assert(offsetof(SuperblockPage, resource) == 104);
static_assert(offsetof(SuperblockPage, lineage) == 368);
static_assert(offsetof(SuperblockPage, peers) == 1392);
static_assert(offsetof(SuperblockPage, reserved_tail) == 2416);
static_assert(std::is_trivially_copyable_v<SuperblockPage>);

// --- where things are ---

struct Geometry {
  std::uint64_t volume_size = 0;
  std::uint32_t slots = 0;
  std::uint64_t activity_pages = 0;
  std::uint64_t bitmap_pages = 0;  // of each slot

  static Geometry of(std::uint64_t volume_size, std::uint32_t slots);

  std::uint64_t regions() const;
  std::uint64_t blocks() const;
  std::uint64_t superblock_at(std::uint32_t copy) const { return copy * superblock_distance_bytes; }
  std::uint64_t activity_at(std::uint64_t page) const {
    return activity_log_offset + page * page_bytes;
  }
  std::uint64_t bitmap_at(std::uint32_t slot, std::uint64_t page) const {
    return activity_at(activity_pages) + (slot * bitmap_pages + page) * page_bytes;
  }
  std::uint64_t bytes() const { return bitmap_at(slots, 0); }
  friend bool operator==(const Geometry&, const Geometry&) = default;
};

// The largest volume the format takes: its pages are counted in 32 bits.
inline constexpr std::uint64_t volume_size_max = (std::uint64_t{1} << 31U) * bits_per_page * 4096;

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace baton::blockdev
