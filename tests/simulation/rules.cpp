#include "tests/simulation/rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace baton::sim {

using replication::ConnectionState;
using replication::DiskState;
using replication::ReplicationState;
using replication::Role;

namespace {

// A request waits at most for the peer's timeout (6 s), the fence (20 s) and the disk; anything
// beyond this many seconds nobody bounds.
constexpr Duration answer_limit = std::chrono::seconds(45);
// Where writes overlap each waits for the one before, and that for the other node's answer. Two
// clients with this depth are the most that a world has.
constexpr int overlapping_most = 64;
// Both ends say Connected before the verdict is made; the split brain must follow at once.
constexpr Duration split_brain_limit = std::chrono::seconds(10);
// From the grant to the news that it was taken: a round trip and a write of metadata.
constexpr Duration two_primaries_limit = std::chrono::seconds(10);
// Whole copies are compared when a claim is made, at the end, and every so many steps.
constexpr std::uint64_t full_look_steps = 4096;

}  // namespace

Rules::Rules(World& world, SimNet& net, Oracle& oracle, std::vector<std::unique_ptr<Node>>& nodes,
             replication::Protocol protocol)
    : world_(world),
      net_(net),
      oracle_(oracle),
      nodes_(nodes),
      protocol_(protocol),
      seen_(nodes.size()),
      checked_(nodes.size(), std::vector<char>(nodes.empty() ? 0 : nodes[0]->volumes())),
      damage_(oracle, nodes.size(), nodes.empty() ? 0 : nodes[0]->volumes(), read_copy()),
      disk_rules_(world, nodes),
      undo_rules_(world, oracle, nodes),
      follows_(nodes.size()) {
  oracle_.excuse(&damage_);
}

ReadCopy Rules::read_copy() const {
  return [this](int node, std::uint32_t volume, std::uint64_t offset, std::span<std::byte> out) {
    nodes_[static_cast<std::size_t>(node)]->data(volume).visible().read(offset, out);
  };
}

// Translates what the node says of itself and of its peers.
void Rules::look_at(Node& node) {
  Seen& seen = seen_[static_cast<std::size_t>(node.number())];
  const std::uint64_t last_primary = seen.last_primary;
  const std::uint64_t parted = seen.connected ? oracle_.tick() : seen.parted;
  seen = {};
  seen.last_primary = last_primary;
  seen.parted = parted;
  seen.claims.assign(node.volumes(), false);
  seen.copies.assign(node.volumes(), 0);
  seen.running = node.running();
  if (!node.running()) return;
  const replication::ResourceStatus& status = node.status();
  seen.primary = status.role == Role::primary;
  seen.in_flight = status.baton_in_flight;
  seen.epoch = status.baton_epoch;
  if (!status.baton_holder.empty()) seen.holder = status.baton_holder[0] - 'A';
  for (const auto& device : status.devices) {
    seen.claims[device.volume] = device.disk_state == DiskState::up_to_date;
    if (seen.claims[device.volume]) seen.copies[device.volume] |= bit(node.number());
  }
  seen.connected = seen.steady = !status.connections.empty();
  for (const auto& connection : status.connections) {
    if (connection.verify) check_found(node, *connection.verify);
    const int peer = connection.name[0] - 'A';
    const bool connected = connection.connection_state == ConnectionState::connected;
    seen.connected &= connected;
    seen.split_brain |= connection.split_brain.has_value();
    for (const auto& volume : connection.peer_devices) {
      // A repair copies, too.
      const bool verifies = volume.replication_state == ReplicationState::verify_s;
      if (volume.replication_state == ReplicationState::sync_source || verifies) {
        damage_.is_source(node.number());
      }
      const bool good = connected && volume.peer_disk_state == DiskState::up_to_date;
      const bool compared = verifies || volume.replication_state == ReplicationState::verify_t;
      seen.steady &=
          good && (compared || volume.replication_state == ReplicationState::established);
      seen.target |= volume.replication_state == ReplicationState::sync_target ||
                     volume.replication_state == ReplicationState::paused_sync_t;
      if (good && volume.replication_state != ReplicationState::off)
        seen.copies[volume.volume] |= bit(peer);
    }
  }
}

NodeSet Rules::up_to_date_copies(int node, std::uint32_t volume) {
  // Asked in the middle of a turn: what was announced a moment ago counts.
  Node& asked = *nodes_[static_cast<std::size_t>(node)];
  asked.fresh_status();
  look_at(asked);
  const Seen& seen = seen_[static_cast<std::size_t>(node)];
  const NodeSet said = seen.copies[volume];
  // Under A the holder's peer may lack what was acknowledged, or was read through it; nobody
  // promised more.
  if (protocol_ != replication::Protocol::a) return said;
  return static_cast<NodeSet>(said & bit(seen.holder < 0 ? node : seen.holder));
}

