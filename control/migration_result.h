// What `batonctl migrate` ends with. Pure.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace baton::control {

struct MigrationResult {
  bool only_checked = false;  // a dry run
  std::string resource;
  std::string source;  // node names
  std::string destination;
  std::string sentence;  // what is left to do, for a person
  std::optional<Duration> guest_pause;
  std::optional<Duration> storage_offer;  // the storage's part of the pause
  std::optional<Duration> storage_grant;  // while the guest runs; a first write waits for it
  Duration total{0};
  std::uint64_t ram_bytes = 0;
  std::uint64_t bytes_replicated = 0;  // to the destination, while the migration ran
  std::uint64_t disk_bytes_to_go = 0;  // that the destination's copy lacks; it is being filled
};

// Durations in milliseconds, with the unit in the key: "guest-pause-ms".
boost::json::value to_json(const MigrationResult& result);
Result<MigrationResult> migration_result_from_json(const boost::json::value& value);

// "vm1 moved from alpha to beta in 1.9 s: the guest paused for 41 ms, 3 ms of that for the storage;
// 98 MiB of memory copied. The guest runs on beta."
std::string migration_text(const MigrationResult& result);

}  // namespace baton::control
