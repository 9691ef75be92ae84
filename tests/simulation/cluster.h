// One world put together: nodes, links, clients, oracle and rules, from a few settings.
#pragma once

#include <memory>
#include <vector>

#include "tests/simulation/crash_clones.h"
#include "tests/simulation/rules.h"

namespace baton::sim {

struct Settings {
  replication::Protocol protocol = replication::Protocol::c;
  std::vector<std::uint64_t> volume_bytes = {4U << 20U};
  std::size_t nodes = 2;
  std::size_t clients_per_node = 1;  // per volume
  bool nbd = false;  // clients speak NBD to the node's session; else they call the engine
  bool auto_resume = true;
  bool two_primaries = false;
  replication::OnPeerLost on_peer_lost = replication::OnPeerLost::go_on;
  Fencing fencing = Fencing::absent;
  replication::AfterSplitBrain after_sb;
  std::size_t active_regions = blockdev::active_regions_default;
  bool checksum_based = false;
  Duration verify_interval{};
  Duration disk_timeout{};
  bool clones = false;  // of the disks, at every write of metadata (crash_clones.h)
  NetModel net;
  std::vector<DiskModel> disks = {{}, {}};  // by node
};

class Cluster final : DiskWatch {
 public:
  Cluster(std::uint64_t seed, const Settings& settings, Factory& factory);
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;
  ~Cluster() override;

  World& world() { return world_; }
  SimNet& net() { return net_; }
  Oracle& oracle() { return oracle_; }
  Rules& rules() { return *rules_; }
  Node& node(int number) { return *nodes_[static_cast<std::size_t>(number)]; }
  std::size_t nodes() const { return nodes_.size(); }
  const Settings& settings() const { return settings_; }
  std::vector<std::unique_ptr<SimClient>>& clients() { return clients_; }
  SimClient& client(int node, std::uint32_t volume, std::size_t which = 0);

  // Metadata on every node, every node started and up.
  void create();
  bool clients_idle() const;
  // Nothing moves: no client, verb, disk or link. (A ping is due every so often all the same.)
  bool still() const { return moves().empty(); }
  // What moves, for a reader; empty if nothing does.
  std::string moves() const;

  // As Node's, and the oracle is told.
  void kill(int number);
  void power_cut(int number, PowerLoss how);
  void switch_off(int number);  // by the other's fence-peer handler
  // A disk fails only while the other node's copy is UpToDate, in contact and on sound disks; until
  // it is mended it may go on to fail.
  bool may_fail(const SimDisk& disk) override;
  // Requests that clients did not get done, for whatever reason.
  std::uint64_t errors() const;

 private:
  void submitted(const SimDisk& disk, std::uint64_t offset, std::uint64_t length) override;
  void failed(const SimDisk& disk, blockdev::Op op) override;
  void damaged(const SimDisk& disk, std::uint64_t offset, std::uint64_t length) override;
  void stored(const SimDisk& disk, std::uint64_t offset, std::uint64_t length) override;

  Settings settings_;
  World world_;
  SimNet net_;
  Oracle oracle_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::unique_ptr<SimClient>> clients_;
  std::unique_ptr<Rules> rules_;
  std::unique_ptr<CrashClones> clones_;
};

}  // namespace baton::sim
