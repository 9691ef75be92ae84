// Reads a guest_writer file and says what of it is good, lost or changed.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "disk_file.h"
#include "records.h"

namespace guest_writer {

inline u64 read_seed(DiskReader& reader) {
  FileHeader header{};
  const std::span found = reader.at(0, sizeof header);
  std::memcpy(&header, found.data(), found.size());
  if (header.magic != file_magic || header.checksum != header_checksum(header))
    throw std::runtime_error(
        "the file's header is damaged, or guest_writer did not make this file");
  return header.seed;
}

struct ScanResult {
  u64 seed = 0;
  u64 records = 0;              // good records 1..records without a gap
  u64 good = 0;                 // good records in all
  u64 newest_good = 0;          // the last of them
  u64 end_offset = log_offset;  // behind them
  u64 file_bytes = 0;
  u64 errors = 0;
  u64 in_flight = 0;  // pieces that are wrong but were never acknowledged
  std::string first_error;
  std::array<u64, slot_count> newest{};  // per slot, the newest sequence <= records

  void add(std::string what) {
    if (errors++ == 0) first_error = std::move(what);
  }
};

inline void scan_log(DiskReader& reader, ScanResult& result, u64 acknowledged) {
  u64 offset = log_offset;
  bool contiguous = true;
  for (u64 sequence = 1; offset < result.file_bytes; ++sequence) {
    const u64 size = size_of(sequence);
    const std::span found = reader.at(offset, size);
    const auto wrong = found.size() < size
                           ? std::optional<std::string>("cut off")
                           : verify_record(found, result.seed, sequence, RecordKind::log);
    if (!wrong) {
      ++result.good;
      result.newest_good = sequence;
    }
    if (!wrong && contiguous) {
      result.records = sequence;
      result.end_offset = offset + size;
      result.newest[slot_of(sequence)] = sequence;
    } else if (wrong) {
      contiguous = false;
      if (sequence > acknowledged) {
        ++result.in_flight;
      } else {
        result.add("record " + std::to_string(sequence) + " at byte " + std::to_string(offset) +
                   ": " + *wrong);
      }
    }
    offset += size;
  }
}

// A slot must hold the newest acknowledged record that belongs there, or a later one that was on
// its way. A torn slot is forgiven only where such a later one exists.
inline void scan_slots(DiskReader& reader, ScanResult& result, u64 acknowledged) {
  std::array<u64, slot_count> required{};
  std::array<u64, slot_count> latest{};
  for (u64 sequence = 1; sequence <= result.newest_good + 1; ++sequence) {
    latest[slot_of(sequence)] = sequence;
    if (sequence <= std::min(acknowledged, result.newest_good))
      required[slot_of(sequence)] = sequence;
  }
  for (u64 slot = 0; slot < slot_count; ++slot) {
    const std::span found = reader.at(slot_offset(slot), block_bytes);
    RecordHeader header{};
    std::memcpy(&header, found.data(), std::min(found.size(), sizeof header));
    if (header.sequence == 0 && required[slot] == 0) continue;
    std::optional<std::string> wrong;
    if (found.size() < block_bytes) {
      wrong = "cut off";
    } else if (header.sequence == 0) {
      wrong = "was never written";
    } else if (header.sequence < required[slot] || header.sequence > latest[slot] ||
               slot_of(header.sequence) != slot) {
      wrong = "holds record " + std::to_string(header.sequence);
    } else {
      wrong = verify_record(found, result.seed, header.sequence, RecordKind::slot);
    }
    if (!wrong) continue;
    if (latest[slot] > acknowledged && header.sequence >= required[slot]) {
      ++result.in_flight;
    } else {
      result.add("slot " + std::to_string(slot) + " must hold record " +
                 std::to_string(required[slot]) + ": " + *wrong);
    }
  }
}

// Reads everything. `acknowledged`: the newest record whose fsync is known to have returned;
// nothing: all that is in the log (a writer that was stopped properly). Throws if unreadable.
inline ScanResult scan(DiskReader& reader, std::optional<u64> acknowledged) {
  ScanResult result;
  result.seed = read_seed(reader);
  result.file_bytes = reader.size();
  scan_log(reader, result, acknowledged.value_or(~u64{0}));
  const u64 owed = acknowledged.value_or(result.newest_good);
  if (result.newest_good < owed)
    result.add("the file ends with record " + std::to_string(result.newest_good) + ", but record " +
               std::to_string(owed) + " was acknowledged");
  scan_slots(reader, result, owed);
  return result;
}

}  // namespace guest_writer
