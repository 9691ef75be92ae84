#include "tests/simulation/cluster.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/simulation/connection.h"

namespace baton::sim {

Cluster::Cluster(std::uint64_t seed, const Settings& settings, Factory& factory)
    : settings_(settings),
      world_(seed),
      net_(world_, settings.nodes, settings.net),
      oracle_(settings.nodes, settings.volume_bytes) {
  replication::ResourceConfig config;
  config.name = "vm1";
  config.protocol = settings.protocol;
  config.auto_resume = settings.auto_resume;
  config.two_primaries = settings.two_primaries;
  config.on_peer_lost = settings.on_peer_lost;
  config.after_sb = settings.after_sb;
  config.active_regions = settings.active_regions;
  config.checksum_based = settings.checksum_based;
  config.verify_interval = settings.verify_interval;
  config.disk_timeout = settings.disk_timeout;
  config.secret = "between us";
  for (std::size_t i = 0; i < settings.nodes; ++i) {
    config.nodes.push_back({node_name(static_cast<int>(i))});
  }
  for (const std::uint64_t bytes : settings.volume_bytes) config.volumes.push_back({bytes});
  for (std::size_t i = 0; i < settings.nodes; ++i) {
    config.self = node_name(static_cast<int>(i));
    nodes_.push_back(std::make_unique<Node>(world_, net_, factory, static_cast<int>(i), config,
                                            settings.disks[i]));
  }
  for (auto& node : nodes_) {
    for (std::uint32_t volume = 0; volume < settings.volume_bytes.size(); ++volume) {
      node->data(volume).watch(this);
      node->metadata(volume).watch(this);
    }
  }
  for (auto& node : nodes_) {
    const int other = 1 - node->number();
    node->fencing().install(settings.fencing, [this, other] { switch_off(other); });
  }
  rules_ = std::make_unique<Rules>(world_, net_, oracle_, nodes_, settings.protocol);
  if (!factory.writes_metadata()) rules_->disks().give_up();
  if (settings.after_sb != replication::AfterSplitBrain()) rules_->expect_policy();
  if (settings.two_primaries) rules_->expect_two_primaries();
  std::uint64_t number = 0;
  for (auto& node : nodes_) {
    for (std::uint32_t volume = 0; volume < settings.volume_bytes.size(); ++volume) {
      for (std::size_t i = 0; i < settings.clients_per_node; ++i) {
        clients_.push_back(std::make_unique<SimClient>(world_, *node, oracle_, *rules_, volume,
                                                       ++number,
                                                       settings.nbd ? Door::nbd : Door::engine));
        rules_->watch(*clients_.back());
      }
    }
  }
  clones_ = std::make_unique<CrashClones>(world_, nodes_, rules_->disks());
  world_.after_every_step([this] {
    rules_->after_step();
    clones_->after_step();
  });
}

// Nodes tell their clients when they go; clients hold devices of their node.
Cluster::~Cluster() {
  for (auto& node : nodes_) node->kill();
}

SimClient& Cluster::client(int node, std::uint32_t volume, std::size_t which) {
  const std::size_t per_node = settings_.volume_bytes.size() * settings_.clients_per_node;
  return *clients_[static_cast<std::size_t>(node) * per_node + volume * settings_.clients_per_node +
                   which];
}

void Cluster::create() {
  for (auto& node : nodes_) node->create_metadata();
  if (settings_.clones) clones_->begin();
  for (auto& node : nodes_) node->start();
  const auto all_up = [this] {
    return std::ranges::all_of(nodes_, [](const auto& node) { return node->up(); });
  };
  if (!world_.run_while_waiting(all_up, std::chrono::seconds(60))) {
    world_.violated("start", "a node does not come up");
  }
}

void Cluster::kill(int number) {
  node(number).kill();
  oracle_.failure();
  rules_->disks().look_for_forgotten_blocks();
  // Under A and B what a copy had only received goes with its process.
  if (settings_.protocol != replication::Protocol::c) {
    oracle_.killed_before_writing(number, rules_->read_copy());
  }
}

// What its caches lose is drawn.
void Cluster::switch_off(int number) {
  static constexpr std::array ways = {PowerLoss::lose, PowerLoss::keep, PowerLoss::tear};
  Prng random = world_.stream("switched off", world_.steps());
  power_cut(number, ways[random.below(ways.size())]);
}

void Cluster::power_cut(int number, PowerLoss how) {
  if (!node(number).powered()) return;
  if (how == PowerLoss::shred) rules_->disks().give_up();
  kill(number);
  node(number).power_cut(how);
  rules_->damage().look_again(number);
  oracle_.power_cut(number);
}

bool Cluster::may_fail(const SimDisk& disk) {
  for (auto& node : nodes_) {
    if (node->number() == disk.node()) continue;
    for (std::uint32_t volume = 0; volume < node->volumes(); ++volume) {
      if (!node->data(volume).sound() || !node->metadata(volume).sound()) return false;
    }
  }
  return rules_->others_are_good(disk.node());
}

void Cluster::submitted(const SimDisk& disk, std::uint64_t offset, std::uint64_t length) {
  if (disk.holds_data()) rules_->before_write(disk, offset, length);
  clones_->note_write(disk);
}

// The copy may now lack what it was bound to have: writes that it had received only, and, after a
// failed flush, everything that no flush has covered.
void Cluster::failed(const SimDisk& disk, blockdev::Op op) {
  oracle_.failure();
  if (!disk.holds_data()) return;
  if (op == blockdev::Op::flush) return oracle_.flush_failed(disk.node());
  if (settings_.protocol != replication::Protocol::c) {
    oracle_.killed_before_writing(disk.node(), rules_->read_copy());
  }
}

void Cluster::damaged(const SimDisk& disk, std::uint64_t offset, std::uint64_t length) {
  if (disk.holds_data()) rules_->damage().hurt(disk.node(), disk.volume(), offset, length);
}

void Cluster::stored(const SimDisk& disk, std::uint64_t offset, std::uint64_t length) {
  if (disk.holds_data()) rules_->damage().stored(disk.node(), disk.volume(), offset, length);
}

std::uint64_t Cluster::errors() const {
  std::uint64_t errors = 0;
  for (const auto& client : clients_) {
    const SimClient::Counters& counters = client->counters();
    errors += counters.failed + counters.refused + counters.unanswered;
  }
  return errors;
}

std::string Cluster::moves() const {
  if (!clients_idle()) return "a client";
  for (const auto& node : nodes_) {
    if (!node->verbs_idle()) return "a verb of " + node->name();
    if (!node->disks_idle()) return "a disk of " + node->name();
  }
  const Connection* const link = net_.busy_link();
  return link == nullptr ? std::string() : fmt::format("link {}", link->number());
}

bool Cluster::clients_idle() const {
  return std::ranges::all_of(clients_, [](const auto& client) { return client->idle(); });
}

}  // namespace baton::sim
