// What guest_writer's file looks like: which bytes record n must have, and where.
//
// Everything but a record's time follows from (seed, sequence, kind): a checker rebuilds the record
// and compares every byte, and it finds record n+1 even where record n is garbage.
//
// Layout: block 0 FileHeader, blocks 1..256 slots, then the log; host byte order (x86-64 only).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace guest_writer {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

inline constexpr u64 block_bytes = 4096;
inline constexpr u64 slot_count = 256;  // 1 MiB: each slot is rewritten every few hundred records
inline constexpr u64 log_offset = block_bytes * (1 + slot_count);
inline constexpr u64 record_bytes_max = 7680;  // 15 sectors
inline constexpr std::array<char, 8> file_magic{'B', 'A', 'T', 'O', 'N', 'G', 'W', '1'};

enum class RecordKind : u32 { log = 1, slot = 2 };

struct FileHeader {
  std::array<char, 8> magic;
  u64 seed;  // random per file, in every record: a block of another or older file never passes
  u64 checksum;
};
static_assert(sizeof(FileHeader) == 24);

struct RecordHeader {
  u64 seed;
  u64 sequence;
  u64 monotonic_ns;
  RecordKind kind;
  u32 size;      // header and filler
  u64 checksum;  // XXH3 of the whole record with this field zero
};
static_assert(sizeof(RecordHeader) == 40);
static_assert(std::endian::native == std::endian::little);

inline u64 mix(u64 x) {  // splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

inline u64 slot_of(u64 sequence) {
  return mix(sequence) % slot_count;
}

// Sizes follow from the sequence, so a reader finds record n+1 even where record n is garbage.
// Mostly one block; one in eight a multiple of 512, one in eight of any size, so that the blocks of
// the log are rewritten at their unaligned ends.
inline u64 size_of(u64 sequence) {
  switch (sequence % 8) {
    case 3:
      return 512 * (1 + mix(~sequence) % 15);
    case 6:
      return 64 + mix(~sequence) % 4000;
    default:
      return block_bytes;
  }
}

inline void build_record(std::span<std::byte> out, u64 seed, u64 sequence, RecordKind kind,
                         u64 now) {
  RecordHeader header{seed, sequence, now, kind, static_cast<u32>(out.size()), 0};
  std::span filler = out.subspan(sizeof header);
  u64 state = mix(seed ^ mix(sequence)) + static_cast<u64>(kind);
  for (std::size_t at = 0; at < filler.size(); at += sizeof state) {
    state = mix(state);
    std::memcpy(&filler[at], &state, std::min(sizeof state, filler.size() - at));
  }
  std::memcpy(out.data(), &header, sizeof header);
  header.checksum = XXH3_64bits(out.data(), out.size());
  std::memcpy(out.data(), &header, sizeof header);
}

// Why `found` is not record `sequence`, or nothing. Every byte is compared: all but the time is
// known beforehand, and the time is covered by the checksum.
inline std::optional<std::string> verify_record(std::span<const std::byte> found, u64 seed,
                                                u64 sequence, RecordKind kind) {
  std::array<std::byte, record_bytes_max> expected;
  RecordHeader header;
  std::memcpy(&header, found.data(), sizeof header);
  build_record(std::span(expected).first(found.size()), seed, sequence, kind, header.monotonic_ns);
  if (std::memcmp(expected.data(), found.data(), found.size()) == 0) return std::nullopt;
  if (std::ranges::all_of(found, [](std::byte b) { return b == std::byte{0}; }))
    return "only zeroes";
  if (header.seed != seed) return "not a record of this file";
  if (header.sequence != sequence) return "holds record " + std::to_string(header.sequence);
  return "checksum or content differs";
}

inline u64 slot_offset(u64 slot) {
  return block_bytes * (1 + slot);
}

inline u64 header_checksum(const FileHeader& header) {
  return XXH3_64bits(&header, offsetof(FileHeader, checksum));
}

}  // namespace guest_writer
