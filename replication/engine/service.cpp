// A node without its disk, and the holder that serves it (docs/replication.md). What is decided
// when two such nodes meet is in core/diskless.h; the data's way is in forwarding.cpp and read.cpp.
//
//   P, whose disk has failed                     D, whose copy is UpToDate
//   holds its clients' writes; what is in
//   flight ends with D's answers
//   GRANT(e+1, last write, "serve me")        ->  has all up to that number, makes e+1 durable
//                                             <-  TAKEN
//   Primary as before: writes, flushes and        before the first of them: a generation (rule 8),
//   reads go to D                             ->  for P's copy, wherever it is, is the older one
//
// The role stays with the guest, the baton goes to the copy. When P has a disk again and it is
// filled, the baton follows the role.
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/core/diskless.h"
#include "replication/engine/engine.h"
#include "replication/engine/grant_flags.h"

namespace baton::replication {

bool Engine::serves_peer() const {
  const bool beside_own_clients = role_ == Role::secondary || config_.two_primaries;
  return beside_own_clients && session_ != nullptr && session_->established() &&
         session_->peer_role == Role::primary && !session_->peer_holding;
}

bool Engine::takes_lone_writes() const {
  return mutant("no-generation-for-the-served") ? may_write() : takes_writes();
}

// Whether a write of the peer's client may be begun: this node is the holder that the peer means.
bool Engine::takes_forwarded(const wire::Header& header, const Session& session) const {
  const bool open = up_ && !stopping_ && !granted_away_ && !quiescing_ && !taking_;
  const bool right = holding_ && serves_peer() && session_ == &session;
  return open && right && header.epoch == epoch_.number && every_volume_usable();
}

bool Engine::forwards() {
  const bool open = up_ && !stopping_ && !quiescing_ && !granted_away_;
  return open && served_ && holder_session() != nullptr;
}

bool Engine::may_be_served() const {
  if (served_) return true;
  const bool lost_here = holding_ && !every_volume_usable() && has_peer();
  const bool may = config_.on_io_error == OnIoError::detach && lost_here;
  return may && (leaving_disk_ || granted_away_ || cannot_go_alone());
}

// --- a disk is given up in the middle of a session -----------------------------------------------

bool Engine::peer_can_take_over() const {
  if (session_ == nullptr || !session_->established() || !replicating_) return false;
  if (!holding_ || granted_away_ || slot_.behind || stopping_) return false;
  const bool syncing =
      std::ranges::any_of(volumes_, [](const auto& volume) { return volume->syncing; });
  const bool good = std::ranges::all_of(
      session_->peer_disks, [](DiskState disk) { return disk == DiskState::up_to_date; });
  return !syncing && good;
}

Task<> Engine::leave_disk() {
  reached("disk-left-in-session");
  Session* const session = session_;
  // One request at a time stops the writes.
  void_offer("this node's disk has failed");
  while (quiescing_) {
    co_await gate_changed_.wait();
    void_offer("this node's disk has failed");
  }
  quiesce_reason_ = "this node's disk has failed, and the other node takes over";
  quiescing_ = true;
  update_gate();
  const bool drained = co_await wait_drained(env_.clock.now() + config_.timeout);
  if (drained && session_ == session && holding_) {
    granted_disk_ = true;
    co_await give_baton_to_peer(grant_leaves_role);
  }
  leaving_disk_ = false;
  const bool kept = holding_ && session_ == session && session != nullptr;
  if (kept) {
    reached("disk-left-and-not-taken-over");
    granted_disk_ = granted_away_;
    session->drop("this node's disk has failed");
  }
  stop_quiescing();
  changed();
}

Task<std::uint64_t> Engine::takeovers_settled() {
  while (leaving_disk_) co_await gate_changed_.wait();
  co_return takeovers_;
}

// TAKEN has come for a grant that leaves the role here.
void Engine::is_served_from_now_on(Session& session) {
  ++takeovers_;
  granted_disk_ = false;
  served_ = role_ == Role::primary;
  replicating_ = false;
  session.service = true;
  session.peer_role = Role::secondary;
  // The peer has everything, some of it in its cache only: a power cut there makes the copy here
  // the better one. What this disk lacks the peer notes from here on.
  for (auto& volume : volumes_) volume->session_lost();
  log(Journal::Level::notice,
      fmt::format("served by {}, which has the baton: epoch {}", peer_name_, epoch_.number));
}

// --- two nodes meet and one has no disk ----------------------------------------------------------

namespace {

ServiceFacts service_facts(const wire::State& state, const wire::State& other, bool two_primaries) {
  ServiceFacts facts;
  facts.complete = state.complete;
  facts.lineage = state.lineage;
  facts.epoch = state.epoch;
  facts.holding = state.holding;
  facts.primary = state.primary;
  facts.served = state.served;
  facts.resume_primary = state.resume_primary;
  facts.arrival = static_cast<Arrival>(state.arrival);
  facts.same_session =
      state.session.number == other.session.number && state.session.id == other.session.id;
  facts.peer_lacks = state.peer_lacks;
  facts.two_primaries = two_primaries;
  return facts;
}

}  // namespace

Task<Result<>> Engine::apply_service(Session& session) {
  const wire::State& own = session.own_state_;
  const wire::State& peer = session.peer_state_;
  const bool here = own.has_disks();
  if (here == peer.has_disks()) {
    co_return failure(fmt::format("{} has no usable disk on either node; repair one and attach it",
                                  config_.name));
  }
  const ServiceFacts own_facts = service_facts(own, peer, config_.two_primaries);
  const ServiceFacts peer_facts = service_facts(peer, own, config_.two_primaries);
  const ServiceVerdict verdict =
      settle_service(here ? own_facts : peer_facts, here ? peer_facts : own_facts);
  log(Journal::Level::notice,
      fmt::format("settling with {}, one node without its disk: {} (holder {}, epoch {})",
                  session.peer_, verdict.row, here ? config_.self : session.peer_, verdict.epoch));
  if (verdict.refuse) {
    co_return failure(fmt::format("{} and {} cannot use {} together: {}", config_.self,
                                  session.peer_, config_.name, verdict.sentence));
  }
  split_brain_.reset();
  to_be_copied_to_ = false;
  const bool same = compare(own.lineage, peer.lineage) == Relation::equal;
  epoch_ = {verdict.epoch, here ? config_.self : session.peer_};
  holding_ = here;
  granted_away_ = granted_disk_ = false;
  session.service = true;
  session.peer_holding = !here;
  if (here) {
    if (!mutant("served-by-itself")) served_ = false;
    session.peer_role = verdict.diskless_stays ? Role::primary : Role::secondary;
    if (verdict.holder_promoted) {
      role_ = Role::primary;
      role_is_here(Fence::stays);
    }
    if (verdict.holder_demoted) {
      reached("grantor-demoted-by-a-failed-disk");
      log(Journal::Level::warning, fmt::format("no longer Primary: {} is", session.peer_));
      role_ = Role::secondary;
    }
    peer_has_tip_ = peer_has_tip_ || same;
    resume_primary_ = false;
    // Clients are shown what this node alone may have, and rely on it, as on a source's: the other
    // copy, when it has a disk again, must not be chosen before it, whatever becomes of this one.
    const bool died =
        own_facts.arrival == Arrival::restarted || own_facts.arrival == Arrival::crashed;
    if (same && died && !own.holding && !mutant("disk-takes-and-keeps-the-tip")) {
      reached("disk-takes-with-a-generation");
      const bool overrules =
          co_await begin_generation("read while " + session.peer_ + " has no disk");
      if (!overrules) co_return failure("the metadata device failed; see the log");
      peer_has_tip_ = false;
    }
    const bool durable = co_await commit();
    if (!durable) co_return failure("the metadata device failed; see the log");
    co_return Result<>{};
  }
  const bool peer_stays = peer.primary && !verdict.holder_demoted;
  session.peer_role = peer_stays || verdict.holder_promoted ? Role::primary : Role::secondary;
  served_ = role_ == Role::primary && verdict.diskless_stays;
  peer_lacks_ = false;
  if (role_ == Role::primary && !served_) {
    // Its clients know writes that the copy which is left may not have.
    reached("served-primary-demoted");
    log(Journal::Level::warning,
        fmt::format("no longer Primary: {} holds the baton", session.peer_));
    role_ = Role::secondary;
  }
  // Nothing is written here: the disk has failed, and what the other records overrules it.
  co_return Result<>{};
}

// --- the baton follows the role ------------------------------------------------------------------

// This node holds for a Primary that has a copy of its own again.
void Engine::baton_follows_role() {
  const bool wanted =
      holding_ && role_ == Role::secondary && serves_peer() && peer_can_take_over() && !quiescing_;
  if (!wanted) return;
  struct Follow {
    static Task<> run(Engine& engine) {
      const Result<> given = co_await engine.give_baton(GiveFor::who_has_the_role);
      if (given) co_return;
      engine.log(Journal::Level::warning, "the baton stays: " + given.error().message);
    }
  };
  reached("baton-follows-role");
  scope_.spawn(Follow::run(*this));
}

// --- the role moves and the baton stays ----------------------------------------------------------

bool Engine::may_give_role() const {
  if (session_ == nullptr || !session_->established() || session_->role_given) return false;
  if (granted_away_ || taking_) return false;
  return role_ == Role::primary || (holding_ && session_->peer_role != Role::primary);
}

// To a node whose copy is not there yet, or back from it: the guest moves, and the copy that counts
// stays the holder's. Everything acknowledged is on stable storage where it counts first, and this
// node is durably Secondary before the other hears of it, so that there is one writer at most. When
// the link is lost in between there is none; whoever is to be it says so again.
Task<Result<>> Engine::give_role(GiveFor why) {
  if (quiescing_ && !offering_) {
    co_return failure(
        fmt::format("{} is already stopping its writes for another request", config_.name));
  }
  if (serves_peer()) co_return Result<>{};
  if (!may_give_role()) {
    co_return failure(fmt::format(
        "{} is not Primary on {}, so there is no role to hand over: run handover on the node that "
        "status shows as Primary, or primary on {}",
        config_.name, config_.self, peer_name_));
  }
  Session* const session = session_;
  Result<> quiet;
  if (!offering_) {
    quiesce_reason_ = "the role is being handed to the other node";
    quiet = co_await quiesce(false);
  }
  const bool still = co_await source_is_still(why);
  const bool same = session_ == session && session != nullptr && session->established();
  if (!quiet || !still || !same || !may_give_role()) {
    void_offer("it could not be granted");
    stop_quiescing();
    if (!quiet) co_return quiet;
    if (!still) {
      co_return failure(fmt::format("{} goes on here: a client was not silent", config_.name));
    }
    co_return failure(
        fmt::format("the link to {} was lost; {} stays as it is", peer_name_, config_.name));
  }
  reached("role-given");
  if (!mutant("role-given-and-kept")) role_ = Role::secondary;
  served_ = false;
  offering_ = false;
  note_clients_are_flushed();
  session->role_given = true;
  if (holding_) co_await commit();
  stop_quiescing();
  if (session_ == session && session->established()) {
    wire::Header header;
    header.number = session->id();
    header.epoch = epoch_.number;
    header.flags = why == GiveFor::operators_word ? 0 : grant_keeps_fence;
    session->tell(header, wire::Type::role);
  }
  log(Journal::Level::notice, fmt::format("{} is Primary now: Secondary here", peer_name_));
  tell_status();
  changed();
  // Heard of by its status, which says Primary.
  const TimePoint deadline = env_.clock.now() + config_.timeout * 2;
  while (session_ == session && session->established() && session->peer_role != Role::primary) {
    const bool told = co_await gate_changed_.wait_until(env_.clock, deadline);
    if (!told) break;
  }
  if (session_ == session && session->peer_role == Role::primary) co_return Result<>{};
  co_return failure(fmt::format(
      "the link to {} was lost while the role was on its way; nobody writes to {} until the nodes "
      "meet again, or primary says who does",
      peer_name_, config_.name));
}

void Engine::role_given(const wire::Header& header, Session& session) {
  const bool usable = header.number == session.id() && header.epoch == epoch_.number &&
                      role_ != Role::primary && (holding_ || session.peer_holding);
  if (!usable) return session.drop("the peer gave a role that it cannot give");
  // What it says of itself follows; it is none any more.
  session.peer_role = Role::secondary;
  const bool keeps = (header.flags & grant_keeps_fence) != 0;
  session.scope().spawn(take_role(session, keeps ? Fence::stays : Fence::is_lifted));
}

Task<> Engine::take_role(Session& session, Fence fence) {
  Result<> taken;
  if (holding_) {
    taken = co_await take_alone(false, fence);
  } else {
    role_ = Role::primary;
    served_ = true;
    role_is_here(fence);
    log(Journal::Level::notice, fmt::format("Primary, served by {}", peer_name_));
  }
  if (session.dropped()) reached("role-taken-and-not-told");
  peer_offers_ = false;
  close_window("the role is here");
  answer_ = taken;
  answered_.notify_all();
  tell_status();
  gate_changed_.notify_all();
  changed();
}

// --- attach and detach ---------------------------------------------------------------------------

// Ends the session, if there is one, and waits until nothing uses the disks. Until
// `changing_disks_` is taken back there is no other session.
Task<> Engine::part_for_disks() {
  changing_disks_ = true;
  update_gate();
  gate_changed_.notify_all();  // whoever waits past admission begins anew
  while (leaving_disk_ || making_generation_ || taking_) co_await gate_changed_.wait();
  while (session_ != nullptr) {
    session_->drop("this node's disks are being opened or closed");
    co_await session_changed_.wait();
  }
  for (auto& volume : volumes_) {
    while (volume->disk_in_use()) co_await volume->drained().wait();
  }
  while (commits_ > 0) co_await gate_changed_.wait();
}

Task<> Engine::close_disks() {
  for (auto& volume : volumes_) {
    if (!volume->attached()) continue;
    if (!volume->failed()) {
      IoError error = co_await volume->settle_alone();
      if (error == IoError::none) error = co_await volume->metadata().empty_activity_log();
      if (error != IoError::none) log(Journal::Level::warning, "a disk was closed unflushed");
    }
  }
  for (auto& volume : volumes_) {
    while (volume->disk_in_use() || commits_ > 0) {
      Signal& over = commits_ > 0 ? gate_changed_ : volume->drained();
      co_await over.wait();
    }
    if (volume->attached()) volume->close();
  }
}

Task<Result<>> Engine::attach_now() {
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  if (every_volume_usable()) co_return Result<>{};
  if (holding_ && !has_peer()) {
    co_return failure(
        fmt::format("{} has no other node to be served by: run down and up", config_.name));
  }
  for (auto& volume : volumes_) {
    if (Result<> may = volume->may_attach(); !may) co_return may;
  }
  co_await part_for_disks();
  for (auto& volume : volumes_) {
    if (volume->attached()) volume->close();
  }
  const Epoch known = epoch_;
  Result<> attached = co_await attach_all();
  for (auto& volume : volumes_) {
    if (attached) attached = co_await volume->try_disk();
  }
  // The disk may know of less than this node does.
  if (known.number > epoch_.number) epoch_ = known;
  if (!attached) {
    for (auto& volume : volumes_) {
      if (volume->attached()) volume->close();
    }
  } else {
    co_await turn_log_into_bits();
    // Whoever has held since has gone on without this copy.
    const bool another = known.holder != config_.self;
    if (another) slot_.behind = false;
    judge_copy();
    if (another && !mutant("attached-copy-counts"))
      unvouched_ = std::min(unvouched_, DiskState::outdated);
    holding_ = false;
    granted_away_ = granted_disk_ = false;
    unmet_ = true;
    clean_ = released_ = false;
    resume_primary_ = false;
    const bool durable = co_await commit();
    if (!durable) attached = failure("the metadata cannot be written; see the log");
  }
  changing_disks_ = false;
  update_gate();
  if (attached) log(Journal::Level::notice, "the disks are attached");
  session_changed_.notify_all();
  gate_changed_.notify_all();
  changed();
  co_return attached;
}

Task<Result<>> Engine::detach_now() {
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  if (!every_volume_usable()) co_return Result<>{};
  if (!has_peer()) {
    co_return failure(fmt::format("{} has no other node that could serve it without the disk of {}",
                                  config_.name, config_.self));
  }
  const bool good_peer = session_ != nullptr && session_->established() && replicating_ &&
                         (holding_ ? peer_can_take_over() : session_->peer_holding);
  if (!good_peer) {
    co_return failure(
        fmt::format("{} cannot run without the disk of {}: {} is not connected with an UpToDate "
                    "copy; connect it and run wait-sync first",
                    config_.name, config_.self, peer_name_));
  }
  if (quiescing_) {
    co_return failure(
        fmt::format("{} is stopping its writes for another request; try again", config_.name));
  }
  if (holding_) {
    quiesce_reason_ = "this node's disk is being given up";
    Result<> quiet = co_await quiesce(false);
    if (quiet && peer_can_take_over()) {
      granted_disk_ = true;
      co_await give_baton_to_peer(grant_leaves_role);
    }
    stop_quiescing();
    if (!quiet) co_return quiet;
    if (holding_) {
      granted_disk_ = granted_away_;
      co_return failure(
          fmt::format("{} has not taken {} over; nothing was given up", peer_name_, config_.name));
    }
  }
  co_await part_for_disks();
  co_await close_disks();
  log(Journal::Level::notice, "the disks are detached");
  changing_disks_ = false;
  update_gate();
  session_changed_.notify_all();
  gate_changed_.notify_all();
  changed();
  co_return Result<>{};
}

}  // namespace baton::replication
