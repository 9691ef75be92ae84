#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <cmath>

#include "control/status.h"

namespace baton::control {
namespace {

namespace json = boost::json;
using namespace replication;

json::string name_json(std::string_view name) {
  return json::string(name);
}

json::object to_json(const PeerVolumeStatus& peer) {
  json::object object;
  object["volume"] = peer.volume;
  object["replication-state"] = name_json(name_of(peer.replication_state));
  object["peer-disk-state"] = name_json(name_of(peer.peer_disk_state));
  object["out-of-sync"] = (peer.out_of_sync_bytes + 1023) / 1024;
  // Two decimals; rounded down, so that 100 means all of it.
  object["percent-in-sync"] = std::floor(peer.percent_in_sync * 100) / 100;
  if (peer.seconds_to_go) object["seconds-to-go"] = *peer.seconds_to_go;
  // As drbdsetup spells it: whose word holds the resync.
  const bool both = peer.sync_held_here && peer.sync_held_there;
  if (both) {
    object["resync-suspended"] = "user,peer";
  } else if (peer.sync_held_here || peer.sync_held_there) {
    object["resync-suspended"] = peer.sync_held_here ? "user" : "peer";
  }
  return object;
}

json::object to_json(const SplitBrain& split) {
  return {{"reason", split.reason},
          {"common-generation", fmt::format("{:016x}", split.common)},
          {"own-changed", (split.own_bytes + 1023) / 1024},
          {"peer-changed", (split.peer_bytes + 1023) / 1024}};
}

std::optional<std::uint64_t> optional_number(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return std::nullopt;
  return value->to_number<std::uint64_t>();
}

VerifyStatus verify_from(const json::object& object) {
  const auto bytes = [&object](std::string_view key) {
    return object.at(key).to_number<std::uint64_t>();
  };
  VerifyStatus verify;
  verify.running = object.at("running").as_bool();
  verify.complete = object.at("complete").as_bool();
  verify.repair = object.at("repair").as_bool();
  verify.done_bytes = bytes("done-bytes");
  verify.total_bytes = bytes("total-bytes");
  verify.found_bytes = bytes("found-bytes");
  verify.repaired_bytes = bytes("repaired-bytes");
  verify.ranges = bytes("ranges");
  for (const json::value& value : object.at("listed").as_array()) {
    const json::object& range = value.as_object();
    verify.listed.push_back({.volume = range.at("volume").to_number<std::uint32_t>(),
                             .offset = range.at("offset").to_number<std::uint64_t>(),
                             .length = range.at("length").to_number<std::uint64_t>()});
  }
  verify.seconds_to_go = optional_number(object, "seconds-to-go");
  return verify;
}

json::object to_json(const ConnectionStatus& connection) {
  json::object object;
  object["name"] = connection.name;
  object["connection-state"] = name_json(name_of(connection.connection_state));
  object["peer-role"] = name_json(name_of(connection.peer_role));
  json::array peers;
  for (const PeerVolumeStatus& peer : connection.peer_devices) peers.push_back(to_json(peer));
  object["peer_devices"] = std::move(peers);
  if (connection.split_brain) object["split-brain"] = to_json(*connection.split_brain);
  if (connection.verify) object["verify"] = control::to_json(*connection.verify);
  if (!connection.last_error.empty()) object["last-error"] = connection.last_error;
  return object;
}

json::object baton_json(const ResourceStatus& status) {
  json::object object;
  if (status.baton_holder.empty()) {
    object["holder"] = nullptr;
  } else {
    object["holder"] = status.baton_holder;
  }
  object["epoch"] = status.baton_epoch;
  object["window"] = status.window_open;
  return object;
}

// Reading: throws what Boost.JSON throws on a wrong type, and std::invalid_argument on a wrong
// name; status_from_json() catches both. Only our own daemon's words come here.
template <class State, std::size_t count>
State state_of(const json::value& value, const std::array<State, count>& states) {
  const std::string_view name = value.as_string();
  const auto found = std::find_if(states.begin(), states.end(),
                                  [&](State state) { return name_of(state) == name; });
  if (found == states.end()) throw std::invalid_argument(std::string(name));
  return *found;
}

constexpr std::array roles{Role::unknown, Role::secondary, Role::primary};
constexpr std::array disk_states{DiskState::diskless,     DiskState::attaching, DiskState::failed,
                                 DiskState::inconsistent, DiskState::outdated,  DiskState::unknown,
                                 DiskState::consistent,   DiskState::up_to_date};
constexpr std::array connection_states{ConnectionState::stand_alone, ConnectionState::connecting,
                                       ConnectionState::connected};
constexpr std::array replication_states{
    ReplicationState::off,         ReplicationState::established,   ReplicationState::sync_source,
    ReplicationState::sync_target, ReplicationState::paused_sync_s, ReplicationState::paused_sync_t,
    ReplicationState::verify_s,    ReplicationState::verify_t,      ReplicationState::ahead,
    ReplicationState::behind};

template <class T>
T number(const json::object& object, std::string_view key) {
  return object.at(key).to_number<T>();
}
std::string text_or_empty(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

SplitBrain split_brain_from(const json::object& object) {
  SplitBrain split;
  split.reason = text_or_empty(object, "reason");
  split.common = std::stoull(text_or_empty(object, "common-generation"), nullptr, 16);
  split.own_bytes = number<std::uint64_t>(object, "own-changed") * 1024;
  split.peer_bytes = number<std::uint64_t>(object, "peer-changed") * 1024;
  return split;
}

json::object held_json(const HeldStatus& held) {
  return {{"count", held.count}, {"reason", held.reason}, {"oldest-ms", held.oldest_ms}};
}

HeldStatus held_from(const json::object& object) {
  return {.count = number<std::uint64_t>(object, "count"),
          .reason = text_or_empty(object, "reason"),
          .oldest_ms = number<std::uint64_t>(object, "oldest-ms")};
}

ConnectionStatus connection_from(const json::object& object) {
  ConnectionStatus connection;
  connection.name = text_or_empty(object, "name");
  connection.connection_state = state_of(object.at("connection-state"), connection_states);
  connection.peer_role = state_of(object.at("peer-role"), roles);
  for (const json::value& value : object.at("peer_devices").as_array()) {
    const json::object& peer = value.as_object();
    connection.peer_devices.push_back(
        {.volume = number<std::uint32_t>(peer, "volume"),
         .replication_state = state_of(peer.at("replication-state"), replication_states),
         .peer_disk_state = state_of(peer.at("peer-disk-state"), disk_states),
         .out_of_sync_bytes = number<std::uint64_t>(peer, "out-of-sync") * 1024,
         .percent_in_sync = number<double>(peer, "percent-in-sync"),
         .seconds_to_go = optional_number(peer, "seconds-to-go"),
         .sync_held_here = text_or_empty(peer, "resync-suspended").starts_with("user"),
         .sync_held_there = text_or_empty(peer, "resync-suspended").ends_with("peer")});
  }
  if (const json::value* split = object.if_contains("split-brain")) {
    connection.split_brain = split_brain_from(split->as_object());
  }
  if (const json::value* verify = object.if_contains("verify")) {
    connection.verify = verify_from(verify->as_object());
  }
  connection.last_error = text_or_empty(object, "last-error");
  return connection;
}

StatusEntry entry_from(const json::object& object) {
  StatusEntry entry;
  ResourceStatus& status = entry.status;
  status.name = object.at("name").as_string();
  status.role = state_of(object.at("role"), roles);
  for (const json::value& value : object.at("devices").as_array()) {
    const json::object& device = value.as_object();
    const json::object& log = device.at("activity-log").as_object();
    VolumeStatus read{.volume = number<std::uint32_t>(device, "volume"),
                      .disk_state = state_of(device.at("disk-state"), disk_states),
                      .size = number<std::uint64_t>(device, "size") * 1024,
                      .log_hits = number<std::uint64_t>(log, "hits"),
                      .log_misses = number<std::uint64_t>(log, "misses"),
                      .log_stalls = number<std::uint64_t>(log, "stalls")};
    if (const json::value* regions = device.if_contains("regions")) {
      read.regions_lent = number<std::uint64_t>(regions->as_object(), "lent");
      read.regions_borrowed = number<std::uint64_t>(regions->as_object(), "borrowed");
      read.region_moves = number<std::uint64_t>(regions->as_object(), "moves");
    }
    if (const json::value* unanswered = device.if_contains("unanswered")) {
      read.unanswered = number<std::uint64_t>(unanswered->as_object(), "count");
      read.unanswered_ms = number<std::uint64_t>(unanswered->as_object(), "oldest-ms");
    }
    status.devices.push_back(read);
  }
  for (const json::value& value : object.at("connections").as_array()) {
    status.connections.push_back(connection_from(value.as_object()));
    entry.tls_links = value.at("tls").as_bool();
  }
  const json::object& baton = object.at("baton").as_object();
  status.baton_holder = text_or_empty(baton, "holder");
  status.baton_epoch = number<std::uint64_t>(baton, "epoch");
  status.window_open = baton.at("window").as_bool();
  status.suspended = text_or_empty(object, "suspended-reason");
  const json::object& writes = object.at("held-writes").as_object();
  status.held_writes = held_from(writes);
  status.held_longest_ms = number<double>(writes, "longest-ms");
  status.held_reads = held_from(object.at("held-reads").as_object());
  status.bytes_replicated = number<std::uint64_t>(object, "bytes-replicated");
  for (const json::value& client : object.at("clients").as_array()) {
    status.clients.emplace_back(client.as_string());
  }
  status.up = object.at("up").as_bool();
  entry.error = text_or_empty(object, "error");
  return entry;
}

}  // namespace

json::object to_json(const VerifyStatus& verify) {
  json::object object{{"running", verify.running},
                      {"complete", verify.complete},
                      {"repair", verify.repair},
                      {"done-bytes", verify.done_bytes},
                      {"total-bytes", verify.total_bytes},
                      {"found-bytes", verify.found_bytes},
                      {"repaired-bytes", verify.repaired_bytes},
                      {"ranges", verify.ranges}};
  json::array listed;
  for (const FoundRange& range : verify.listed) {
    listed.push_back(
        {{"volume", range.volume}, {"offset", range.offset}, {"length", range.length}});
  }
  object["listed"] = std::move(listed);
  if (verify.seconds_to_go) object["seconds-to-go"] = *verify.seconds_to_go;
  return object;
}

json::object to_json(const StatusEntry& entry) {
  const ResourceStatus& status = entry.status;
  json::object object;
  object["name"] = status.name;
  object["role"] = name_json(name_of(status.role));
  json::array devices;
  for (const VolumeStatus& device : status.devices) {
    json::object shown = {{"volume", device.volume},
                          {"disk-state", name_json(name_of(device.disk_state))},
                          {"size", device.size / 1024},
                          {"activity-log",
                           {{"hits", device.log_hits},
                            {"misses", device.log_misses},
                            {"stalls", device.log_stalls}}}};
    if (device.region_moves > 0) {
      shown["regions"] = {{"lent", device.regions_lent},
                          {"borrowed", device.regions_borrowed},
                          {"moves", device.region_moves}};
    }
    if (device.unanswered > 0) {
      shown["unanswered"] = {{"count", device.unanswered}, {"oldest-ms", device.unanswered_ms}};
    }
    devices.push_back(std::move(shown));
  }
  object["devices"] = std::move(devices);
  json::array connections;
  for (const ConnectionStatus& connection : status.connections) {
    json::object shown = to_json(connection);
    shown["tls"] = entry.tls_links;
    connections.push_back(std::move(shown));
  }
  object["connections"] = std::move(connections);
  object["baton"] = baton_json(status);
  object["suspended"] = !status.suspended.empty();
  object["suspended-reason"] = status.suspended;
  json::object writes = held_json(status.held_writes);
  writes["longest-ms"] = status.held_longest_ms;
  object["held-writes"] = std::move(writes);
  object["held-reads"] = held_json(status.held_reads);
  object["clients"] = json::array(status.clients.begin(), status.clients.end());
  object["bytes-replicated"] = status.bytes_replicated;
  object["up"] = status.up;
  if (!entry.error.empty()) object["error"] = entry.error;
  return object;
}

Result<StatusEntry> status_from_json(const json::value& value) {
  try {
    return entry_from(value.as_object());
  } catch (const std::exception& error) {
    return failure(
        fmt::format("the daemon's status cannot be read ({}): batonctl and batond are "
                    "of different versions; install the same",
                    error.what()));
  }
}

}  // namespace baton::control
