// The configuration: one TOML file per resource, the same on every node (design §8).
//
// Errors are one sentence that begins with "FILE:LINE: ", exit code 10. Parsing and checking are
// pure; only load_configuration() and read_secret() look at the disk.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/tls/credentials.h"
#include "control/endpoint.h"
#include "nbd_server/access.h"
#include "nbd_server/socket_access.h"
#include "replication/core/after_sb.h"
#include "replication/core/handlers.h"
#include "replication/core/peer_loss.h"
#include "replication/core/states.h"

namespace baton::control {

// In `meta`: at the end of the volume's own disk. No path, since those in a NodeSpec begin with
// '/'.
inline constexpr std::string_view internal_metadata = "internal";

struct VolumeSpec {
  std::uint64_t size = 0;  // 0: that of an existing disk
  nbd::Access access;      // of its export
};

enum class NbdTls : std::uint8_t { off, optional, required };  // over TCP; at unix sockets optional
enum class LinkTls : std::uint8_t { off, x509, psk };

// The section [tls]; without one everything is off.
struct TlsSpec {
  int line = 0;
  std::string folder;    // absolute, or empty
  std::string psk_file;  // absolute, or empty
  NbdTls nbd = NbdTls::off;
  LinkTls replication = LinkTls::off;
  tls::Version oldest = tls::Version::v1_3;

  // What clients of a listener see of it.
  bool same_for_clients(const TlsSpec& other) const {
    return folder == other.folder && psk_file == other.psk_file && nbd == other.nbd &&
           oldest == other.oldest;
  }
};

struct NodeSpec {
  std::string name;
  int line = 0;                       // of [node.NAME]
  std::optional<TcpAddress> address;  // present when there are two nodes
  std::vector<Endpoint> nbd;          // may be empty: a copy that nobody attaches to
  nbd::SocketAccess nbd_access;       // of the unix sockets in `nbd`
  std::vector<std::string> disks;     // absolute; one per volume
  std::vector<std::string> meta;      // absolute, or internal_metadata; one per volume; DISK.baton
                                      // where not given
  bool meta_given = false;            // required where a disk is a block device
  std::string qmp;                    // absolute path of the guest's QMP socket, or empty
};

struct ResourceSpec {
  std::string file;  // as the user named it, for messages
  std::string name;
  int line = 0;  // of `name`
  replication::Protocol protocol = replication::Protocol::c;
  Duration timeout = std::chrono::seconds(6);
  Duration ping_interval = std::chrono::seconds(2);  // not given: at most a third of `timeout`
  Duration fence_hold = std::chrono::seconds(20);
  bool two_primaries = false;
  bool auto_resume = true;
  replication::OnIoError on_io_error = replication::OnIoError::detach;
  Duration disk_timeout{};  // 0: a disk is waited for
  bool checksum_based = false;
  std::uint64_t resync_rate = 0;  // bytes per second; 0: self-tuning
  std::uint64_t verify_rate = 64U << 20U;
  Duration verify_interval{};  // 0: never by itself
  bool handover_on_silence = true;
  replication::OnPeerLost on_peer_lost = replication::OnPeerLost::go_on;
  replication::AfterSplitBrain after_sb;
  // Commands for the shell; empty: none.
  std::array<std::string, replication::handler_count> handlers;
  std::string secret;
  std::string secret_file;  // absolute, or empty
  TlsSpec tls;
  std::vector<VolumeSpec> volumes;
  std::vector<NodeSpec> nodes;  // in the order of the file

  // Null when the file does not name it.
  const NodeSpec* node(std::string_view node_name) const;
  bool authenticated() const {
    return !secret.empty() || !secret_file.empty() || tls.replication == LinkTls::x509;
  }
};

struct Configuration {
  std::string path;  // as given
  bool directory = false;
  std::vector<ResourceSpec> resources;  // by name

  const ResourceSpec* find(std::string_view resource) const;
};

// `file` is used in messages, `folder` (absolute) is where relative paths begin.
Result<ResourceSpec> parse_resource(std::string_view toml, const std::string& file,
                                    const std::string& folder);

// What one file cannot show: names, disks, sockets and ports that two resources claim on one node.
Result<> check_together(const std::vector<ResourceSpec>& resources);

// FILE, or every *.toml of DIR in the order of their names.
Result<Configuration> load_configuration(const std::string& path);

// The shared secret, from the file if it sits in one; empty when the resource has none.
Result<std::string> read_secret(const ResourceSpec& resource);

}  // namespace baton::control
