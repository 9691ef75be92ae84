// The status of a resource as others see it: drbdsetup-like JSON, text for a person, and the
// changes from one status to the next. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "replication/engine/resource.h"

namespace baton::control {

struct StatusEntry {
  replication::ResourceStatus status;
  std::string error;       // why the resource is down, or empty
  bool tls_links = false;  // to the other nodes
};

// Keys as design §8 fixes them. Sizes are in KiB, as drbdsetup prints them; out-of-sync is rounded
// up, so that 0 means in sync.
boost::json::object to_json(const StatusEntry& entry);
// Of a connection, under "verify"; all of it in bytes.
boost::json::object to_json(const replication::VerifyStatus& verify);
// Reads what to_json() wrote.
Result<StatusEntry> status_from_json(const boost::json::value& value);

// `batonctl status`, a few lines for each resource, ends with a newline.
std::string status_text(std::span<const StatusEntry> entries);

// "43.1 % of 8 GiB compared, 4 KiB differ: volume 0 at 4096+4096; 12 s to go"
std::string verify_text(const replication::VerifyStatus& verify);

// One change of state: a line of the log and of `events`, and the object of `events --json`.
struct Change {
  boost::json::object data;
  std::string text;  // "vm1: role Secondary -> Primary"
};
// What to tell of `after` to somebody who knows `before`; `before` null: everything, as it exists.
// Numbers that only move (out-of-sync, percent, bytes) are no change.
std::vector<Change> changes(const StatusEntry* before, const StatusEntry& after);

}  // namespace baton::control
