// The destination's first write brings the role, where a window was opened for it (design §4 "Who
// asks" (c)). docs/handover.md "The first write decides" draws both sides; whether it is granted
// decides core/first_write.cpp.
//
//   D (window open)                                S (Primary)
//   a client writes: held, until its deadline
//   handover-ask (in a window)                 ->  waits until its clients are gone, or are silent
//                                                  and stay so behind stopped admission and a flush
//                                              <-  GRANT, or refused for good
//   the window closes; admits, or ENOSPC
//
// Nothing of it is durable: a window ends with its daemon, a question with its session, and D asks
// again in the next one while its write is held.
#include <fmt/format.h>

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"
#include "replication/engine/grant_flags.h"

namespace baton::replication {

using wire::Type;

namespace {

// S looks again after so long where nobody tells it that something has changed.
constexpr Duration ask_again_after = std::chrono::milliseconds(100);
// What lay in a client's socket when admission stopped has been read after this: the answer to the
// flush behind it came through the loop, too, and the timer once more.
constexpr Duration sockets_are_read = std::chrono::microseconds(100);

}  // namespace

// --- D: the window -------------------------------------------------------------------------------

Task<Result<>> Engine::allow_now(Duration time) {
  Result<> ready = co_await not_settling();
  if (!ready) co_return ready;
  if (!has_peer()) co_return failure(fmt::format("{} has no other node", config_.name));
  if (role_ == Role::primary) co_return Result<>{};
  if (!together()) {
    co_return failure(
        fmt::format("{} is not connected to {}, so no first write can bring the baton here; "
                    "wait with wait-connect",
                    config_.name, peer_name_));
  }
  window_open_ = true;
  ++windows_;
  log(Journal::Level::notice, "a handover window is open: the first write here brings the baton");
  struct Close {
    static Task<> run(Engine& engine, std::uint64_t window, TimePoint until) {
      while (engine.window_open_ && engine.windows_ == window) {
        const bool told = co_await engine.gate_changed_.wait_until(engine.env_.clock, until);
        if (told) continue;
        if (engine.windows_ == window) engine.close_window("nobody wrote in time");
        break;
      }
    }
  };
  scope_.spawn(Close::run(*this, windows_, env_.clock.now() + time));
  gate_changed_.notify_all();
  changed();
  co_return Result<>{};
}

Task<Result<>> Engine::deny_first_write() {
  if (window_open_) {
    close_window("it was told to");
  } else if (session_ != nullptr && session_->established()) {
    refuse_first_write("the operator has closed the window");
  }
  co_return Result<>{};
}

void Engine::close_window(std::string_view why) {
  if (!std::exchange(window_open_, false)) return;
  log(Journal::Level::notice, fmt::format("the handover window is closed: {}", why));
  gate_changed_.notify_all();
  changed();
}

// --- D: the question -----------------------------------------------------------------------------

bool Engine::can_ask_in_window() const {
  // Also where the baton is here: the other node may be Primary, served from here (5003271).
  return !asking_ && !taking_ && !granted_away_ && together();
}

Task<> Engine::ask_in_window() {
  asking_ = true;
  answer_.reset();
  const bool own = holding_ && session_->peer_role != Role::primary && !session_->role_given;
  if (own) {
    const Result<> taken = co_await take_alone(false, Fence::stays);
    if (!taken) close_window(taken.error().message);
    asking_ = false;
    gate_changed_.notify_all();
    co_return;
  }
  const std::uint64_t session = session_->id();
  const auto in_session = [&] {
    return session_ != nullptr && session_->established() && session_->id() == session;
  };
  wire::Header ask;
  ask.number = session;
  ask.epoch = epoch_.number;
  ask.flags = ask_first_write | ask_for_window;
  session_->tell(ask, Type::handover_ask);
  while (!answer_ && in_session() && window_open_ && writes_in_window_ > 0) {
    co_await gate_changed_.wait();
  }
  if (!answer_ && in_session()) {
    reached("first-write-taken-back");
    ask.flags |= ask_is_over;
    session_->tell(ask, Type::handover_ask);
  }
  answer_.reset();
  asking_ = false;
  gate_changed_.notify_all();
}

// --- S -------------------------------------------------------------------------------------------

void Engine::guest_is(GuestWord word) {
  const GuestWord before = std::exchange(guest_word_, word);
  const bool stopped = word == GuestWord::stopped;
  log(Journal::Level::notice, stopped ? "the guest here has stopped" : "the guest here runs");
  if (mutant("resumed-guest-is-overruled")) return;
  if (word == GuestWord::running && (before == GuestWord::stopped || first_write_asked_ != 0)) {
    source_resumed_ = true;
    if (first_write_asked_ == 0) refuse_first_write("the guest was resumed on the other node");
  }
  clients_moved_.notify_all();
}

// A request that is no flush; behind the word "stopped" it shows that the word is not true any
// more.
void Engine::client_spoke(const ClientDevice& client) {
  if (!is_guest(client) && !mutant("who-is-left-behind-speaks")) return;
  if (guest_word_ == GuestWord::stopped) guest_word_ = GuestWord::unknown;
  if (first_write_asked_ == 0) return;
  source_spoke_ = true;
  clients_moved_.notify_all();
}

void Engine::client_left() {
  if (minds_clients()) clients_moved_.notify_all();
}

SourceFacts Engine::source_facts() {
  SourceFacts facts{
      .spoke = source_spoke_,
      .resumed = source_resumed_,
      // The coordinator's word is as good.
      .word = offering_ && !mutant("offer-is-no-answer") ? GuestWord::stopped : guest_word_,
      .may_guess = config_.handover_on_silence};
  facts.clients = has_guests();
  facts.silent = env_.clock.now() >= silent_at();
  return facts;
}

// Whose memory may be what the disk belongs to.
bool Engine::is_guest(const ClientDevice& client) const {
  return role_ == Role::primary && !fenced(client) && !client.only_reads;
}

bool Engine::has_guests() {
  return std::ranges::any_of(volumes_, [this](const auto& volume) {
    return std::ranges::any_of(volume->clients(),
                               [this](const ClientDevice& client) { return is_guest(client); });
  });
}

// When silence that has begun is long enough; never() where somebody has yet to begin.
TimePoint Engine::silent_at() {
  TimePoint at{};
  for (auto& volume : volumes_) {
    for (const ClientDevice& client : volume->clients()) {
      if (!is_guest(client)) continue;
      if (client.silent_since == TimePoint::never()) return TimePoint::never();
      at = std::max(at, client.silent_since + silence_that_counts);
    }
  }
  return at;
}

void Engine::asked_in_window(const wire::Header& header, Session& session) {
  if (header.number != session.id() || granted_away_) return;
  first_write_asked_ = session.id();
  source_spoke_ = source_resumed_ = false;
  if (!judging_) scope_.spawn(judge_first_write());
}

bool Engine::first_write_waits() const {
  return first_write_asked_ != 0 && session_ != nullptr && session_->established() &&
         session_->id() == first_write_asked_;
}

Task<> Engine::judge_first_write() {
  judging_ = true;
  std::string_view row;
  while (first_write_waits()) {
    const FirstWriteVerdict verdict = decide_first_write(source_facts());
    if (verdict.row != row) {
      row = verdict.row;
      log(Journal::Level::notice, fmt::format("a first write on {}: {}", peer_name_, row));
    }
    if (verdict.action == FirstWriteAction::refuse) {
      reached("first-write-refused-for-good");
      refuse_first_write(verdict.sentence);
      break;
    }
    TimePoint again = env_.clock.now() + ask_again_after;
    if (verdict.action == FirstWriteAction::grant) {
      const bool guessed = verdict.row == "source-silent";
      const Result<> given = co_await give_for_first_write(guessed);
      if (given || !first_write_waits()) break;
      log(Journal::Level::warning, "handover: " + given.error().message);
      if (source_spoke_ || source_resumed_) continue;
    } else if (const TimePoint silent = silent_at(); silent > env_.clock.now()) {
      again = std::min(again, silent);
    }
    co_await clients_moved_.wait_until(env_.clock, again);
  }
  first_write_asked_ = 0;
  judging_ = false;
}

Task<Result<>> Engine::give_for_first_write(bool guessed) {
  if (!holding_ && !served_) {
    co_return failure(fmt::format("{} does not hold the baton", config_.self));
  }
  if (quiescing_ && !offering_) {
    co_return failure(fmt::format("{} is stopping its writes for another request", config_.self));
  }
  const GiveFor why = guessed ? GiveFor::silent_source : GiveFor::first_write;
  co_return co_await give(why);
}

// Admission is stopped and everything is flushed. What a client had sent before that has been read
// when the loop has turned: a timer that fired late, because the process was paused, shows nothing
// (rule 11).
Task<bool> Engine::source_is_still(GiveFor why) {
  if (why != GiveFor::first_write && why != GiveFor::silent_source) co_return true;
  while (why == GiveFor::silent_source) {
    const TimePoint began = env_.clock.now();
    co_await sleep_for(env_.clock, sockets_are_read);
    if (env_.clock.now() - began < silence_that_counts) break;
  }
  co_return !source_spoke_ && !source_resumed_ && first_write_asked_ != 0;
}

// Nobody waits for this node's word any more.
void Engine::forget_first_write() {
  first_write_asked_ = 0;
  clients_moved_.notify_all();
}

void Engine::refuse_first_write(std::string_view why) {
  forget_first_write();
  if (session_ == nullptr || !session_->established()) return;
  wire::Header header;
  header.flags = refused_for_good;
  session_->tell(header, Type::handover_refused, std::as_bytes(std::span(why)));
}

}  // namespace baton::replication
