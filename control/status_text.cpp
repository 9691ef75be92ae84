#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <cmath>

#include "control/status.h"
#include "control/units.h"

namespace baton::control {
namespace {

using namespace replication;

// Columns wide enough for "Inconsistent" and "PausedSyncS".
constexpr int disk_width = 12;
constexpr int replication_width = 11;

// So that 100.0 means all of it.
double rounded_down(double percent) {
  return std::floor(percent * 10) / 10;
}

std::string seconds_text(std::uint64_t seconds) {
  return duration_text(std::chrono::seconds(seconds));
}

std::string peer_volume_text(const PeerVolumeStatus& peer) {
  std::string line =
      fmt::format("    volume {}  {:<{}}  {}", peer.volume, name_of(peer.peer_disk_state),
                  disk_width, name_of(peer.replication_state));
  if (peer.out_of_sync_bytes == 0) return line;
  line = fmt::format("    volume {}  {:<{}}  {:<{}}  {:.1f} % in sync, {} to go", peer.volume,
                     name_of(peer.peer_disk_state), disk_width, name_of(peer.replication_state),
                     replication_width, rounded_down(peer.percent_in_sync),
                     size_text(peer.out_of_sync_bytes));
  if (peer.seconds_to_go) line += fmt::format(", {}", seconds_text(*peer.seconds_to_go));
  return line;
}

// Whose word holds resyncs, and how it ends.
std::string held_text(const std::string& resource, const ConnectionStatus& connection) {
  if (connection.peer_devices.empty()) return "";
  const PeerVolumeStatus& any = connection.peer_devices.front();
  if (!any.sync_held_here && !any.sync_held_there) return "";
  const std::string where = !any.sync_held_there  ? "here"
                            : !any.sync_held_here ? "on " + connection.name
                                                  : "here and on " + connection.name;
  return fmt::format("    resync is held: batonctl resume-sync {} {}\n", resource, where);
}

std::string held_requests_text(std::string_view what, const HeldStatus& held) {
  if (held.count == 0) return "";
  return fmt::format("  {} {}{} held, the oldest for {}: {}\n", held.count, what,
                     held.count == 1 ? "" : "s",
                     duration_text(std::chrono::milliseconds(held.oldest_ms)), held.reason);
}

std::string connection_text(const std::string& resource, const ConnectionStatus& connection,
                            bool tls) {
  std::string text = fmt::format("  {}  {}", connection.name, name_of(connection.connection_state));
  if (connection.peer_role != Role::unknown) {
    text += fmt::format(", {}", name_of(connection.peer_role));
  }
  if (tls && connection.connection_state == ConnectionState::connected) text += ", TLS";
  if (!connection.last_error.empty()) text += fmt::format(": {}", connection.last_error);
  text += '\n';
  for (const PeerVolumeStatus& peer : connection.peer_devices) {
    text += peer_volume_text(peer) + '\n';
  }
  text += held_text(resource, connection);
  if (connection.verify) text += fmt::format("    verify: {}\n", verify_text(*connection.verify));
  if (connection.split_brain) {
    text += fmt::format(
        "    SPLIT BRAIN: {}\n    choose whose data stays: batonctl resolve {} --keep NODE\n",
        connection.split_brain->reason, resource);
  }
  return text;
}

std::string headline(const ResourceStatus& status) {
  if (!status.up) return fmt::format("{}  down", status.name);
  std::string text = fmt::format("{}  {}", status.name, name_of(status.role));
  if (!status.baton_holder.empty()) {
    text += fmt::format("  (baton: {}, epoch {})", status.baton_holder, status.baton_epoch);
  }
  return text;
}

std::string entry_text(const StatusEntry& entry) {
  const ResourceStatus& status = entry.status;
  std::string text = headline(status) + '\n';
  if (!entry.error.empty()) text += fmt::format("  {}\n", entry.error);
  if (!status.up) return text;
  for (const VolumeStatus& device : status.devices) {
    text += fmt::format("  volume {}  {:<{}}  {}\n", device.volume, name_of(device.disk_state),
                        disk_width, size_text(device.size));
    if (device.unanswered == 0) continue;
    text +=
        fmt::format("    its disk hangs: {} request{} not answered for {}; attach waits for that\n",
                    device.unanswered, device.unanswered == 1 ? "" : "s",
                    duration_text(std::chrono::milliseconds(device.unanswered_ms)));
  }
  for (const ConnectionStatus& connection : status.connections) {
    text += connection_text(status.name, connection, entry.tls_links);
  }
  if (status.window_open) text += "  handover window open: the first write here takes the baton\n";
  if (!status.suspended.empty())
    text += fmt::format("  writes stand still: {}\n", status.suspended);
  text += held_requests_text("write", status.held_writes);
  text += held_requests_text("read", status.held_reads);
  if (!status.clients.empty()) {
    text += fmt::format("  clients: {}\n", fmt::join(status.clients, "; "));
  }
  return text;
}

}  // namespace

std::string verify_text(const VerifyStatus& verify) {
  constexpr std::size_t ranges_shown = 8;
  const double share = verify.total_bytes == 0 ? 1.0
                                               : static_cast<double>(verify.done_bytes) /
                                                     static_cast<double>(verify.total_bytes);
  std::string text = verify.complete
                         ? fmt::format("{} compared", size_text(verify.total_bytes))
                         : fmt::format("{:.1f} % of {} compared", rounded_down(share * 100),
                                       size_text(verify.total_bytes));
  if (!verify.running && !verify.complete) text += " when it was cut off";
  if (verify.found_bytes == 0) {
    text += ", nothing differs";
  } else {
    const bool all = verify.repaired_bytes == verify.found_bytes;
    text += fmt::format(", {} differ{}", size_text(verify.found_bytes),
                        all ? "ed and were copied from the holder" : "");
    if (!all && verify.repaired_bytes > 0) {
      text += fmt::format(" ({} of them copied)", size_text(verify.repaired_bytes));
    }
  }
  if (!verify.listed.empty()) {
    text += fmt::format(": {}", text_of(verify.listed, verify.ranges, ranges_shown));
  }
  if (verify.seconds_to_go) text += fmt::format("; {} to go", seconds_text(*verify.seconds_to_go));
  return text;
}

std::string status_text(std::span<const StatusEntry> entries) {
  if (entries.empty()) return "no resource is configured for this node\n";
  std::string text;
  for (const StatusEntry& entry : entries) {
    if (!text.empty()) text += '\n';
    text += entry_text(entry);
  }
  return text;
}

}  // namespace baton::control
