// What the fence-peer handlers of the world's nodes reach: a switch for the other host's power, by
// a way that is none of the simulated links. And the runs of those handlers, which go on without
// the daemon that has started them.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>

#include "base/loop.h"
#include "base/task.h"
#include "tests/simulation/world.h"

namespace baton::sim {

enum class Fencing : std::uint8_t {
  absent,       // no handler is configured
  works,        // it switches the other host off: exit code 7
  broken,       // exit code 1
  unreachable,  // exit code 5
  primary,      // exit code 6
};

// Of one host.
class FencingDevice {
 public:
  // Switches the other host off.
  using SwitchOff = std::function<void()>;
  FencingDevice(World& world, Process& process, Prng random)
      : world_(world), process_(process), random_(random), ended_(process.loop()) {}

  void install(Fencing mode, SwitchOff switch_off) {
    mode_ = mode;
    installed_ = mode != Fencing::absent;
    switch_off_ = std::move(switch_off);
  }
  bool installed() const { return installed_; }
  // From now on; runs that are under way meet it as it is when they end.
  void be(Fencing mode) { mode_ = mode; }

  Task<std::optional<int>> run();
  void abandon();
  // The daemon has died: nobody waits any more.
  void process_killed() { ++abandonments_; }
  // The host has died: so have its programs.
  void power_cut() { runs_.clear(); }

 private:
  struct Run {
    Run(FencingDevice& its_device, std::uint64_t its_number)
        : device(its_device),
          number(its_number),
          timer([](Timer& fired) { static_cast<Run*>(fired.context())->over(); }, this) {}
    // Between two steps of the world: hosts die by it.
    void over();
    FencingDevice& device;
    std::uint64_t number;
    Timer timer;
    std::optional<int> code;  // what it has done is behind it
  };
  void go_on(std::uint64_t number);
  int carry_out();

  World& world_;
  Process& process_;
  Prng random_;
  Fencing mode_ = Fencing::absent;
  bool installed_ = false;
  SwitchOff switch_off_;
  std::list<Run> runs_;
  std::uint64_t last_run_ = 0;
  std::map<std::uint64_t, int> codes_;  // of those that have ended
  Signal ended_;                        // of the process
  std::uint64_t abandonments_ = 0;
};

}  // namespace baton::sim
