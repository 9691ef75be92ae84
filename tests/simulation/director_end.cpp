// How a run ends: all faults stop, an operator does what is left to do, and all becomes well.
#include <fmt/format.h>

#include <algorithm>

#include "tests/simulation/director.h"

namespace baton::sim {

using replication::DiskState;
using replication::Role;

namespace {

constexpr Duration well_limit = std::chrono::seconds(60);

}  // namespace

// Two histories, or two Primaries who refuse each other: the one that is not wanted yields.
bool Director::resolve_split_brain() {
  Rules& rules = cluster_.rules();
  const bool two = cluster_.node(0).up() && cluster_.node(1).up() &&
                   cluster_.node(0).status().role == Role::primary &&
                   cluster_.node(1).status().role == Role::primary && !rules.connected();
  if (!rules.split_brain() && !two) return false;
  Step step;
  step.what = Do::demote;
  step.node = other(wanted_);
  step.words = {"force"};
  carry_out(step);
  if (!rules.split_brain()) return true;
  // Where the one that stays is asked, and where the one that yields is.
  step.what = Do::resolve;
  step.node = cluster_.world().steps() % 2 == 0 ? wanted_ : other(wanted_);
  step.words = {step.node == wanted_ ? "own" : "other"};
  carry_out(step);
  return true;
}

bool Director::promote_somebody() {
  Rules& rules = cluster_.rules();
  Step step;
  step.what = Do::promote;
  if (const int primary = rules.primary(); primary >= 0) {
    // Clients that were attached to an earlier Primary wait for an operator's word.
    step.node = primary;
    carry_out(step);
    return true;
  }
  step.node = wanted_;
  // The operator's first word, "this copy is the first", may have died with the node.
  if (cluster_.oracle().acknowledged() == 0 && rules.connected()) step.words = {"force"};
  carry_out(step);
  return rules.primary() >= 0;
}

// What an operator would do about a node that was told to stand alone, or lost its disk.
void Director::connect_and_attach() {
  for (int number = 0; number < static_cast<int>(cluster_.nodes()); ++number) {
    Node& node = cluster_.node(number);
    if (node.running() && !node.refusal().empty()) repair_refused_start(number);
    if (!node.up()) continue;
    Step step;
    step.node = number;
    const auto& status = node.status();
    const bool holds = !status.connections.empty() &&
                       std::ranges::any_of(status.connections[0].peer_devices,
                                           [](const auto& peer) { return peer.sync_held_here; });
    if (holds) {
      step.what = Do::resume_sync;
      operate(step);
      continue;
    }
    const auto lost = [](const auto& device) {
      return device.disk_state == replication::DiskState::diskless ||
             device.disk_state == replication::DiskState::failed;
    };
    if (std::ranges::any_of(status.devices, lost)) {
      // A disk that cannot be attached wants its daemon started anew: it may be another disk.
      const bool tried = std::exchange(attached_[static_cast<std::size_t>(number)], true);
      if (tried) {
        step.what = Do::stop;
        stop_cleanly(number, step);
        node.start();
      } else {
        step.what = Do::attach;
        operate(step);
      }
      continue;
    }
    if (!status.connections.empty() &&
        status.connections[0].connection_state == replication::ConnectionState::stand_alone) {
      step.what = Do::connect;
      operate(step);
    }
  }
}

void Director::demote_everybody() {
  for (int number = 0; number < static_cast<int>(cluster_.nodes()); ++number) {
    if (!cluster_.node(number).up()) continue;
    Step step;
    step.what = Do::demote;
    step.node = number;
    step.words = {"force"};
    carry_out(step);
  }
}

// Copies that nobody but an operator can choose between: he does what the refusal says.
void Director::follow_refusal() {
  Node& node = cluster_.node(other(wanted_));
  if (!node.up() || node.status().connections.empty()) return;
  const std::string& why = node.status().connections[0].last_error;
  Step step;
  if (why.contains("run connect --discard-my-data on the node whose copy")) {
    step.what = Do::connect;
    step.node = node.number();
    step.words = {"discard"};
    return carry_out(step);
  }
  // Metadata that was lost made a half-copied disk of the newer one; otherwise nobody may end here.
  if (!why.contains("itself incomplete") || !cluster_.oracle().old_values_excused()) return;
  int best = -1;
  DiskState best_disk = DiskState::diskless;
  for (int number = 0; number < static_cast<int>(cluster_.nodes()); ++number) {
    if (!cluster_.node(number).up()) continue;
    const auto& status = cluster_.node(number).status();
    DiskState worst = DiskState::up_to_date;
    for (const auto& device : status.devices) worst = std::min(worst, device.disk_state);
    if (status.baton_epoch == 0 || worst <= best_disk) continue;  // epoch 0: made anew, no data
    best = number;
    best_disk = worst;
  }
  if (best < 0) return;
  step.what = Do::promote;
  step.node = best;
  step.words = {"force"};
  carry_out(step);
  step.what = Do::burst;  // the first write makes the generation
  carry_out(step);
}

std::string Director::why_not_well() {
  std::string text = "60 s after all faults have stopped:";
  for (int number = 0; number < static_cast<int>(cluster_.nodes()); ++number) {
    Node& node = cluster_.node(number);
    if (!node.up()) {
      text += fmt::format(" {} is not up {};", node.name(), node.refusal());
      continue;
    }
    const auto& status = node.status();
    text += fmt::format(" {} is {}", node.name(), name_of(status.role));
    for (const auto& device : status.devices)
      text += fmt::format(" {}", name_of(device.disk_state));
    for (const auto& connection : status.connections) {
      text += fmt::format(" {}", name_of(connection.connection_state));
      for (const auto& volume : connection.peer_devices) {
        text += fmt::format(" {} peer {}", name_of(volume.replication_state),
                            name_of(volume.peer_disk_state));
      }
      if (!connection.last_error.empty()) text += " (" + connection.last_error + ")";
      if (connection.split_brain) text += " split brain";
    }
    if (!status.suspended.empty()) text += " suspended";
    if (status.held_writes.count > 0) {
      text += fmt::format(" {} held writes", status.held_writes.count);
    }
    text += ";";
  }
  return text;
}

// Writes, flushes and reads on the Primary, reads on the other: all are served; then a look at
// everything once nothing moves.
void Director::prove_service(std::uint64_t requests) {
  World& world = cluster_.world();
  // Writes that a Secondary holds end first, with ENOSPC.
  const auto idle = [&] { return cluster_.clients_idle(); };
  if (!world.run_while_waiting(idle, verb_limit)) {
    return world.violated("liveness", "a client waits at the end");
  }
  const std::uint64_t errors = cluster_.errors();
  const int primary = cluster_.rules().primary();
  Step step;
  step.what = Do::burst;
  step.id = UINT64_MAX;
  step.node = primary;
  step.numbers = {{"requests", requests}, {"flushes", 10}};
  carry_out(step);
  step.node = other(primary);
  step.numbers = {{"requests", requests / 2}, {"reads", 100}};
  carry_out(step);
  if (world.violation()) return;
  if (!world.run_while_waiting(idle, verb_limit)) {
    return world.violated("liveness", "a client waits at the end");
  }
  if (cluster_.errors() != errors) {
    return world.violated("liveness", "a client is refused at the end, when all is well");
  }
  if (!world.run_while_waiting([&] { return cluster_.still(); }, std::chrono::seconds(20))) {
    return world.violated("liveness", "something never comes to rest: " + cluster_.moves());
  }
  cluster_.rules().look_at_everything();
}

// True when everything is well again.
bool Director::make_well() {
  attached_.fill(false);
  World& world = cluster_.world();
  world.trace().say(-1, "all faults stop");
  cluster_.net().heal(0, 1);
  set_fencing(Fencing::broken);
  for (int number = 0; number < static_cast<int>(cluster_.nodes()); ++number) {
    Node& node = cluster_.node(number);
    for (std::uint32_t volume = 0; volume < node.volumes(); ++volume) {
      for (SimDisk* disk : {&node.data(volume), &node.metadata(volume)}) {
        disk->mend();
        disk->set_model(cluster_.settings().disks[static_cast<std::size_t>(number)]);
      }
    }
    node.mend_undo();
    node.process().pause(false);
    node.speak_another_version(false);
    if (node.runs_another_version()) {
      Step step;
      step.what = Do::stop;
      step.node = number;
      stop_cleanly(number, step);
    }
    node.start();
  }
  const TimePoint stopped = world.now();
  const TimePoint deadline = stopped + well_limit;
  bool well = false;
  const TimePoint patience = world.now() + well_limit / 2;
  while (!well && !world.violation() && world.now() < deadline) {
    world.run_for(std::chrono::milliseconds(500));
    connect_and_attach();
    // The wanted one may be the one whose data is older: then it, too, has to yield.
    if (world.now() > patience && !cluster_.rules().connected()) {
      demote_everybody();
      follow_refusal();
      continue;
    }
    if (resolve_split_brain()) continue;
    // What an operator began in the background, a handover say, ends first, and what a slow disk
    // was asked before it was mended: its owner may yet lose patience with it.
    bool quiet = true;
    for (int number = 0; number < static_cast<int>(cluster_.nodes()); ++number) {
      Node& node = cluster_.node(number);
      quiet = quiet && node.verbs_idle();
      for (std::uint32_t volume = 0; volume < node.volumes(); ++volume) {
        quiet = quiet && !node.data(volume).owes_since(stopped) &&
                !node.metadata(volume).owes_since(stopped);
      }
    }
    well = quiet && promote_somebody() && cluster_.rules().both_up_to_date();
  }
  return well;
}

void Director::end_well(std::uint64_t proof_requests) {
  World& world = cluster_.world();
  strikes_over_ = true;
  if (world.violation()) return;
  const bool well = make_well();
  for (auto& client : cluster_.clients()) client->stop();
  if (!world.violation() && !well) return world.violated("liveness", why_not_well());
  if (world.violation()) return;
  prove_service(proof_requests);
}

}  // namespace baton::sim
