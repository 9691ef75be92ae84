// The rules of design §3, by name, looked at after every step.
//
//   R1, R2, R7  by the oracle, with every read and at the end
//   R3          a write is acknowledged by a Primary only, and by none whose epoch is older than
//   one
//               in which another node has acknowledged; no two are Primary in one epoch, nor for
//               longer than a handover takes while they hear each other, unless an operator forced
//               one; two histories are reported as split brain and never merged
//   R4          a copy that claims UpToDate, and whose claim somebody may rely on, holds every
//               acknowledged write
//   verify      reports no block that no disk has damaged, and, when it says that nothing differs
//               (any more), misses none that was damaged before it began
//   equal       both copies are the same when both are UpToDate, connected and nothing moves
//   R11         every request of a client is answered within a bound
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "tests/simulation/damage.h"
#include "tests/simulation/disk_rules.h"
#include "tests/simulation/sim_client.h"
#include "tests/simulation/undo_rules.h"

namespace baton::sim {

class Rules final : public Witness {
 public:
  Rules(World& world, SimNet& net, Oracle& oracle, std::vector<std::unique_ptr<Node>>& nodes,
        replication::Protocol protocol);

  void watch(SimClient& client) { clients_.push_back(&client); }
  void after_step();
  // Everything that is otherwise looked at only now and then.
  void look_at_everything();

  // The operator forces `node` (-1: no more). If it becomes Primary without contact it answers for
  // a history of its own from then on.
  void expect_force(int node) { forcing_ = node; }
  // The disks of `node` are older ones. If it becomes Primary before it has met the others, because
  // it is forced, or because its record allows it and nobody can be asked, it goes on from there: a
  // history of its own, whoever has written until now.
  void went_back(int node);
  // The operator has told `node` to give up its own data.
  // Whether it is carried out, the disks show: with the first write that overwrites the copy. Where
  // disks lie, the word counts.
  void discards(int node, bool undo = true) {
    told_ |= bit(node);
    if (!undo) undo_rules_.waive(node);
    last_told_ = node;
  }
  bool told(int node) const { return has(told_, node); }
  void takes_back(int node) {
    told_ &= static_cast<NodeSet>(~bit(node));
    if (last_told_ == node) last_told_ = -1;
  }
  void expect_two_primaries() { two_primaries_ = true; }
  // Nodes yield without being told, too.
  void expect_policy() { policy_ = true; }

  // A verify of everything, begun at `began` (the oracle's time), has ended well.
  void verified(std::uint64_t began);

  bool connected() const;        // every node says so of every other
  bool both_up_to_date() const;  // besides: every copy counts as UpToDate, nobody resyncs
  bool split_brain() const;      // every node reports it
  // All are connected, and every other copy than that of `node` counts as UpToDate.
  bool others_are_good(int node) const;
  // A node that is Primary and running, or -1.
  int primary() const;
  ReadCopy read_copy() const;
  Damage& damage() { return damage_; }
  DiskRules& disks() { return disk_rules_; }
  UndoRules& undo() { return undo_rules_; }
  // Something is being written to a data disk.
  void before_write(const SimDisk& disk, std::uint64_t offset, std::uint64_t length);
  // Every block of `node` that differs from the other copy is damage of its own.
  void hurt_where_different(int node);
  // How often all nodes have met: sessions that every one of them says it has.
  std::uint64_t meetings() const { return meetings_; }

  NodeSet up_to_date_copies(int node, std::uint32_t volume) override;
  NodeSet others_with(int node, std::uint64_t write) override;
  void write_acknowledged(int node, std::uint64_t invoked) override;
  int whose_history(int node) const override;

 private:
  struct Seen {
    bool running = false;
    bool primary = false;
    bool in_flight = false;  // it has granted the baton away and not heard that it was taken
    bool connected = false;
    bool split_brain = false;
    std::vector<bool> claims;        // UpToDate, by volume
    std::vector<NodeSet> copies;     // that count, as it says
    bool steady = false;             // every volume Established with an UpToDate peer
    bool target = false;             // of a resync
    std::uint64_t last_primary = 0;  // oracle's time
    std::uint64_t parted = 0;        // likewise: last time it was connected
    std::uint64_t epoch = 0;
    int holder = -1;  // as it knows
  };
  void look_at(Node& node);
  void check_forced();
  void check_gone_back();
  void check_single_primary();
  void check_split_brain_is_reported();
  void check_agreement();
  void check_adoption();
  void check_claims(bool only_new);
  void check_equal();
  std::optional<std::uint64_t> first_unexcused_difference(std::uint32_t volume, int other) const;
  void check_answers();
  void check_found(const Node& node, const replication::VerifyStatus& verify);
  // Who gives its data up, or -1.
  int discarding() const {
    return discarding_ < 0 && !disk_rules_.believed() ? last_told_ : discarding_;
  }
  void discards_are_over();
  bool claim_counts(int node, std::uint32_t volume) const;
  bool writes_here(int node) const;
  bool clients_idle() const;
  bool all_arrived() const;

  World& world_;
  SimNet& net_;
  Oracle& oracle_;
  std::vector<std::unique_ptr<Node>>& nodes_;
  replication::Protocol protocol_;
  std::vector<SimClient*> clients_;
  std::vector<Seen> seen_;
  std::vector<std::vector<char>> checked_;  // claims that were checked when they were made
  Damage damage_;
  DiskRules disk_rules_;
  UndoRules undo_rules_;
  std::uint64_t meetings_ = 0;
  bool agreed_ = false;
  std::vector<char> follows_;  // nodes that have become targets since the fork
  std::uint64_t met_at_ = 0;   // oracle's time
  bool were_connected_ = false;
  TimePoint connected_since_;
  int discarding_ = -1;
  bool policy_ = false;
  int last_told_ = -1;
  NodeSet told_ = 0;  // to give up their own data, since all agreed
  int forcing_ = -1;
  NodeSet went_back_ = 0;
  NodeSet could_not_ask_ = 0;       // of those: somebody it would have to ask was out of reach
  std::uint64_t newest_epoch_ = 0;  // in which a write was acknowledged
  TimePoint two_primaries_since_ = TimePoint::never();
  bool two_primaries_ = false;  // are allowed
  std::uint64_t next_full_look_ = 0;
};

}  // namespace baton::sim
