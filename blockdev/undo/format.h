// The undo file: what a copy showed before it was overwritten, where it differed from the copy that
// stays (design §8 `resolve`). docs/on-disk-format.md "The undo file" in structs. Pure.
//
//      0  header       (4 KiB; zeroes until everything else is on stable storage)
//   4096  page         (4 KiB: up to 127 ranges)
//         data of the ranges that the page names, in its order, each padded to 4 KiB
//         page, data, page, data …
//
// A page is in front of its data, so that the file is written and read in one pass and in bounded
// memory, however scattered the ranges are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <type_traits>

#include "base/endian.h"
#include "base/result.h"

namespace baton::blockdev {

inline constexpr std::size_t undo_page_bytes = 4096;
inline constexpr std::array<char, 8> undo_magic = {'B', 'A', 'T', 'O', 'N', 'U', 'N', '\n'};
inline constexpr std::uint32_t undo_version = 1;
inline constexpr std::uint32_t undo_page_magic = 0x5055'4e42;  // "BNUP" as it lies on the disk
inline constexpr std::uint32_t undo_range_zeroes = 1;          // no data follows: it read as zeroes
// What a page can name, and the most that one range of data holds. A range of zeroes is as long as
// it likes.
inline constexpr std::size_t undo_ranges_per_page = 127;
inline constexpr std::uint64_t undo_data_bytes_max = 1U << 20U;

struct UndoHeader {
  le64 checksum;  // XXH3-64 of the 4088 bytes that follow
  std::array<char, 8> magic;
  le32 version;
  le32 volume;      // number within the resource
  le64 generation;  // the tip of the history that yields
  le64 common;      // the last generation that both had; 0: none is known
  le64 kept;        // the tip of the history that stays
  le64 volume_bytes;
  le64 file_bytes;  // of the whole file
  le64 pages;
  le64 ranges;
  le64 data_bytes;  // that the ranges of data cover
  le64 zero_bytes;  // that the ranges of zeroes cover
  std::array<char, 128> resource;
  std::array<char, 64> node;  // whose copy it was
  std::array<char, 64> peer;  // whose copy stays
  std::array<std::byte, 3744> reserved;
};
static_assert(sizeof(UndoHeader) == undo_page_bytes);
static_assert(offsetof(UndoHeader, generation) == 24 && offsetof(UndoHeader, resource) == 96);
static_assert(std::is_trivially_copyable_v<UndoHeader>);

struct UndoRange {
  le64 offset;    // in the volume, bytes
  le64 length;    // bytes
  le64 checksum;  // XXH3-64 of the range's data; 0 for zeroes
  le32 flags;     // undo_range_zeroes
  le32 reserved;
};
static_assert(sizeof(UndoRange) == 32);

struct UndoPage {
  le64 checksum;  // XXH3-64 of the 4088 bytes that follow
  le32 magic;
  le32 count;   // of ranges, at least 1
  le64 number;  // of the page, from 0
  le64 reserved;
  std::array<UndoRange, undo_ranges_per_page> ranges;
};
static_assert(sizeof(UndoPage) == undo_page_bytes);
static_assert(std::is_trivially_copyable_v<UndoPage>);

// What the header says.
struct UndoInfo {
  std::string resource;
  std::string node;
  std::string peer;
  std::uint32_t volume = 0;
  std::uint64_t generation = 0;
  std::uint64_t common = 0;
  std::uint64_t kept = 0;
  std::uint64_t volume_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t pages = 0;
  std::uint64_t ranges = 0;
  std::uint64_t data_bytes = 0;
  std::uint64_t zero_bytes = 0;
  friend bool operator==(const UndoInfo&, const UndoInfo&) = default;
};

constexpr std::uint64_t undo_padded(std::uint64_t bytes) {
  return (bytes + undo_page_bytes - 1) / undo_page_bytes * undo_page_bytes;
}
// Of a whole file: `padded_data` is the sum of undo_padded() of every range of data.
constexpr std::uint64_t undo_file_bytes(std::uint64_t ranges, std::uint64_t padded_data) {
  const std::uint64_t pages = (ranges + undo_ranges_per_page - 1) / undo_ranges_per_page;
  return undo_page_bytes * (1 + pages) + padded_data;
}

UndoHeader seal_undo_header(const UndoInfo& info);
// Fills in the page's checksum.
void seal_undo_page(UndoPage& page);

// Reads so many bytes at an offset of the file. False: it cannot, or the file ends before.
using ReadUndo = std::function<bool(std::uint64_t offset, std::span<std::byte> into)>;

// The header, checked. The error says whether the file is unfinished, damaged or of a later format.
Result<UndoInfo> read_undo_header(const ReadUndo& read);

struct UndoPiece {
  std::uint64_t offset = 0;  // in the volume
  std::uint64_t length = 0;
  bool zeroes = false;
  std::uint64_t data_at = 0;   // in the file
  std::uint64_t checksum = 0;  // of the data
};
// Every range in the order of the volume, each with where its data lies; stops when `visit` answers
// false. Everything that the pages say is checked, the data is not.
Result<> read_undo_ranges(const ReadUndo& read, const UndoInfo& info,
                          const std::function<bool(const UndoPiece&)>& visit);
// The data of one range, checked. Zeroes for a range of zeroes that fits `into`, of which `into` is
// the first part.
Result<> read_undo_data(const ReadUndo& read, const UndoPiece& piece, std::span<std::byte> into);

}  // namespace baton::blockdev
