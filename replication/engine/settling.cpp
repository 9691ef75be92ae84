// The handshake: who is there, what each side has, what follows from it, made durable before it is
// acted on (design §4, §5, §7; docs/wire-protocol.md "Settling").
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"
#include "replication/engine/meeting_facts.h"

namespace baton::replication {

using wire::Type;

namespace {

std::string text_of(const Buffer& payload) {
  return {reinterpret_cast<const char*>(payload.data()), payload.size()};
}

}  // namespace

// The next message must be of this type; a goodbye says why not.
Task<bool> Session::expect(Type type, Incoming& message) {
  const bool came = co_await receiver_.next(message);
  if (!came) {
    note_loss();
    co_return false;
  }
  if (message.type() == Type::goodbye) {
    fault_ = text_of(message.payload);
    co_return false;
  }
  if (message.type() != type) {
    fault_ = fmt::format("the peer sent '{}' where '{}' belongs",
                         wire::kind_of(message.header.type)->name,
                         wire::kind_of(static_cast<std::uint16_t>(type))->name);
    co_return false;
  }
  co_return true;
}

Task<bool> Session::exchange_hello() {
  const ResourceConfig& config = engine_.config();
  own_hello_.version_lowest = config.version_lowest;
  own_hello_.version_highest = config.version_highest;
  own_hello_.resource = config.name;
  own_hello_.from = config.self;
  own_hello_.to = engine_.peer_name_;
  own_hello_.volumes = static_cast<std::uint32_t>(config.volumes.size());
  own_hello_.protocol = static_cast<std::uint8_t>(name_of(config.protocol).front());
  own_hello_.instance = engine_.instance_;
  own_hello_.after_sb = text_of(config.after_sb);
  if (config.two_primaries) own_hello_.features |= wire::feature_two_primaries;
  for (std::size_t i = 0; i < own_hello_.nonce.size(); i += 8) {
    const std::uint64_t word = engine_.env().random.next();
    std::memcpy(own_hello_.nonce.data() + i, &word, 8);
  }
  tell({}, Type::hello, wire::encode(own_hello_));

  Incoming message;
  const bool came = co_await expect(Type::hello, message);
  if (!came) co_return false;
  auto hello = wire::decode_hello(message.payload.span());
  if (!hello) {
    refuse(hello.error());
    co_return false;
  }
  peer_hello_ = std::move(*hello);
  std::string why;
  if (peer_hello_.version_lowest > config.version_highest ||
      peer_hello_.version_highest < config.version_lowest) {
    why = fmt::format("{} speaks protocol versions {} to {}, {} speaks {} to {}: upgrade the older",
                      peer_hello_.from, peer_hello_.version_lowest, peer_hello_.version_highest,
                      config.self, config.version_lowest, config.version_highest);
  } else if ((peer_hello_.features & ~wire::features_known) != 0) {
    why = fmt::format("{} asks for features that {} does not know: upgrade it", peer_hello_.from,
                      config.self);
  } else if (peer_hello_.features != own_hello_.features) {
    const bool here = config.two_primaries;
    why = fmt::format(
        "{} allows two primaries of {} and {} does not: make allow-two-primaries the "
        "same in both configurations",
        here ? config.self : peer_hello_.from, config.name, here ? peer_hello_.from : config.self);
  } else if (peer_hello_.resource != config.name) {
    why = fmt::format(
        "{} greets for resource {}, this is {}: compare the addresses in both "
        "configurations",
        peer_hello_.from, peer_hello_.resource, config.name);
  } else if (peer_hello_.from != engine_.peer_name_ || peer_hello_.to != config.self) {
    why = fmt::format(
        "a node that calls itself {} greets {}, expected was {} greeting {}: compare "
        "the node names in both configurations",
        peer_hello_.from, peer_hello_.to, engine_.peer_name_, config.self);
  } else if (peer_hello_.volumes != own_hello_.volumes) {
    why = fmt::format("{} has {} volumes in {}, {} has {}: make the configurations the same",
                      peer_hello_.from, peer_hello_.volumes, config.name, config.self,
                      own_hello_.volumes);
  } else if (peer_hello_.protocol != own_hello_.protocol) {
    const bool known = peer_hello_.protocol >= 'A' && peer_hello_.protocol <= 'C';
    why = fmt::format("{} has protocol {} for {}, {} has {}: make the configurations the same",
                      peer_hello_.from, known ? static_cast<char>(peer_hello_.protocol) : '?',
                      config.name, config.self, name_of(config.protocol));
  } else if (peer_hello_.after_sb != own_hello_.after_sb) {
    why = fmt::format(
        "{} has after-sb-0pri and after-sb-1pri {} for {}, {} has {}: make the "
        "configurations the same",
        peer_hello_.from, peer_hello_.after_sb, config.name, config.self, own_hello_.after_sb);
  }
  const bool welcome = why.empty();
  if (!welcome) refuse(why);
  co_return welcome;
}

Task<bool> Session::exchange_proof() {
  const std::string& secret = engine_.config().secret;
  const Proof ours = prove(secret, own_hello_, peer_hello_);
  tell({}, Type::proof, ours);
  Incoming message;
  const bool came = co_await expect(Type::proof, message);
  if (!came) co_return false;
  if (!same_proof(prove(secret, peer_hello_, own_hello_), message.payload.span())) {
    refuse(
        fmt::format("{} and {} do not share the same secret for {}: compare `secret` in both "
                    "configurations",
                    peer_hello_.from, engine_.config().self, engine_.config().name));
    co_return false;
  }
  co_return true;
}

Task<bool> Session::greet() {
  scope_.spawn(sender_.run());
  const bool met = co_await exchange_hello();
  if (!met) co_return false;
  const bool proven = co_await exchange_proof();
  if (!proven) co_return false;
  peer_ = peer_hello_.from;
  co_return true;
}

wire::State Engine::describe(Session& session) const {
  wire::State state;
  state.epoch = epoch_;
  state.holding = holding_ && !granted_away_;
  state.primary = role_ == Role::primary;
  state.served = role_ == Role::primary && (served_ || granted_disk_);
  state.wrote_alone = wrote_alone_;
  state.resume_primary = resume_primary_;
  state.complete = complete();
  state.adopted = adopted_;
  state.discard_my_data = discard_my_data_;
  state.undo_first = undo_first();
  state.gives_up = gives_copy_up();
  state.writer = holding_ && (!granted_away_ || mutant("grantor-counts-as-writer"));
  state.peer_lacks = peer_lacks_;
  state.arrival = static_cast<std::uint8_t>(arrival_);
  state.lineage = lineage_;
  state.towards = towards_;
  state.slot_base = slot_.base_id;
  state.slot_told = slot_.told_id;
  state.session = {slot_.session.number, slot_.session.id};
  state.confirmed = {slot_.confirmed.number, slot_.confirmed.id};
  state.new_session_id = session.own_state_.new_session_id;
  for (const auto& volume : volumes_) {
    state.volumes.push_back({.size = volume->size(),
                             .disk_state = static_cast<std::uint8_t>(disk_state(*volume)),
                             .bits = volume->metadata_bits_set() / blockdev::block_bytes});
  }
  return state;
}

Task<bool> Session::exchange_bits() {
  // The peer's are kept apart: only a verdict that settles something makes the union of both
  // (design §5), and in split brain each side goes on knowing what it alone has changed.
  constexpr std::uint64_t words_per_message = wire::control_bytes_max / 8;
  peer_bits_.clear();
  for (auto& volume : engine_.volumes()) {
    peer_bits_.emplace_back(volume->size());
    if (!volume->attached()) continue;
    const blockdev::Bitmap& bits = volume->bits();
    for (std::uint64_t word = 0; word < bits.words(); word += words_per_message) {
      std::vector<le64> chunk;
      bool any = false;
      const std::uint64_t end = std::min(bits.words(), word + words_per_message);
      for (std::uint64_t at = word; at < end; ++at) {
        chunk.push_back(le64(bits.word(at)));
        any = any || bits.word(at) != 0;
      }
      if (!any) continue;
      wire::Header header;
      header.volume = static_cast<std::uint16_t>(volume->index());
      header.number = word;
      tell(header, Type::bits, std::as_bytes(std::span(chunk)));
    }
  }
  tell({}, Type::bits_end);
  for (;;) {
    Incoming message;
    const bool came = co_await receiver_.next(message);
    if (!came) {
      note_loss();
      co_return false;
    }
    if (message.type() == Type::bits_end) co_return true;
    if (message.type() == Type::goodbye) {
      fault_ = text_of(message.payload);
      co_return false;
    }
    const bool usable = message.type() == Type::bits &&
                        message.header.volume < engine_.volumes().size() &&
                        message.payload.size() % 8 == 0;
    if (!usable) {
      refuse("a bitmap message is malformed");
      co_return false;
    }
    blockdev::Bitmap& bits = peer_bits_[message.header.volume];
    const std::uint64_t first = message.header.number;
    const std::uint64_t count = message.payload.size() / 8;
    if (first > bits.words() || count > bits.words() - first) {
      refuse("a bitmap message lies outside the volume");
      co_return false;
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      le64 word;
      std::memcpy(&word, message.payload.data() + i * 8, 8);
      bits.merge_word(first + i, word);
    }
  }
}

Task<bool> Session::settle() {
  own_state_.new_session_id = engine_.env().random.next_id();
  own_state_ = engine_.describe(*this);
  tell({}, Type::state, wire::encode(own_state_));
  Incoming message;
  bool came = co_await expect(Type::state, message);
  if (!came) co_return false;
  auto state = wire::decode_state(message.payload.span());
  if (!state || state->volumes.size() != engine_.volumes().size()) {
    refuse(state ? "the state names other volumes than the greeting" : state.error());
    co_return false;
  }
  peer_state_ = std::move(*state);
  engine_.epoch_seen_ = std::max(engine_.epoch_seen_, peer_state_.epoch.number);
  // The record that lets this node go on by itself is older than what the peer has seen.
  const bool past = is_from_the_past(own_state_.session, peer_state_.confirmed);
  if (past || peer_state_.epoch.number > own_state_.epoch.number) engine_.resume_primary_ = false;

  came = co_await exchange_bits();
  if (!came) co_return false;

  const Result<> applied = co_await engine_.apply_verdicts(*this);
  // The union is made. In a split brain they still say what the other alone has changed.
  if (verdict.action != Action::split_brain) peer_bits_ = {};
  if (!applied) {
    refuse(applied.error().message);
    co_return false;
  }
  tell({}, Type::ready);
  came = co_await expect(Type::ready, message);
  if (!came) co_return false;
  const bool confirmed = co_await engine_.confirm_session(*this);
  if (!confirmed) co_return false;
  for (const wire::VolumeState& volume : peer_state_.volumes) {
    peer_disks.push_back(static_cast<DiskState>(volume.disk_state));
  }
  co_return true;
}

Task<Result<>> Engine::apply_verdicts(Session& session) {
  const wire::State& own = session.own_state_;
  const wire::State& peer = session.peer_state_;
  const std::string& name = session.peer_;
  for (std::size_t i = 0; i < volumes_.size(); ++i) {
    if (own.volumes[i].size != peer.volumes[i].size) {
      co_return failure(fmt::format(
          "volume {} of {} has {} bytes on {} and {} bytes on {}: make the smaller disk larger, or "
          "set `size` in the configuration and run create-md again on the empty side",
          i, config_.name, own.volumes[i].size, config_.self, peer.volumes[i].size, name));
    }
  }
  if (!own.has_disks() || !peer.has_disks()) co_return co_await apply_service(session);
  const CopyFacts own_facts = copy_facts(config_.self, own, peer);
  const CopyFacts peer_facts = copy_facts(name, peer, own);
  const Verdict verdict = replication::settle(own_facts, peer_facts, config_.protocol);
  const BatonVerdict baton = assign_baton(baton_facts(config_.self, own, config_.two_primaries),
                                          baton_facts(name, peer, config_.two_primaries), verdict);
  session.verdict = verdict;
  log(Journal::Level::notice,
      fmt::format("settling with {}: data {}, baton {} (holder {}, epoch {})", name, verdict.row,
                  baton.row, baton.holder.empty() ? "nobody" : baton.holder, baton.epoch));
  if (verdict.action == Action::refuse) {
    co_return failure(fmt::format("{} and {} cannot replicate {}: {}", config_.self, name,
                                  config_.name, verdict.sentence));
  }

  slot_.name = name;
  session.stamp_ = {std::max(own.session.number, peer.session.number) + 1,
                    own.new_session_id ^ peer.new_session_id};
  split_brain_.reset();
  if (verdict.action == Action::split_brain || baton.row == "both-wrote") {
    session.verdict.action = Action::split_brain;
    split_brain_ = describe_split_brain(session);
    log(Journal::Level::error, "split brain: " + split_brain_->reason);
    if (env_.handlers.configured(Handler::split_brain)) env_.handlers.start(Handler::split_brain);
    ask_policy(session);
    if (own.discard_my_data && peer.discard_my_data) {
      reached("both-told-to-yield");
      log(Journal::Level::warning,
          "both nodes were told that their data yields: neither does, until one is told anew");
      take_word_back();
    }
    co_return Result<>{};
  }
  if (verdict.action == Action::wait) co_return Result<>{};
  const bool given_up = verdict.action == Action::everything &&
                        verdict.direction == Direction::peer_to_self && own.discard_my_data &&
                        loses_history(own.lineage, peer.lineage);
  if (given_up && !undo_is_of(peer)) {
    co_return failure(
        fmt::format("{} of {} first keeps what it has alone", config_.name, config_.self));
  }

  slot_.session = session.stamp_;
  to_be_copied_to_ = false;  // by an earlier session, that ended while it was being settled
  const bool fill_anew = fills_anew(own, peer) || fills_anew(peer, own);
  bool bits_set = false;
  for (auto& volume : volumes_) {
    const blockdev::Bitmap& told = session.peer_bits_[volume->index()];
    if (!mutant("peer-bits-ignored")) volume->bits().merge(told);
    if (verdict.action == Action::everything || fill_anew) volume->bits().set_all();
    bits_set = bits_set || volume->bits().blocks_set() > 0;
    const IoError written = co_await volume->metadata().write_bitmap(0);
    if (written != IoError::none) {
      disk_failed(*volume, "writing the bitmap");
      co_return failure("the metadata device failed; see the log");
    }
  }
  const bool self_source = verdict.direction == Direction::self_to_peer;
  const bool copying = bits_set || verdict.action != Action::settle_bits;
  // A target that died between the adoption of the lineage in one volume and in the next has all
  // blocks and no bits, and still has to be told that it is complete.
  const bool both_complete = own_facts.complete && peer_facts.complete;
  if (!copying && !both_complete) reached("no-bits-and-not-complete");
  if (verdict.action == Action::settle_bits && !bits_set && both_complete) {
    session.verdict.direction = Direction::none;  // nothing to settle
    slot_.base_id = lineage_.empty() ? 0 : lineage_.back();
    slot_.told_id = 0;
    slot_.behind = false;
  } else if (!self_source) {
    to_be_copied_to_ = true;
    // The lineages alone would not say so in the next session: the stamp is the only thing that
    // tells this copy from a good one, and it is about to be made anew.
    if (verdict.action == Action::everything && !mutant("past-not-recorded") &&
        compare(own.lineage, peer.lineage) == Relation::equal) {
      reached("past-recorded-while-settling");
      towards_ = peer.lineage;
      inconsistent_.assign(volumes_.size(), true);
    }
  } else {
    if (verdict.action == Action::everything) {
      slot_.base_id = peer.lineage.empty() ? 0 : peer.lineage.back();
      slot_.told_id = 0;
    }
    slot_.behind = true;
    if (verdict.action == Action::settle_bits && !mutant("source-keeps-the-tip")) {
      // From here on its clients are shown what may be on this copy alone, and rely on it: the
      // other must not be chosen the next time, whatever becomes of this one (schedules:
      // read-from-the-source-that-dies).
      slot_.base_id = lineage_.empty() ? 0 : lineage_.back();
      slot_.told_id = 0;
      const bool overrules = co_await begin_generation("the source for " + name);
      if (!overrules) co_return failure("the metadata device failed; see the log");
      if (!every_volume_usable()) {
        reached("chosen-source-has-failed");
        co_return failure(fmt::format("the disk of {} failed a flush; see its log", config_.self));
      }
    }
  }
  epoch_ = {baton.epoch, baton.holder};
  holding_ = baton.holder == config_.self;
  // A handover has flushed everything before its grant.
  const bool flushed = granted_away_ && !granted_disk_;
  granted_away_ = false;
  if (baton.self_demoted) {
    log(Journal::Level::warning, fmt::format("no longer Primary: {} holds the baton", name));
    role_ = Role::secondary;
    if (flushed) note_clients_are_flushed();
  }
  if (baton.self_promoted && holding_) {
    reached("baton-resumed-with-the-peer");
    role_ = Role::primary;
    role_is_here(Fence::stays);
  }
  resume_primary_ = false;
  // "Nobody can have written since the stop" ends here: the peer may go on without us, as soon as
  // it is told that this is durable, whether this node hears that the session has begun or not.
  const DiskState without_witness = outdated_ ? DiskState::outdated : DiskState::consistent;
  if (!mutant("last-to-leave-for-good")) unvouched_ = without_witness;
  const bool durable = co_await commit();
  if (!durable) co_return failure("the metadata device failed; see the log");
  peer_has_tip_ = !copying || !self_source;
  session.peer_holding = baton.holder == name;
  session.peer_role = peer.primary ? Role::primary : Role::secondary;
  served_ = role_ == Role::primary && !holding_;
  granted_disk_ = false;
  co_return Result<>{};
}

// The peer has stamped the session as well. Durable before any write of it is acknowledged: from
// then on, whichever copy does not have the stamp is an older one (schedules: disk-from-the-past).
Task<bool> Engine::confirm_session(Session& session) {
  const Action action = session.verdict.action;
  if (action == Action::split_brain || action == Action::wait) co_return true;
  slot_.confirmed = session.stamp_;
  // What this copy lacks it lacks until it was copied here.
  const bool target = session.verdict.direction == Direction::peer_to_self;
  if (!target) {
    arrival_ = Arrival::lived_through;
    outdated_ = false;
  }
  const bool durable = co_await commit();
  if (!durable) {
    reached("session-refused-for-metadata");
    session.refuse("this node's metadata device has failed");
  }
  co_return durable;
}

void Engine::session_established(Session& session) {
  last_error_.clear();
  const bool writes =
      session.verdict.action != Action::split_brain && session.verdict.action != Action::wait;
  replicating_ = writes;
  sync_ready_ = false;
  if (session.service) unmet_ = false;
  if (writes) {
    wrote_alone_ = false;
    unmet_ = false;
    told_to_go_on_ = peer_left_ = false;
    unvouched_ = DiskState::consistent;
    // Until it is durably a target the operator's word stands: the session may be lost first.
    if (session.verdict.direction != Direction::peer_to_self) take_word_back();
  }
  update_gate();
  tell_status();
  if (writes && session.verdict.direction == Direction::self_to_peer) {
    session.scope().spawn(sync_everything(session));
  } else {
    baton_follows_role();
  }
  if (!writes && split_brain_) yield_unasked(session);
  // The baton was on its way here when this copy was given up, and is the peer's again.
  if (gives_copy_up() && session.peer_holding &&
      !fills_anew(session.own_state_, session.peer_state_)) {
    reached("invalidate-settled-once-more");
    session.drop("this node's copy is given up");
  }
  done_writes_.belong_to(session.peer_instance());
  share_again();
  session_changed_.notify_all();
  gate_changed_.notify_all();
  changed();
}

}  // namespace baton::replication