NodeSet Rules::others_with(int node, std::uint64_t write) {
  // Under A the writer's own copy is all that was promised, and that one has failed.
  if (protocol_ == replication::Protocol::a) return 0;
  const ReadCopy read = read_copy();
  NodeSet others = 0;
  for (const auto& other : nodes_) {
    const int number = other->number();
    // The answer may have been on its way while the other node's clients wrote over it.
    const bool present = oracle_.present(write, number, read, true, two_primaries_);
    if (number != node && present) others |= bit(number);
  }
  // Under B it may be on its way. And the answer may have been, when the power took the write.
  const bool lost = oracle_.lost_with_a_cache(write);
  if (others == 0 && protocol_ == replication::Protocol::c && !lost) {
    world_.violated("R1 acknowledged by no copy",
                    fmt::format("node {} acknowledged write #{}, by its own word no copy is "
                                "UpToDate, and no other shows it",
                                node_name(node), write));
  }
  return others;
}

void Rules::write_acknowledged(int node, std::uint64_t invoked) {
  const Seen& seen = seen_[static_cast<std::size_t>(node)];
  if (!seen.primary && seen.last_primary < invoked) {
    return world_.violated(
        "R3 more than one writer",
        fmt::format("node {} acknowledged a write and was not Primary", node_name(node)));
  }
  // A write from before the loss is on the peer's disk, or was done without it (A).
  const bool is_copy = std::ranges::all_of(seen.claims, std::identity{});
  if (is_copy && seen.primary && !seen.connected && seen.parted < invoked) {
    disk_rules_.done_alone(node);
  }
  if (oracle_.is_forked()) return;
  if (seen.epoch < newest_epoch_) {
    return world_.violated("R3 more than one writer",
                           fmt::format("node {} acknowledged a write in epoch {}, after one was "
                                       "acknowledged in epoch {}",
                                       node_name(node), seen.epoch, newest_epoch_));
  }
  newest_epoch_ = seen.epoch;
}

void Rules::check_forced() {
  if (forcing_ < 0) return;
  const Seen& forced = seen_[static_cast<std::size_t>(forcing_)];
  const bool served = forced.holder >= 0 && forced.holder != forcing_;
  if (!forced.primary || forced.in_flight || served) return;
  // Another has been Primary before, holds the baton and so serves reads, or is bound to have what
  // this copy has lost since: there is a history to part from.
  bool another = has(went_back_, forcing_);
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    const int other = static_cast<int>(i);
    if (other == forcing_) continue;
    const bool holds = seen_[i].running && seen_[i].holder == other;
    another |= holds || seen_[i].last_primary > 0 || oracle_.exclusive(other, forcing_) > 0;
  }
  if (!connected() && another) {
    oracle_.forked(forcing_, read_copy());
    agreed_ = false;
  }
  forcing_ = -1;
}

void Rules::went_back(int node) {
  went_back_ |= bit(node);
  could_not_ask_ &= static_cast<NodeSet>(~bit(node));
}

// A disk of the past whose record says that nobody else can have written. That is not to be
// believed while another node can be asked; when none can, nobody could know better.
void Rules::check_gone_back() {
  if (connected()) went_back_ = 0;  // now it is known
  for (const auto& node : nodes_) {
    const int number = node->number();
    if (!has(went_back_, number) || !node->running()) continue;
    for (const auto& other : nodes_) {
      const bool reached = other->up() && !other->process().paused() &&
                           net_.carries(number, other->number()) &&
                           net_.carries(other->number(), number);
      if (other != node && !reached) could_not_ask_ |= bit(number);
    }
    if (!seen_[static_cast<std::size_t>(number)].primary) continue;
    if (!connected() && has(could_not_ask_, number)) {
      oracle_.forked(number, read_copy());
      agreed_ = false;
    }
    went_back_ &= static_cast<NodeSet>(~bit(number));
  }
}

void Rules::before_write(const SimDisk& disk, std::uint64_t offset, std::uint64_t length) {
  disk_rules_.before_write(disk, offset, length);
  if (!oracle_.is_forked() || !disk_rules_.believed()) return;
  const bool yields = undo_rules_.before_write(disk);
  if (yields && (policy_ || has(told_, disk.node()))) discarding_ = disk.node();
}

void Rules::discards_are_over() {
  discarding_ = last_told_ = -1;
  told_ = 0;
  undo_rules_.words_are_over();
}

int Rules::primary() const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (seen_[i].primary) return static_cast<int>(i);
  }
  return -1;
}

bool Rules::connected() const {
  return std::ranges::all_of(seen_,
                             [](const Seen& seen) { return seen.running && seen.connected; });
}

bool Rules::split_brain() const {
  return std::ranges::all_of(seen_,
                             [](const Seen& seen) { return seen.running && seen.split_brain; });
}

bool Rules::both_up_to_date() const {
  return connected() && std::ranges::all_of(seen_, [](const Seen& seen) {
           return seen.steady && !seen.split_brain &&
                  std::ranges::all_of(seen.claims, std::identity{});
         });
}

bool Rules::others_are_good(int node) const {
  if (!connected() || split_brain()) return false;
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    const bool claims = std::ranges::all_of(seen_[i].claims, std::identity{});
    if (static_cast<int>(i) != node && !claims) return false;
  }
  return true;
}

bool Rules::clients_idle() const {
  return std::ranges::all_of(clients_, [](const SimClient* client) { return client->idle(); });
}

