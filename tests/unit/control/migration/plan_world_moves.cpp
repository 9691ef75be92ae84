// What may happen next in the world: deliveries, QEMUs going on, the storage answering, faults.
#include "plan_world.h"

namespace baton::control::migration {
namespace {

// One world per thing that may happen.
World& branch(std::vector<World>& next, const World& from) {
  next.push_back(from);
  return next.back();
}
World& harm(std::vector<World>& next, const World& from) {
  World& world = branch(next, from);
  --world.budget.faults;
  world.harmed = true;
  return world;
}

}  // namespace

void World::add_deliveries(Worlds& next) const {
  if (!from_source.empty()) {
    World& world = branch(next, *this);
    const Message message = world.from_source.front();
    world.from_source.erase(world.from_source.begin());
    if (message.command == 0 || message.command == source_sent) world.give(message.kind);
  }
  if (!from_destination.empty()) {
    World& world = branch(next, *this);
    const Message message = world.from_destination.front();
    world.from_destination.erase(world.from_destination.begin());
    if (message.command == 0 || message.command == destination_sent) world.give(message.kind);
  }
  if (!from_storage.empty()) {
    World& world = branch(next, *this);
    const EventKind event = world.from_storage.front();
    world.from_storage.erase(world.from_storage.begin());
    world.give(event);
  }
}

void World::add_qemu_moves(Worlds& next) const {
  if (source_alive && !source_commands.empty()) branch(next, *this).obey_source();
  if (destination_alive && !destination_commands.empty()) branch(next, *this).obey_destination();
  if (source_alive && source == SourceQemu::moving && destination_alive) {
    World& world = branch(next, *this);
    if (source_runs) world.say(EventKind::source_stopped);
    world.source_runs = false;
    world.state_sent |= setting.ignores_pause;
    if (!setting.ignores_pause) {
      world.source = SourceQemu::paused;
      world.say(EventKind::source_pre_switchover);
    } else if (postcopy_asked) {
      world.source = SourceQemu::postcopy;
      world.say(EventKind::source_postcopy);
    } else {
      world.source = SourceQemu::device;
      world.say(EventKind::source_device);
    }
  }
  add_postcopy_moves(next);
  if (source_alive && source == SourceQemu::device && destination_alive &&
      destination == DestinationQemu::listening) {
    World& world = branch(next, *this);
    const bool waits = setting.destination_paused_at_start || setting.guest_paused;
    world.destination = waits ? DestinationQemu::loaded : DestinationQemu::running;
    if (!waits) world.say_there(EventKind::destination_resumed);
    world.say_there(EventKind::destination_completed);
  }
  // With return-path the source completes after the destination.
  if (source_alive && source == SourceQemu::device && destination >= DestinationQemu::loaded) {
    World& world = branch(next, *this);
    world.source = SourceQemu::completed;
    world.say(EventKind::source_completed);
  }
  // Each notices the other's death, except in pre-switchover.
  if (source_alive && !destination_alive &&
      (source == SourceQemu::moving || source == SourceQemu::device)) {
    branch(next, *this).fail_source();
  }
  const bool source_gone =
      !source_alive || source == SourceQemu::failed || source == SourceQemu::parted;
  if (destination_alive && source_gone && destination == DestinationQemu::listening) {
    World& world = branch(next, *this);
    world.say_there(EventKind::destination_failed);
    world.kill_destination();
  }
}

void World::add_postcopy_moves(Worlds& next) const {
  const bool serves = source_alive && source == SourceQemu::postcopy;
  if (setting.postcopy && !passed && source_alive && source == SourceQemu::moving && source_runs) {
    World& world = branch(next, *this);
    world.passed = true;
    world.say(EventKind::source_passed);
  }
  if (serves && destination_alive && destination == DestinationQemu::listening) {
    World& world = branch(next, *this);
    world.fetching = true;
    const bool waits = setting.destination_paused_at_start || setting.guest_paused;
    world.destination = waits ? DestinationQemu::loaded : DestinationQemu::running;
    if (!waits) world.say_there(EventKind::destination_resumed);
  }
  if (serves && destination_alive && fetching) {
    World& world = branch(next, *this);
    world.fetching = false;
    world.say_there(EventKind::destination_completed);
  }
  if (serves && destination >= DestinationQemu::loaded && !fetching && destination_alive) {
    World& world = branch(next, *this);
    world.source = SourceQemu::completed;
    world.say(EventKind::source_completed);
  }
  // QEMU 7.2 finds out sooner or later: then its guest goes on, or nothing ever does.
  if (serves && !destination_alive) {
    branch(next, *this).cut_path();
    if (destination == DestinationQemu::listening) branch(next, *this).fail_source();
  }
  if (!source_alive && fetching && destination_alive) branch(next, *this).cut_path();
}

void World::answer_verb(Worlds& next) const {
  const auto answer = [&](EventKind event) -> World& {
    World& world = branch(next, *this);
    world.verb = -1;
    world.from_storage.push_back(event);
    return world;
  };
  switch (static_cast<Action>(verb)) {
    case Action::storage_prepare:
      answer(linked ? EventKind::prepared : EventKind::refused);
      return;
    case Action::storage_offer:
      answer(linked ? EventKind::offered : EventKind::offer_failed).offer_open = linked;
      return;
    case Action::storage_grant:
      if (holder == Holder::destination) {
        answer(EventKind::baton_at_destination);
      } else if (holder == Holder::nobody) {
        answer(EventKind::baton_undecided);
      } else if (offer_open && linked) {
        World& world = answer(EventKind::baton_at_destination);
        world.holder = Holder::destination;
        world.offer_open = false;
      } else {
        answer(EventKind::baton_at_source);
      }
      return;
    case Action::storage_take_back:
      if (holder == Holder::source) answer(EventKind::baton_at_source).offer_open = false;
      if (holder == Holder::nobody) answer(EventKind::baton_undecided);
      if (holder == Holder::destination) {
        answer(EventKind::baton_at_destination);
        if (linked && !destination_wrote) {
          answer(EventKind::baton_at_source).holder = Holder::source;
        }
      }
      return;
    default:
      return;
  }
}

void World::add_storage_moves(Worlds& next) const {
  if (verb >= 0) answer_verb(next);
}

// Guests write when they like; the storage admits the holder's writes only.
void World::add_writes(Worlds& next) const {
  if (source_alive && source_runs && holder == Holder::source &&
      (offer_open || (state_sent && !source_wrote_after_fork))) {
    World& world = branch(next, *this);
    world.offer_open = false;
    world.source_wrote_after_fork |= state_sent;
    world.require(!(world.source_wrote_after_fork && world.destination_wrote), "two writers");
  }
  const bool admitted = holder == Holder::destination || (offer_open && linked);
  if (destination_alive && destination == DestinationQemu::running && admitted &&
      !destination_wrote) {
    World& world = branch(next, *this);
    world.holder = Holder::destination;
    world.offer_open = false;
    world.destination_wrote = true;
    world.require(!(world.source_wrote_after_fork && world.destination_wrote), "two writers");
  }
}

void World::add_storage_faults(Worlds& next) const {
  if (linked) {
    World& world = harm(next, *this);
    world.linked = false;
    world.offer_open = false;  // the session's end voids it
  }
  // Later, to a destination whose memory is older than the disk, it would be the operator's choice.
  if (linked && verb < 0 && holder == Holder::source && !source_wrote_after_fork) {
    World& world = harm(next, *this);
    world.meddled = true;
    world.offer_open = false;
    world.holder = Holder::destination;
  }
  if (verb == static_cast<int>(Action::storage_grant) && offer_open && linked) {
    // The link breaks between GRANT and TAKEN: it arrived, or it did not.
    for (const Holder where : {Holder::destination, Holder::nobody}) {
      World& world = harm(next, *this);
      world.linked = false;
      world.offer_open = false;
      world.holder = where;
      world.verb = -1;
      world.from_storage.push_back(EventKind::baton_undecided);
    }
  }
  if (verb == static_cast<int>(Action::storage_offer)) {
    World& world = harm(next, *this);
    world.verb = -1;
    world.from_storage.push_back(EventKind::offer_failed);
  }
}

void World::add_faults(Worlds& next) const {
  if (budget.faults > 0) {
    if (source_alive) harm(next, *this).kill_source();
    if (destination_alive) harm(next, *this).kill_destination();
    if (source_reachable) harm(next, *this).lose_source();
    if (destination_reachable) harm(next, *this).lose_destination();
    // Memory cannot be sent; or the destination's last answer is lost and both have the guest.
    if (source_alive && (source == SourceQemu::moving || source == SourceQemu::device)) {
      harm(next, *this).fail_source();
    }
    if (source_alive && source == SourceQemu::postcopy) harm(next, *this).cut_path();
    add_storage_faults(next);
  }
  if (budget.deadlines > 0 && patience_of(plan.state()) != Patience::none) {
    World& world = branch(next, *this);
    --world.budget.deadlines;
    world.deadline_used = true;
    world.give(EventKind::deadline);
  }
  if (budget.cancels > 0 && !plan.over() && plan.can_cancel()) {
    World& world = branch(next, *this);
    --world.budget.cancels;
    world.give(EventKind::cancel);
  }
  if (budget.crashes > 0 && !plan.over()) {
    Worlds started;
    started.push_back(*this);             // a verb that never reached the other node
    if (verb >= 0) answer_verb(started);  // or that was carried out unheard
    for (World& world : started) {
      --world.budget.crashes;
      world.verb = -1;
      world.from_storage.clear();
      world.from_source.clear();
      world.from_destination.clear();
      // Commands that were sent are obeyed; their replies go nowhere.
      ++world.source_sent, ++world.source_done;
      ++world.destination_sent, ++world.destination_done;
      world.plan = Plan();
      world.recovered = true;
      world.give(EventKind::recover);
      if (!world.source_reachable) world.from_source.push_back({EventKind::source_lost, 0});
      if (!world.destination_reachable) {
        world.from_destination.push_back({EventKind::destination_lost, 0});
      }
      next.push_back(world);
    }
  }
}

std::vector<World> World::natural_successors() const {
  Worlds next;
  add_deliveries(next);
  add_qemu_moves(next);
  add_storage_moves(next);
  return next;
}

std::vector<World> World::successors() const {
  Worlds next = natural_successors();
  add_writes(next);
  add_faults(next);
  return next;
}

}  // namespace baton::control::migration
