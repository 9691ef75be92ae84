// Links between nodes, as TCP behaves: bytes in order, delayed, in bounded buffers, so that a slow
// reader holds its writer back.
//
// A path that is down swallows nothing for good: what was sent waits and is delivered after heal(),
// unless an end has given up meanwhile (the other then hears a reset at its next word). A process
// that was killed leaves a FIN or a reset behind, a host without power leaves silence, and once it
// is up again a reset answers whoever still believes in the old connection.
#pragma once

#include <algorithm>
#include <list>
#include <memory>
#include <vector>

#include "replication/engine/environment.h"
#include "tests/simulation/world.h"

namespace baton::sim {

struct NetModel {
  Duration delay_min = std::chrono::microseconds(30);
  Duration delay_max = std::chrono::microseconds(300);
  std::uint64_t slow_permille = 0;  // segments that take up to `slow_max`; those behind them wait
  Duration slow_max = std::chrono::milliseconds(200);
  std::size_t segment_max = 65536;         // bytes that arrive together
  std::size_t buffer_bytes = 256U << 10U;  // sent and not yet read, per direction
};

// What a direction between two nodes is like for a while, besides the model.
struct PathFault {
  Duration delay{};                    // added to every segment
  std::uint64_t bytes_per_second = 0;  // 0: no limit
};

enum class Cut : std::uint8_t {
  silence,  // both directions carry nothing
  one_way,  // only from `a` to `b`
  reset,    // every connection ends at once, and the path is refused until healed
};

class Connection;

class SimNet {
 public:
  SimNet(World& world, std::size_t nodes, NetModel model);
  SimNet(const SimNet&) = delete;
  SimNet& operator=(const SimNet&) = delete;
  ~SimNet();

  // Takes incoming links on behalf of a process; called from its loop.
  using Acceptor = void (*)(void* context, replication::Link link);
  void listen(int node, Process& process, Acceptor acceptor, void* context);

  // Runs on `self`, the dialling process; `deadline` is in its time.
  Task<Result<replication::Link>> dial(Process& self, int to, TimePoint deadline);

  // --- faults ---
  void cut(int a, int b, Cut how);
  void heal(int a, int b);
  // One direction is slow, until healed. What is on its way stays in order.
  void slow(int from, int to, PathFault fault) {
    paths_[index(from, to)].fault = fault;
    most_delay_ = std::max(most_delay_, fault.delay);
  }
  Duration most_delay() const { return most_delay_; }  // that any path has ever had
  // Connections between them end at `node` only, as when a firewall forgets them: the other end
  // hears nothing and believes, until a word of its own is answered with a reset.
  void half_open(int node, int other);
  bool carries(int from, int to) const { return !paths_[index(from, to)].down; }
  // Ends what the process had open. The operations in its frames are forgotten.
  void process_killed(int node);
  void power_cut(int node);
  void host_is_up(int node);
  // Flips one bit of what is on its way from `from` (TCP's checksum misses one in 65,536).
  void corrupt(int from);
  void set_model(NetModel model) { model_ = model; }
  const NetModel& model() const { return model_; }

  // Nothing is on its way on any path that carries.
  bool quiet() const { return busy_link() == nullptr; }
  // One on which something is, or null.
  const Connection* busy_link() const;

 private:
  friend class Connection;
  struct Path {
    bool down = false;
    bool refuses = false;
    PathFault fault;
  };
  struct Host {
    bool powered = true;
    Process* process = nullptr;  // that listens
    Acceptor acceptor = nullptr;
    void* context = nullptr;
    TimePoint second_began;  // in which the dials are counted
    std::uint32_t dials = 0;
  };
  struct Arrival;  // an established link that the listener has not taken yet

  std::size_t index(int from, int to) const {
    return static_cast<std::size_t>(from) * hosts_.size() + static_cast<std::size_t>(to);
  }
  replication::Link connect(Process& self, int to);
  void drop_finished();
  void count_dial(int from);
  Duration delay();
  // When `bytes` that are sent now have arrived, behind those that are on their way.
  TimePoint arrival(int from, int to, std::size_t bytes, TimePoint behind);

  World& world_;
  NetModel model_;
  Prng random_;
  std::vector<Host> hosts_;
  std::vector<Path> paths_;
  Duration most_delay_{};
  std::vector<std::unique_ptr<Connection>> connections_;
  std::list<Arrival> arrivals_;
  std::uint64_t next_number_ = 1;
  TimePoint calm_until_;  // no slow segment before
};

}  // namespace baton::sim
