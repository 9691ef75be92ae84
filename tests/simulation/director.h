// Carries a script out on a cluster, and ends it with the question of liveness: when all faults
// have stopped, does everything become well again?
#pragma once

#include <array>
#include <list>

#include "tests/simulation/cluster.h"
#include "tests/simulation/script.h"

namespace baton::sim {

class Director {
 public:
  // Longer than anything that an operator waits for.
  static constexpr Duration verb_limit = std::chrono::seconds(60);

  explicit Director(Cluster& cluster) : cluster_(cluster) {}

  // Throws std::invalid_argument, before anything happens, if a step that waits strikes with `@`.
  void play(const Script& script);
  // Heals, mends and starts everything. Within 60 virtual seconds a Primary serves, every copy is
  // UpToDate and all are equal (quality.md S2). `proof_requests` are then served, and half as many
  // reads on the other node.
  void end_well(std::uint64_t proof_requests);
  // The world's step at the script's `mark`, or at its beginning.
  std::uint64_t marked_at() const { return marked_at_; }

 private:
  // A step that waits for its step of the world, and then for its time.
  struct Strike {
    Strike(Director& owner, const Step& what);
    Director& director;
    Step step;
    Timer timer;
  };
  void strike_or_wait(Strike& strike);
  void strike_now(const Strike& strike);
  void carry_out(const Step& step);
  void operate(const Step& step);
  void wait_for(const Step& step);
  void start_burst(const Step& step);
  void run_burst(const Step& step, const Burst& burst, std::uint64_t only_volume);
  void submit_one(const Step& step);
  void hurt(const Step& step);
  void set_fencing(Fencing mode);
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
  void prove_service(std::uint64_t requests);

  Cluster& cluster_;
  // By node: so many meetings make its snapshot older than what the other node remembers.
  std::array<std::uint64_t, 8> newer_from_{};
  std::array<bool, 8> attached_{};  // nodes whose disks were attached in this make_well()
  int wanted_ = 0;                  // the Primary that the operator asked for last
  int last_written_ = 0;            // the node of the last step that named none
  bool stated_ = true;              // what the script states is looked at
  bool strikes_over_ = false;
  std::uint64_t marked_at_ = 0;
  std::list<Strike> strikes_;
};

}  // namespace baton::sim