void Rules::after_step() {
  bool changed = false;
  for (auto& node : nodes_) {
    if (!node->take_changed()) continue;
    changed = true;
    look_at(*node);
  }
  if (changed) {
    for (Seen& seen : seen_) {
      if (seen.primary) seen.last_primary = oracle_.tick();
    }
    check_forced();
  }
  if (went_back_ != 0) check_gone_back();
  if (changed) {
    check_single_primary();
    check_agreement();
    check_adoption();
    check_claims(true);
  }
  if (world_.steps() >= next_full_look_) {
    next_full_look_ = world_.steps() + full_look_steps;
    look_at_everything();
  }
}

void Rules::look_at_everything() {
  for (auto& node : nodes_) look_at(*node);
  check_single_primary();
  check_agreement();
  check_split_brain_is_reported();
  check_claims(false);
  check_equal();
  check_answers();
  disk_rules_.look_for_forgotten_blocks();
}

// In a handover both show Primary for a moment: the giver, who admits nothing any more, until it
// has heard that the baton was taken. Its epoch is the older one.
void Rules::check_single_primary() {
  std::size_t primaries = 0;
  std::uint64_t epoch = 0;
  bool same_epoch = false;
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    const Seen& seen = seen_[i];
    // Two that may be, one of which the other serves: only the holder writes on its own word.
    if (!seen.primary || (two_primaries_ && seen.holder != static_cast<int>(i))) continue;
    ++primaries;
    same_epoch |= seen.epoch == epoch;
    epoch = seen.epoch;
  }
  const bool several = primaries > 1 && !oracle_.is_forked();
  if (!several || !connected()) two_primaries_since_ = TimePoint::never();
  if (!several) return;
  if (same_epoch) {
    return world_.violated(
        "R3 more than one writer",
        fmt::format("two nodes are Primary in epoch {} and nobody forced either", epoch));
  }
  if (connected() && two_primaries_since_ == TimePoint::never())
    two_primaries_since_ = world_.now();
  if (two_primaries_since_ < world_.now() &&
      world_.now() - two_primaries_since_ > two_primaries_limit) {
    world_.violated("R3 more than one writer",
                    "two nodes are Primary, connected, and nobody forced either");
  }
}

void Rules::check_split_brain_is_reported() {
  if (!oracle_.is_forked() || !were_connected_ || discarding() >= 0) return;
  // Decided, and it shows: the resync may be held.
  if (std::ranges::any_of(seen_, &Seen::target)) return;
  if (world_.now() - connected_since_ < split_brain_limit || split_brain()) return;
  if (oracle_.exclusive(0, 1) > 0 && oracle_.exclusive(1, 0) > 0) {
    world_.violated("R3 split brain is not reported",
                    "both nodes have acknowledged writes that the other lacks, they are connected, "
                    "and status shows no split brain");
  }
}

// The moment when all nodes hold one history again.
void Rules::check_agreement() {
  const bool now_connected = connected();
  if (now_connected && !were_connected_) {
    met_at_ = oracle_.tick();
    ++meetings_;
    connected_since_ = world_.now();
  }
  were_connected_ = now_connected;
  const bool agree = both_up_to_date();
  if (agree && !agreed_) {
    // Under A a copy that counts as UpToDate may lack what is in the send queue (rule 4), and no
    // failure of the writer is survived without loss (rule 1): only the writer's copy is bound.
    const bool binding = protocol_ != replication::Protocol::a;
    if (auto finding = oracle_.all_agree(met_at_, discarding(), binding, read_copy())) {
      world_.violated(finding->rule, finding->what);
    }
    discards_are_over();
    went_back_ = 0;
  }
  agreed_ = agree;
}

// A target has the whole of the other's history before the source hears of it, which it may never:
// what remains after the fork is that one history.
void Rules::check_adoption() {
  if (!oracle_.is_forked()) {
    std::ranges::fill(follows_, char{0});
    return;
  }
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    const Seen& seen = seen_[i];
    if (seen.target) follows_[i] = 1;
    // A Primary goes on with its own, unless the other serves it.
    const bool own = seen.primary && (seen.holder < 0 || seen.holder == static_cast<int>(i));
    const bool has_all = seen.running && !own && seen.connected && !seen.target &&
                         std::ranges::all_of(seen.claims, std::identity{});
    if (follows_[i] == 0 || !has_all) continue;
    const bool binding = protocol_ != replication::Protocol::a;
    const int follower = static_cast<int>(i);
    if (auto finding = oracle_.end_fork(discarding(), binding, follower, read_copy())) {
      world_.violated(finding->rule, finding->what);
    }
    discards_are_over();
    return;
  }
}

void Rules::check_answers() {
  for (const SimClient* client : clients_) {
    // A process that was stopped could not answer meanwhile.
    const TimePoint runs_since = client->node().process().runs_since();
    const TimePoint oldest = std::max(client->oldest_in_flight(), runs_since);
    const Duration limit = answer_limit + net_.most_delay() * overlapping_most;
    if (oldest == TimePoint::never() || world_.now() - oldest < limit) continue;
    world_.violated("R11 a request is never answered", client->describe_oldest());
  }
}

}  // namespace baton::sim
