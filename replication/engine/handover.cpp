// The baton moves between two nodes that stay connected (design §4 "Handover", steps 1 to 5).
//
//   step  S (holder)                                 D (the other node)
//   1     stops admitting writes: holds them
//   2     everything in flight written and flushed on both copies
//   3     GRANT(e+1, last write number)          ->
//   4                                                has all up to that number, makes e+1 durable
//   5                                            <-  TAKEN
// Before 3 every failure leaves S the holder. After 3 S never resumes on its own word: the next
// session decides (settling.cpp), because D may have taken it.
#include <fmt/format.h>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"
#include "replication/engine/grant_flags.h"

namespace baton::replication {

using wire::Type;

Task<bool> Engine::wait_drained(TimePoint deadline) {
  for (auto& volume : volumes_) {
    while (volume->writes_in_flight() > 0) {
      const bool told = co_await volume->drained().wait_until(env_.clock, deadline);
      if (!told && volume->writes_in_flight() > 0) co_return false;
    }
  }
  co_return true;
}

// Steps 1 and 2. On failure admission stays stopped; the caller lets it go on. With `announce` the
// peer hears of the offer before the flush: its answer then says that it knows. Else its guest's
// first write, which comes by another way, could be there before the offer and be refused.
Task<Result<>> Engine::quiesce(bool announce) {
  quiescing_ = true;
  update_gate();
  if (mutant("handover-before-drain")) co_return Result<>{};
  const bool drained = co_await wait_drained(env_.clock.now() + config_.timeout);
  if (!drained) {
    reached("handover-not-drained");
    co_return failure(
        fmt::format("writes of {} did not finish within the timeout; nothing was "
                    "changed",
                    config_.name));
  }
  const bool back = co_await take_regions_back();
  if (!back) {
    co_return failure(
        fmt::format("{} did not give back the regions of {} that it writes to within the timeout; "
                    "nothing was changed",
                    peer_name_, config_.name));
  }
  if (announce && together()) session_->tell({}, Type::offer);
  const TimePoint deadline = env_.clock.now() + config_.timeout;
  for (auto& volume : volumes_) {
    IoError flushed = IoError::none;
    if (served_) {
      flushed = co_await volume->flush_through_holder(deadline);
    } else if (volume->attached()) {
      flushed = co_await volume->flush_copies(false);
    }
    if (flushed != IoError::none) {
      reached("handover-flush-failed");
      co_return failure(fmt::format("volume {} of {} could not be flushed; nothing was changed",
                                    volume->index(), config_.name));
    }
  }
  co_return Result<>{};
}

void Engine::stop_quiescing() {
  quiescing_ = false;
  update_gate();
  gate_changed_.notify_all();
}

// Step 3 to 5 for a quiesced resource. Returns when the peer has taken it, or the session has ended
// (then granted_away_ says that we wait for the next one).
Task<> Engine::give_baton_to_peer(std::uint32_t flags) {
  Session* const session = session_;
  // Never while this node takes it on its own word: that would undo the grant when it is durable
  // (archived seed 1058119).
  const bool possible = session != nullptr && replicating_ && holding_ && !granted_away_ &&
                        !taking_ && !volumes_.front()->syncing && slot_.behind == false;
  if (!possible) co_return;
  granted_away_ = true;
  offering_ = false;
  update_gate();
  changed();
  wire::Header grant;
  grant.epoch = epoch_.number + 1;
  grant.number = session->id();
  grant.follows = session->last_number();
  grant.flags = flags;
  session->tell(grant, Type::grant);
  while (granted_away_ && session_ == session && replicating_) {
    co_await gate_changed_.wait();
  }
}

Task<Result<>> Engine::give_baton(GiveFor why) {
  const bool offered = offering_;
  if (!offered) {
    quiesce_reason_ = "the baton is being handed to the other node";
    Result<> quiet = co_await quiesce(false);
    if (!quiet) {
      stop_quiescing();
      co_return quiet;
    }
  }
  const bool still = co_await source_is_still(why);
  if (!still) {
    reached("source-spoke-behind-stopped-admission");
    stop_quiescing();
    co_return failure(fmt::format("{} goes on here: a client was not silent", config_.name));
  }
  const bool has_role = why == GiveFor::who_has_the_role && !mutant("baton-brings-the-role");
  std::uint32_t flags = has_role ? 0 : grant_primary;
  const bool lifts = why == GiveFor::operators_word || mutant("coordinator-lifts-the-fence");
  if (!lifts) flags |= grant_keeps_fence;
  co_await give_baton_to_peer(flags);
  const bool gone = !holding_;
  const bool unknown = granted_away_;
  void_offer("it could not be granted");
  stop_quiescing();
  if (gone) co_return Result<>{};
  if (unknown) {
    reached("grant-unanswered");
    co_return failure(fmt::format(
        "the link to {} was lost while the baton was on its way; writes here are held until the "
        "nodes meet again and know who has it",
        peer_name_));
  }
  co_return failure(
      fmt::format("{} cannot take the baton of {} now: its copy is not UpToDate or it "
                  "is not connected; wait with wait-sync",
                  peer_name_, config_.name));
}

// The baton where the other copy is whole; else the role, and the baton stays with the copy that
// is.
Task<Result<>> Engine::give(GiveFor why) {
  const bool whole = holding_ && peer_can_take_over();
  Task<Result<>> giving = whole ? give_baton(why) : give_role(why);
  co_return co_await std::move(giving);
}

Task<Result<>> Engine::handover_now(std::string to) {
  while (taking_) co_await gate_changed_.wait();
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  if (!has_peer()) co_return failure(fmt::format("{} has no other node", config_.name));
  if (!together()) {
    co_return failure(fmt::format("{} is not connected to {}; handover needs both nodes",
                                  config_.name, peer_name_));
  }
  if (to.empty()) to = holding_ ? peer_name_ : config_.self;
  if (to != config_.self && to != peer_name_) {
    co_return failure(fmt::format("{} has no node {}; it has {} and {}", config_.name, to,
                                  config_.self, peer_name_));
  }
  if (to == peer_name_ && shares()) {
    co_return failure(
        fmt::format("{} is Primary on both nodes, so there is no role to hand over: run secondary "
                    "on the one that is to stop",
                    config_.name));
  }
  if (to == config_.self) {
    if (may_write() || served_) co_return lift_fence();
    if (holding_ && serves_peer()) co_return co_await ask_peer_for_baton(Ask::handover);
    if (holding_ && !granted_away_) co_return co_await take_alone(false, Fence::is_lifted);
    co_return co_await ask_peer_for_baton(Ask::handover);
  }
  if (served_) co_return co_await give_role(GiveFor::operators_word);
  if (!holding_) {
    if (session_->peer_holding) co_return Result<>{};
    co_return failure(fmt::format("{} does not hold the baton of {}", config_.self, config_.name));
  }
  if (quiescing_ && !offering_) {
    co_return failure(
        fmt::format("{} is already stopping its writes for another request", config_.name));
  }
  co_return co_await give(GiveFor::operators_word);
}

// --- D's side ------------------------------------------------------------------------------------

Task<Result<>> Engine::ask_peer_for_baton(Ask why) {
  if (asking_)
    co_return failure(fmt::format("the baton of {} was asked for already", config_.name));
  Session* const session = session_;
  if (!together()) {
    co_return failure(fmt::format("{} is not connected to {}", config_.name, peer_name_));
  }
  asking_ = true;
  answer_.reset();
  wire::Header ask;
  ask.number = session->id();
  ask.epoch = epoch_.number;
  if (why == Ask::first_write) ask.flags = ask_first_write;
  if (why == Ask::promotion && config_.two_primaries) ask.flags = ask_no_primary;
  session->tell(ask, Type::handover_ask);
  const TimePoint deadline = env_.clock.now() + config_.timeout * 2;
  while (!answer_) {
    const bool told = co_await answered_.wait_until(env_.clock, deadline);
    if (!told) break;
  }
  asking_ = false;
  if (!answer_) {
    co_return failure(
        fmt::format("{} did not answer the request for the baton of {}", peer_name_, config_.name));
  }
  Result<> answer = std::move(*answer_);
  answer_.reset();
  co_return answer;
}

// A client of ours wrote while the peer offers the baton. Refused: the source's guest goes on, and
// the one here gets ENOSPC, which pauses it.
Task<> Engine::take_for_first_write() {
  const Result<> taken = co_await ask_peer_for_baton(Ask::first_write);
  if (!taken) {
    log(Journal::Level::warning,
        "the baton was not given for the first write: " + taken.error().message);
    peer_offers_ = false;
  }
  gate_changed_.notify_all();
}

void Engine::granted(const wire::Header& header, Session& session) {
  const bool usable = header.number == session.id() && header.epoch > epoch_.number &&
                      session.peer_holding && replicating_;
  if (!usable) return session.drop("the peer granted a baton that it cannot grant");
  session.scope().spawn(take_granted(header, session));
}

Task<> Engine::take_granted(wire::Header header, Session& session) {
  const bool serves = (header.flags & grant_leaves_role) != 0;
  // Step 4: everything that was acknowledged there is applied here before this node admits.
  while (session.received_number() < header.follows && !session.dropped()) {
    co_await session.bulk_received().wait();
  }
  if (session.dropped()) {
    reached("grant-lost-before-its-writes");
    co_return;
  }
  for (auto& volume : volumes_) co_await volume->applied_all();
  // An ordinary handover has flushed both copies. A disk that has failed could not: what this node
  // takes over must not hang on its cache, for the copy left behind may have it (archived seed
  // 1063268).
  for (auto& volume : volumes_) {
    if (!serves || mutant("takes-over-unflushed")) break;
    blockdev::Request flush;
    flush.op = blockdev::Op::flush;
    co_await perform(volume->disk(), flush);
    if (flush.error == IoError::none) continue;
    co_await flush_failed(*volume);
    co_return;
  }
  if (session.dropped()) co_return;
  session.peer_holding = false;
  epoch_ = {header.epoch, config_.self};
  const bool primary = (header.flags & grant_primary) != 0;
  const Role before = role_;
  if (primary) role_ = Role::primary;
  const bool durable = co_await commit();
  if (!durable) {
    reached("grant-not-durable");
    role_ = before;
    co_return;  // the failed disk has dropped the session; the peer stays what it is
  }
  // From here on this node holds, whatever becomes of the session.
  holding_ = true;
  ++batons_granted_;
  baton_granted_in_ = session.id();
  peer_offers_ = false;
  peer_has_tip_ = true;
  served_ = false;
  if (serves) {
    replicating_ = false;
    session.service = true;
    // What it says of its disk from now on may be late, and is written nothing to from now on.
    const DiskState none = DiskState::diskless;
    if (!mutant("left-disk-counts")) std::ranges::fill(session.peer_disks, none);
  }
  wire::Header reply;
  reply.epoch = header.epoch;
  reply.number = header.number;
  session.tell(reply, Type::taken);
  const bool keeps = (header.flags & grant_keeps_fence) != 0;
  if (primary) {
    role_is_here(keeps ? Fence::stays : Fence::is_lifted);
    close_window("the role is here");
  } else if (mutant("window-closes-with-the-baton")) {
    close_window("the baton is here");
  }
  log(Journal::Level::notice, fmt::format("took the baton from {}: {}, epoch {}", peer_name_,
                                          name_of(role_), epoch_.number));
  answer_ = Result<>{};
  answered_.notify_all();
  update_gate();
  gate_changed_.notify_all();
  tell_status();
  changed();
}

void Engine::handover_refused(const wire::Header& header, std::string reason) {
  // About the window, whoever else is asking for the baton just now.
  if ((header.flags & refused_for_good) != 0) return close_window(reason);
  answer_ = failure(std::move(reason));
  answered_.notify_all();
  gate_changed_.notify_all();
}

void Engine::offered(bool open) {
  peer_offers_ = open && role_ != Role::primary;
  gate_changed_.notify_all();
  changed();
}

// --- S's side ------------------------------------------------------------------------------------

void Engine::asked_for_baton(const wire::Header& header, Session& session) {
  const bool first_write = (header.flags & ask_first_write) != 0;
  if ((header.flags & ask_is_over) != 0) return forget_first_write();
  if ((header.flags & ask_for_window) != 0 && !offering_) return asked_in_window(header, session);
  // Asked before our GRANT, or the role, had arrived there: it is the answer. A refusal would
  // overtake the taking, and the client whose write asked would be refused by a node that is about
  // to be Primary.
  const bool given = session.role_given && !mutant("refused-what-is-given");
  if ((granted_away_ || given) && header.number == session.id()) {
    reached("asked-for-what-is-granted");
    return;
  }
  std::string why;
  if (header.number != session.id() || (!replicating_ && !session.service)) {
    why = "the request belongs to another session";
  } else if (!holding_ && !served_) {
    why = fmt::format("{} does not hold the baton", config_.self);
  } else if (first_write && !offering_) {
    reached("first-write-refused");
    why = fmt::format("{} goes on writing: its own write came first, or nothing was offered",
                      config_.self);
  } else if ((header.flags & ask_no_primary) != 0 && role_ == Role::primary &&
             !mutant("promotions-take-from-a-primary")) {
    reached("promoted-while-the-other-was");
    why = fmt::format("{} has just become Primary on {}: run primary again", config_.name,
                      config_.self);
  } else if (quiescing_ && !offering_) {
    why = fmt::format("{} is stopping its writes for another request", config_.self);
  }
  if (!why.empty()) {
    session.tell({}, Type::handover_refused, std::as_bytes(std::span(why)));
    return;
  }
  struct Give {
    static Task<> run(Engine& engine, std::uint64_t session_id, GiveFor why) {
      const Result<> given = co_await engine.give(why);
      if (given) co_return;
      engine.log(Journal::Level::warning, "handover: " + given.error().message);
      Session* const now = engine.session_;
      if (now != nullptr && now->established() && now->id() == session_id) {
        now->tell({}, Type::handover_refused, std::as_bytes(std::span(given.error().message)));
      }
    }
  };
  const GiveFor why_given = first_write ? GiveFor::coordinator : GiveFor::operators_word;
  scope_.spawn(Give::run(*this, session.id(), why_given));
}

void Engine::taken(const wire::Header& header) {
  if (session_ == nullptr || !granted_away_ || header.number != session_->id() ||
      header.epoch != epoch_.number + 1) {
    if (session_ != nullptr) session_->drop("the peer took a baton that was not granted");
    return;
  }
  epoch_ = {header.epoch, peer_name_};
  holding_ = false;
  granted_away_ = false;
  session_->peer_holding = true;
  if (granted_disk_) {
    is_served_from_now_on(*session_);
    update_gate();
    gate_changed_.notify_all();
    tell_status();
    return changed();
  }
  role_ = Role::secondary;
  session_->peer_role = Role::primary;  // its status follows
  note_clients_are_flushed();
  log(Journal::Level::notice,
      fmt::format("{} has the baton: Secondary, epoch {}", peer_name_, epoch_.number));
  struct Record {
    static Task<> run(Engine& engine) { co_await engine.commit(); }
  };
  scope_.spawn(Record::run(*this));
  update_gate();
  gate_changed_.notify_all();
  tell_status();
  changed();
}

// From the peer's first write on their memory is older than the disk: when the role leaves they are
// fenced, and stay so when it comes back, unless an operator brings it (design section 4, "The
// fence and going back"; schedules: client-gone-baton-back).
void Engine::role_is_here(Fence fence) {
  // Whatever takes it from here again: it is not taken once more by itself.
  if (!mutant("shares-against-the-operator")) resume_shared_ = false;
  for (auto& volume : volumes_) {
    for (ClientDevice& client : volume->clients()) {
      if (fence == Fence::stays && fenced(client)) continue;
      client.knows_the_disk = true;
      client.term = role_.times_left();
    }
  }
}

bool Engine::fenced(const ClientDevice& client) const {
  return client.knows_the_disk && client.term != role_.times_left() &&
         !mutant("fence-is-forgotten");
}

// The operator's word, on a node that is Primary.
Result<> Engine::lift_fence() {
  role_is_here(Fence::is_lifted);
  gate_changed_.notify_all();
  return {};
}

// Only where it is true: what is noted as unflushed is what a later flush may not be answered for
// (rule 2).
void Engine::note_clients_are_flushed() {
  for (auto& volume : volumes_) {
    for (ClientDevice& client : volume->clients()) client.unflushed_writes = false;
  }
}

Task<Result<>> Engine::offer_now() {
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  if (offering_) co_return Result<>{};
  if ((!may_write() && !served_) || granted_away_) {
    co_return failure(fmt::format("{} is not Primary on {}", config_.name, config_.self));
  }
  if (!together()) {
    co_return failure(fmt::format("{} cannot be offered: {} is not connected; wait with wait-sync",
                                  config_.name, peer_name_));
  }
  if (shares()) {
    co_return failure(
        fmt::format("{} is Primary on both nodes: there is nothing to offer", config_.name));
  }
  if (quiescing_) {
    co_return failure(
        fmt::format("{} is already stopping its writes for another request", config_.name));
  }
  Session* const session = session_;
  quiesce_reason_ = "the baton is offered to the other node";
  Result<> quiet = co_await quiesce(true);
  if (!quiet || session_ != session || !together()) {
    reached("offer-not-made");
    if (together()) session_->tell({}, Type::offer_void);
    stop_quiescing();
    if (!quiet) co_return quiet;
    co_return failure(
        fmt::format("the link to {} was lost; {} goes on here", peer_name_, config_.name));
  }
  offering_ = true;
  // Once more: somebody's write there may have asked too early, and the refusal ended the first.
  session_->tell({}, Type::offer);
  gate_changed_.notify_all();  // a write that is held already decides at once
  clients_moved_.notify_all();
  changed();
  co_return Result<>{};
}

// The own client's write came first (it decides, design §4 "Who asks (b)"), the offer was taken
// back, or its session has ended.
void Engine::void_offer(std::string_view why) {
  if (!offering_ || granted_away_) return;
  offering_ = false;
  quiescing_ = false;
  if (session_ != nullptr && session_->established()) session_->tell({}, Type::offer_void);
  log(Journal::Level::notice, fmt::format("the offer is void: {}", why));
  update_gate();
  gate_changed_.notify_all();
  changed();
}

Task<Result<>> Engine::grant_offered_now() {
  const bool gone = holding_ ? serves_peer() : epoch_.holder == peer_name_;
  if (role_ != Role::primary && gone) co_return Result<>{};
  if (!offering_) {
    co_return failure(
        fmt::format("no offer of {} is open: a client on {} has written since, and goes "
                    "on",
                    config_.name, config_.self));
  }
  // Nothing may come between the check and the grant: give() starts at once.
  co_return co_await give(GiveFor::coordinator);
}

Task<Result<>> Engine::withdraw_offer() {
  if (role_ != Role::primary || granted_away_) {
    co_return failure(fmt::format("the baton of {} has gone to {}", config_.name, peer_name_));
  }
  void_offer("it was taken back");
  co_return Result<>{};
}

}  // namespace baton::replication
