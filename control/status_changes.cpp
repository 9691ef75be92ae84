#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "control/status.h"
#include "control/units.h"

namespace baton::control {
namespace {

namespace json = boost::json;
using namespace replication;

// Collects what is said about one object: a resource, a device, a connection, a peer's device.
class Telling {
 public:
  // `subject` begins the text: "vm1", "vm1 beta volume 0".
  Telling(bool exists, std::string_view object, std::string subject)
      : exists_(exists), subject_(std::move(subject)) {
    data_["event"] = exists ? "exists" : "change";
    data_["object"] = object;
  }

  void identify(std::string_view key, std::string_view value) { data_[key] = value; }
  void identify(std::string_view key, std::uint64_t value) { data_[key] = value; }

  void yes_no(std::string_view key, std::string_view word, bool before, bool after) {
    state(key, word, before ? "yes" : "no", after ? "yes" : "no");
    data_[key] = after;
  }
  void number(std::string_view key, std::string_view word, std::uint64_t before,
              std::uint64_t after) {
    state(key, word, fmt::format("{}", before), fmt::format("{}", after));
    data_[key] = after;
  }

  // A size is unknown (0) while nothing is attached; that it is known then is no change.
  void size(std::uint64_t before, std::uint64_t after) {
    const bool told = after != 0 && (exists_ || before != 0);
    if (told) state("size", "size", size_text(before), size_text(after));
    data_["size"] = after / 1024;
  }
  // Why something is down; that the reason has gone shows in what comes up.
  void failure(std::string_view before, std::string_view after) {
    data_["error"] = after;
    if (!after.empty() && (exists_ || before != after)) {
      parts_.push_back(fmt::format("stays down: {}", after));
    }
  }

  // A state by its JSON key and its word for the text.
  void state(std::string_view key, std::string_view word, std::string_view before,
             std::string_view after) {
    data_[key] = after;
    if (exists_) {
      if (!after.empty()) parts_.push_back(fmt::format("{} {}", word, after));
    } else if (before != after) {
      parts_.push_back(fmt::format("{} {} -> {}", word, before.empty() ? "none" : before,
                                   after.empty() ? "none" : after));
    }
  }

  void add_to(std::vector<Change>& out) {
    if (parts_.empty()) return;
    out.push_back({std::move(data_), fmt::format("{}: {}", subject_, fmt::join(parts_, ", "))});
  }

