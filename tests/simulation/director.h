// Carries a script out on a cluster, and ends it with the question of liveness: when all faults
// have stopped, does everything become well again?
#pragma once

#include <array>

#include "tests/simulation/cluster.h"
#include "tests/simulation/script.h"

namespace baton::sim {

class Director {
 public:
  // Longer than anything that an operator waits for.
  static constexpr Duration verb_limit = std::chrono::seconds(60);

  explicit Director(Cluster& cluster) : cluster_(cluster) {}

  void play(const Script& script);
  // Heals, mends and starts everything. Within 60 virtual seconds a Primary serves, every copy is
  // UpToDate and all are equal (quality.md S2).
  void end_well();

 private:
  void carry_out(const Step& step);
  void operate(const Step& step);
  void wait_for(const Step& step);
  void start_burst(const Step& step);
  void hurt(const Step& step);
  void hurt_disks(const Step& step);
  void replace_disks(const Step& step);
  std::vector<SimDisk*> named_disks(const Step& step);
  void make_anew(int node);
  void repair_refused_start(int node);
  void state(const Step& step);
  void stop_cleanly(int node, const Step& step);
  void finish(const Step& step, const std::shared_ptr<Verb>& verb);
  int other(int node) const { return node == 0 ? 1 : 0; }
  bool make_well();
  bool promote_somebody();
  bool resolve_split_brain();
  void connect_and_attach();
  void demote_everybody();
  void follow_refusal();
  std::string why_not_well();
  void prove_service();

  Cluster& cluster_;
  // By node: so many meetings make its snapshot older than what the other node remembers.
  std::array<std::uint64_t, 8> newer_from_{};
  int wanted_ = 0;  // the Primary that the operator asked for last
};

}  // namespace baton::sim
