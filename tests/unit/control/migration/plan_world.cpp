#include "plan_world.h"

#include <sstream>

#include "control/migration/plan_tables.h"

namespace baton::control::migration {
namespace {

bool is_for_source(Action action) {
  return action >= Action::source_query_status && action <= Action::source_quit;
}

}  // namespace

void World::give(EventKind event) {
  for (const Action action : plan.on(event).actions) act(action);
  if (plan.state() == State::moved) {
    require(holder == Holder::destination, "moved: the destination holds the baton");
  }
  if (plan.state() == State::stayed) {
    require(meddled || holder == Holder::source, "stayed: the source holds the baton");
  }
  if (plan.state() == State::divided) {
    require(holder == Holder::destination, "divided: the destination holds the baton");
  }
  if (plan.state() == State::lost) {
    require(holder == Holder::destination, "lost: the destination holds the baton");
  }
}

void World::act(Action action) {
  if (action <= Action::storage_take_back) {
    require(verb < 0, "one storage verb at a time");
    if (action == Action::storage_grant) {
      require(destination >= DestinationQemu::loaded, "granted only to a guest that has arrived");
    }
    verb = static_cast<int>(action);
    return;
  }
  if (action == Action::source_quit) {
    require(holder == Holder::destination, "the source quits only when it has lost the baton");
    require(!destination_alive || destination == DestinationQemu::running || setting.guest_paused,
            "the source quits only when the guest runs elsewhere");
    require(!fetching, "the source quits only when nobody fetches its memory");
  }
  if (action == Action::source_cancel && source == SourceQemu::postcopy) {
    require(meddled || holder == Holder::source,
            "a source that serves memory is cancelled only when it holds the baton");
  }
  if (action == Action::source_cont) {
    require(meddled || holder == Holder::source, "cont at the source only when it holds the baton");
  }
  if (action == Action::destination_cont) {
    require(holder == Holder::destination, "cont at the destination only when it holds the baton");
  }
  if (action == Action::destination_quit) {
    require(meddled || holder == Holder::source,
            "the destination quits only when the source has the baton");
  }
  const bool to_source = is_for_source(action);
  if (to_source && source_reachable) {
    source_commands.push_back(action);
    ++source_sent;
  }
  if (!to_source && destination_reachable) {
    destination_commands.push_back(action);
    ++destination_sent;
  }
}

void World::say(EventKind event) {
  if (source_reachable) from_source.push_back({event, 0});
}
void World::say_there(EventKind event) {
  if (destination_reachable) from_destination.push_back({event, 0});
}

void World::resume_source() {
  if (setting.guest_paused || source_runs) return;
  source_runs = true;
  say(EventKind::source_resumed);
}

void World::fail_source() {
  source = SourceQemu::failed;
  say(EventKind::source_failed);
  resume_source();
}

// QEMU's order: cancelling, RESUME, cancelled.
void World::source_cancelled() {
  source = SourceQemu::failed;
  resume_source();
  say(EventKind::source_failed);
}

// Between the two QEMUs, in postcopy.
void World::cut_path() {
  if (source_alive && source == SourceQemu::postcopy) {
    source = SourceQemu::cut_off;
    say(EventKind::source_postcopy_paused);
  }
  strand_destination();
}

void World::strand_destination() {
  if (!fetching) return;
  fetching = false;
  stranded = true;
  say_there(EventKind::destination_postcopy_paused);
}

void World::lose_source() {
  if (!source_reachable) return;
  say(EventKind::source_lost);
  source_reachable = false;
  source_commands.clear();
}
void World::lose_destination() {
  if (!destination_reachable) return;
  say_there(EventKind::destination_lost);
  destination_reachable = false;
  destination_commands.clear();
}
void World::kill_source() {
  lose_source();
  source_alive = false;
  source_runs = false;
}
void World::kill_destination() {
  lose_destination();
  destination_alive = false;
}

void World::obey_source() {
  const Action command = source_commands.front();
  source_commands.erase(source_commands.begin());
  const std::uint8_t number = ++source_done;
  const auto reply = [&](EventKind kind) { from_source.push_back({kind, number}); };
  switch (command) {
    case Action::source_query_status:
      if (!source_runs && source > SourceQemu::moving && source != SourceQemu::failed) {
        return reply(EventKind::source_is_unfit);  // finish-migrate, postmigrate
      }
      return reply(setting.guest_paused ? EventKind::source_is_paused
                                        : EventKind::source_is_running);
    case Action::source_query_migrate:
      switch (source) {
        case SourceQemu::none:
          return reply(EventKind::source_none);
        case SourceQemu::moving:
          return reply(EventKind::source_active);
        case SourceQemu::paused:
          return reply(EventKind::source_pre_switchover);
        case SourceQemu::device:
          return reply(EventKind::source_device);
        case SourceQemu::postcopy:
          return reply(EventKind::source_postcopy);
        case SourceQemu::cut_off:
          return reply(EventKind::source_postcopy_paused);
        case SourceQemu::completed:
          return reply(EventKind::source_completed);
        case SourceQemu::parted:
        case SourceQemu::failed:
          return reply(EventKind::source_failed);
      }
      return;
    case Action::source_migrate:
      if (!destination_alive) return reply(EventKind::source_error);
      source = SourceQemu::moving;
      return reply(EventKind::source_ok);
    case Action::source_start_postcopy:
      postcopy_asked = true;
      return reply(EventKind::source_ok);
    case Action::source_continue:
      if (source != SourceQemu::paused) return reply(EventKind::source_error);
      source = postcopy_asked ? SourceQemu::postcopy : SourceQemu::device;
      state_sent = true;
      say(postcopy_asked ? EventKind::source_postcopy : EventKind::source_device);
      return reply(EventKind::source_ok);
    case Action::source_cancel:
      reply(EventKind::source_ok);
      if (source >= SourceQemu::moving && source <= SourceQemu::device) source_cancelled();
      if (source == SourceQemu::postcopy) {
        source = SourceQemu::parted;
        say(EventKind::source_failed);
        strand_destination();
      }
      return;
    case Action::source_cont:
      if (source == SourceQemu::paused || source == SourceQemu::postcopy ||
          source == SourceQemu::cut_off) {
        return reply(EventKind::source_error);
      }
      if (!source_runs) {
        source_runs = true;
        say(EventKind::source_resumed);
      }
      return reply(EventKind::source_ok);
    case Action::source_quit:
      reply(EventKind::source_ok);
      return kill_source();
    default:
      return reply(EventKind::source_ok);
  }
}

void World::obey_destination() {
  const Action command = destination_commands.front();
  destination_commands.erase(destination_commands.begin());
  const std::uint8_t number = ++destination_done;
  const auto reply = [&](EventKind kind) { from_destination.push_back({kind, number}); };
  switch (command) {
    case Action::destination_query_status:
      switch (destination) {
        case DestinationQemu::waiting:
        case DestinationQemu::listening:
          return reply(EventKind::destination_is_waiting);
        case DestinationQemu::loaded:
          return reply(EventKind::destination_is_paused);
        case DestinationQemu::running:
          return reply(EventKind::destination_is_running);
      }
      return;
    case Action::destination_incoming:
      destination = DestinationQemu::listening;
      return reply(EventKind::destination_ok);
    case Action::destination_cont:
      if (destination == DestinationQemu::loaded) {
        destination = DestinationQemu::running;
        say_there(EventKind::destination_resumed);
      }
      return reply(EventKind::destination_ok);
    case Action::destination_quit:
      reply(EventKind::destination_ok);
      return kill_destination();
    default:
      return reply(EventKind::destination_ok);
  }
}

std::string World::key() const {
  std::string out;
  const auto put = [&out](auto value) { out.push_back(static_cast<char>(value)); };
  const Facts& facts = plan.facts();
  put(plan.state()), put(facts.source), put(facts.destination);
  put(facts.guest_was_running | facts.source_stopped << 1 | facts.cancel_requested << 2 |
      facts.discarded << 3 | facts.postcopy_asked << 4 | facts.all_arrived << 5);
  put(source), put(destination), put(holder), put(verb);
  put(source_alive | destination_alive << 1 | source_reachable << 2 | destination_reachable << 3 |
      source_runs << 4 | state_sent << 5 | offer_open << 6);
  put(linked | source_wrote_after_fork << 1 | destination_wrote << 2 | deadline_used << 3 |
      harmed << 4 | meddled << 5);
  put(passed | postcopy_asked << 1 | fetching << 2 | stranded << 3);
  put(budget.faults), put(budget.deadlines), put(budget.cancels), put(budget.crashes);
  for (const Action command : source_commands) put(command);
  put(0xff);
  for (const Action command : destination_commands) put(command);
  put(0xff);
  // Only the age of a reply counts, not its number.
  for (const Message& m : from_source) put(m.kind), put(m.command ? source_sent - m.command : 0xfe);
  put(0xff);
  for (const Message& m : from_destination) {
    put(m.kind), put(m.command ? destination_sent - m.command : 0xfe);
  }
  put(0xff);
  for (const EventKind event : from_storage) put(event);
  return out;
}

std::string World::describe() const {
  std::ostringstream out;
  out << "plan " << name_of(plan.state()) << " (" << plan.reason() << "), source "
      << static_cast<int>(source) << (source_alive ? " alive" : " dead")
      << (source_runs ? " running" : " stopped") << ", destination "
      << static_cast<int>(destination) << (destination_alive ? " alive" : " dead") << ", holder "
      << static_cast<int>(holder) << (offer_open ? ", offer open" : "");
  return out.str();
}

}  // namespace baton::control::migration