 private:
  bool exists_;
  std::string subject_;
  json::object data_;
  std::vector<std::string> parts_;
};

void tell_resource(const StatusEntry* before, const StatusEntry& after, std::vector<Change>& out) {
  const StatusEntry none;
  const StatusEntry& was = before == nullptr ? none : *before;
  Telling telling(before == nullptr, "resource", after.status.name);
  telling.identify("name", after.status.name);
  telling.yes_no("up", "up", was.status.up, after.status.up);
  telling.state("role", "role", name_of(was.status.role), name_of(after.status.role));
  telling.state("baton-holder", "baton", was.status.baton_holder, after.status.baton_holder);
  telling.number("baton-epoch", "epoch", was.status.baton_epoch, after.status.baton_epoch);
  telling.yes_no("window", "handover window", was.status.window_open, after.status.window_open);
  telling.yes_no("suspended", "suspended", !was.status.suspended.empty(),
                 !after.status.suspended.empty());
  telling.yes_no("held-writes", "writes held", was.status.held_writes.count != 0,
                 after.status.held_writes.count != 0);
  telling.yes_no("held-reads", "reads held", was.status.held_reads.count != 0,
                 after.status.held_reads.count != 0);
  telling.failure(was.error, after.error);
  telling.add_to(out);
}

void tell_device(const std::string& resource, const VolumeStatus* before, const VolumeStatus& after,
                 std::vector<Change>& out) {
  const VolumeStatus none;
  const VolumeStatus& was = before == nullptr ? none : *before;
  Telling telling(before == nullptr, "device", fmt::format("{} volume {}", resource, after.volume));
  telling.identify("name", resource);
  telling.identify("volume", after.volume);
  telling.state("disk-state", "disk", name_of(was.disk_state), name_of(after.disk_state));
  telling.size(was.size, after.size);
  telling.add_to(out);
}

void tell_peer_device(const std::string& resource, const std::string& peer,
                      const PeerVolumeStatus* before, const PeerVolumeStatus& after,
                      std::vector<Change>& out) {
  const PeerVolumeStatus none;
  const PeerVolumeStatus& was = before == nullptr ? none : *before;
  Telling telling(before == nullptr, "peer-device",
                  fmt::format("{} {} volume {}", resource, peer, after.volume));
  telling.identify("name", resource);
  telling.identify("conn-name", peer);
  telling.identify("volume", after.volume);
  telling.state("replication-state", "replication", name_of(was.replication_state),
                name_of(after.replication_state));
  telling.state("peer-disk-state", "peer disk", name_of(was.peer_disk_state),
                name_of(after.peer_disk_state));
  telling.identify("out-of-sync", (after.out_of_sync_bytes + 1023) / 1024);
  telling.add_to(out);
}

// How far it is, is no change; that it begins and ends, and what it finds, is.
std::string state_of(const std::optional<VerifyStatus>& verify) {
  if (!verify) return "";
  const char* state = verify->running ? "running" : verify->complete ? "complete" : "cut off";
  if (verify->found_bytes == 0) return state;
  return fmt::format("{}, {} differ, {} repaired{}{}", state, size_text(verify->found_bytes),
                     size_text(verify->repaired_bytes), verify->listed.empty() ? "" : ": ",
                     text_of(verify->listed, verify->ranges, FoundRanges::listed_max));
}

std::string reason_of(const std::optional<SplitBrain>& split_brain) {
  return split_brain ? split_brain->reason : "";
}

void tell_connection(const std::string& resource, const ConnectionStatus* before,
                     const ConnectionStatus& after, std::vector<Change>& out) {
  const ConnectionStatus none;
  const ConnectionStatus& was = before == nullptr ? none : *before;
  Telling telling(before == nullptr, "connection", fmt::format("{} {}", resource, after.name));
  telling.identify("name", resource);
  telling.identify("conn-name", after.name);
  telling.state("connection-state", "connection", name_of(was.connection_state),
                name_of(after.connection_state));
  telling.state("peer-role", "peer role", name_of(was.peer_role), name_of(after.peer_role));
  telling.state("split-brain", "split brain", reason_of(was.split_brain),
                reason_of(after.split_brain));
  telling.state("verify", "verify", state_of(was.verify), state_of(after.verify));
  telling.state("last-error", "error", was.last_error, after.last_error);
  telling.add_to(out);
  for (std::size_t i = 0; i < after.peer_devices.size(); ++i) {
    const bool known = before != nullptr && i < before->peer_devices.size();
    tell_peer_device(resource, after.name, known ? &before->peer_devices[i] : nullptr,
                     after.peer_devices[i], out);
  }
}

}  // namespace

std::vector<Change> changes(const StatusEntry* before, const StatusEntry& after) {
  std::vector<Change> out;
  tell_resource(before, after, out);
  const std::string& name = after.status.name;
  for (std::size_t i = 0; i < after.status.devices.size(); ++i) {
    const bool known = before != nullptr && i < before->status.devices.size();
    tell_device(name, known ? &before->status.devices[i] : nullptr, after.status.devices[i], out);
  }
  for (std::size_t i = 0; i < after.status.connections.size(); ++i) {
    const bool known = before != nullptr && i < before->status.connections.size();
    tell_connection(name, known ? &before->status.connections[i] : nullptr,
                    after.status.connections[i], out);
  }
  return out;
}

}  // namespace baton::control
