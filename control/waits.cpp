#include "control/waits.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/units.h"

namespace baton::control {
namespace {

using namespace replication;

Result<> can_come(const ResourceStatus& status) {
  if (!status.up) {
    return failure(fmt::format("{} is down: run batonctl up {}", status.name, status.name));
  }
  for (const ConnectionStatus& connection : status.connections) {
    if (connection.connection_state == ConnectionState::stand_alone) {
      return failure(fmt::format(
          "{} is StandAlone towards {}{}{}: run batonctl connect {}", status.name, connection.name,
          connection.last_error.empty() ? "" : ": ", connection.last_error, status.name));
    }
  }
  return {};
}

std::string waiting_for_peer(const ResourceStatus& status, const ConnectionStatus& connection) {
  return fmt::format("{}: waiting for {}{}{}", status.name, connection.name,
                     connection.last_error.empty() ? "" : ": ", connection.last_error);
}

std::uint64_t volume_size(const ResourceStatus& status, std::uint32_t volume) {
  for (const VolumeStatus& device : status.devices) {
    if (device.volume == volume) return device.size;
  }
  return 0;
}

// Bytes of all copies, and how many of them are still to go.
struct Amount {
  std::uint64_t total = 0;
  std::uint64_t to_go = 0;
  std::optional<std::uint64_t> seconds;  // of the slowest
  bool held = false;                     // by an operator
  bool settled = true;                   // every state is what it shall become
};

Amount amount_of(const ResourceStatus& status) {
  Amount amount;
  for (const ConnectionStatus& connection : status.connections) {
    for (const PeerVolumeStatus& peer : connection.peer_devices) {
      amount.total += volume_size(status, peer.volume);
      amount.to_go += peer.out_of_sync_bytes;
      // What is compared is in sync, and counts.
      const bool established = peer.replication_state == ReplicationState::established ||
                               peer.replication_state == ReplicationState::verify_s ||
                               peer.replication_state == ReplicationState::verify_t;
      amount.settled =
          amount.settled && established && peer.peer_disk_state == DiskState::up_to_date;
      amount.held = amount.held || peer.sync_held_here || peer.sync_held_there;
      amount.seconds = std::max(amount.seconds, peer.seconds_to_go);
    }
  }
  for (const VolumeStatus& device : status.devices) {
    amount.settled = amount.settled && device.disk_state == DiskState::up_to_date;
  }
  return amount;
}

}  // namespace

Result<WaitProgress> connect_progress(const ResourceStatus& status) {
  if (auto possible = can_come(status); !possible) return std::unexpected(possible.error());
  for (const ConnectionStatus& connection : status.connections) {
    if (connection.connection_state == ConnectionState::connected) continue;
    return WaitProgress{.text = waiting_for_peer(status, connection)};
  }
  return WaitProgress{.done = true};
}

Result<WaitProgress> sync_progress(const ResourceStatus& status) {
  auto connected = connect_progress(status);
  if (!connected || !connected->done) return connected;
  for (const ConnectionStatus& connection : status.connections) {
    if (!connection.split_brain) continue;
    return failure(
        fmt::format("{} and {} have split brain ({}): run batonctl resolve {} "
                    "--keep NODE",
                    status.name, connection.name, connection.split_brain->reason, status.name));
  }
  const Amount amount = amount_of(status);
  if (amount.settled) return WaitProgress{.done = true, .fraction = 1};
  if (amount.total == 0 || amount.to_go == 0) {
    return WaitProgress{.text =
                            fmt::format("{}: waiting for a copy that is UpToDate", status.name)};
  }
  const double in_sync = static_cast<double>(amount.total - std::min(amount.to_go, amount.total));
  std::string text = fmt::format("{}: {} to go", status.name, size_text(amount.to_go));
  if (amount.held) text += ", held by pause-sync";
  if (amount.seconds) {
    text += fmt::format(", {}", duration_text(std::chrono::seconds(*amount.seconds)));
  }
  return WaitProgress{.text = std::move(text),
                      .fraction = in_sync / static_cast<double>(amount.total)};
}

}  // namespace baton::control
