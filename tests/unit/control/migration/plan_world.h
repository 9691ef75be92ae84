// A small world around the plan: two QEMUs as reference measurements describe them, a storage that
// keeps the contract of storage_handover.h, and faults. Small enough to try every order of events.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/migration/plan.h"

namespace baton::control::migration {

enum class SourceQemu : std::uint8_t {
  none,
  moving,
  paused,
  device,
  postcopy,
  cut_off,  // postcopy-paused
  parted,   // cancelled in postcopy
  completed,
  failed
};
enum class DestinationQemu : std::uint8_t { waiting, listening, loaded, running };
enum class Holder : std::uint8_t { source, destination, nobody };

struct Setting {
  bool destination_paused_at_start = false;  // -S
  bool guest_paused = false;
  bool ignores_pause = false;  // a source QEMU without pause-before-switchover
  bool postcopy = false;       // asked for, and a guest that writes to its memory
};

struct Budget {
  std::uint8_t faults = 1;  // kills, lost connections, failing commands
  std::uint8_t deadlines = 1;
  std::uint8_t cancels = 1;
  std::uint8_t crashes = 0;  // of the coordinator, which is then run again to recover
};

struct Message {
  EventKind kind;
  std::uint8_t command = 0;  // number of the command it answers, 0 for an event
};

struct World {
  Setting setting;
  Budget budget;
  Plan plan;

  SourceQemu source = SourceQemu::none;
  DestinationQemu destination = DestinationQemu::waiting;
  bool source_alive = true;
  bool destination_alive = true;
  bool source_reachable = true;
  bool destination_reachable = true;
  bool source_runs = true;
  bool state_sent = false;  // the fork: from here two QEMUs hold the guest's state
  bool passed = false;      // all memory was sent once
  bool postcopy_asked = false;
  bool fetching = false;  // the destination runs and some of its memory is at the source
  bool stranded = false;  // the same, and no path

  Holder holder = Holder::source;
  bool offer_open = false;
  bool linked = true;
  bool source_wrote_after_fork = false;
  bool destination_wrote = false;
  int verb = -1;  // the Action that the storage works at

  std::vector<Action> source_commands;
  std::vector<Action> destination_commands;
  std::uint8_t source_sent = 0;
  std::uint8_t destination_sent = 0;
  std::uint8_t source_done = 0;
  std::uint8_t destination_done = 0;
  std::vector<Message> from_source;
  std::vector<Message> from_destination;
  std::vector<EventKind> from_storage;

  bool deadline_used = false;
  bool harmed = false;     // a fault was used
  bool recovered = false;  // by a second coordinator
  bool meddled = false;    // an operator handed the baton over by hand, guest or no guest
  std::string broken;      // the invariant that does not hold any more

  void begin(EventKind first) { give(first); }
  // Everything that may happen next, each as a world of its own.
  std::vector<World> successors() const;
  // The same without faults, deadlines, cancels and guests that write: what happens by itself.
  std::vector<World> natural_successors() const;
  // Equal keys: equal futures.
  std::string key() const;
  std::string describe() const;

 private:
  using Worlds = std::vector<World>;
  void give(EventKind event);
  void act(Action action);
  void require(bool holds, const char* invariant) {
    if (!holds && broken.empty()) broken = invariant;
  }
  void say(EventKind event);        // the source QEMU
  void say_there(EventKind event);  // the destination QEMU
  void resume_source();
  void fail_source();
  void kill_source();
  void kill_destination();
  void lose_source();
  void lose_destination();
  void obey_source();
  void obey_destination();
  void source_cancelled();
  void cut_path();
  void strand_destination();

  void add_deliveries(Worlds& next) const;
  void add_qemu_moves(Worlds& next) const;
  void add_postcopy_moves(Worlds& next) const;
  void add_storage_moves(Worlds& next) const;
  void add_writes(Worlds& next) const;
  void add_faults(Worlds& next) const;
  void add_storage_faults(Worlds& next) const;
  void answer_verb(Worlds& next) const;
};

}  // namespace baton::control::migration
