#include "replication/engine/session.h"

#include <fmt/format.h>

#include <cstring>

#include "base/mark.h"
#include "replication/engine/engine.h"

namespace baton::replication {

using wire::Type;

Session::Session(Engine& engine, Link link)
    : engine_(engine),
      link_(std::move(link)),
      sender_(engine.env().loop, *link_),
      receiver_(*link_, engine.env().buffers),
      scope_(engine.env().loop),
      sent_(window_writes, nullptr),
      window_moved_(engine.env().loop),
      bulk_received_(engine.env().loop),
      wake_watch_(engine.env().loop) {}

void Session::drop(std::string reason) {
  if (fault_.empty()) fault_ = std::move(reason);
  dropped_ = true;
  link_->close();
  bulk_received_.notify_all();
  wake_watch_.notify_all();
}

void Session::refuse(const std::string& reason) {
  if (fault_.empty()) fault_ = reason;
  tell({}, Type::goodbye,
       std::as_bytes(std::span(reason.data(), std::min<std::size_t>(reason.size(), 1000))));
}

// The link is gone without a word of the peer's: says less than any reason given before.
void Session::note_loss() {
  if (!fault_.empty()) return;
  fault_ = receiver_.fault();
  fault_is_a_reason_ = false;
}

void Session::send(SentWrite& write, Type type) {
  write.number = next_number_++;
  write.sent_at = engine_.env().clock.now();
  write.header.number = write.number;
  write.header.epoch = engine_.epoch().number;
  bytes_in_window_ += write.payload.size();
  sent_[write.number % window_writes] = &write;
  sender_.bulk(write, type);
}

bool Session::window_full() const {
  return next_number_ - oldest_number_ >= window_writes || bytes_in_window_ >= window_bytes;
}

void Session::forward(PeerRequest& request, OutMessage& message, Type type, std::uint64_t id) {
  request.number = wire::client_number | id;
  request.sent_at = engine_.env().clock.now();
  request.answered->add();
  asked_.push_back(request);
  message.header.number = request.number;
  message.header.follows = engine_.own_writes().oldest();
  message.header.epoch = engine_.epoch().number;
  sender_.bulk(message, type);
}

void Session::ask(PeerRequest& request, wire::Header header, Type type) {
  request.number = next_request_++;
  request.sent_at = engine_.env().clock.now();
  request.answered->add();
  asked_.push_back(request);
  header.number = request.number;
  sender_.urgent(header, type);
}

// Who holds the baton may, and in a region that was lent to it the other node. An older epoch than
// ours is a node that has not heard that its baton is gone (design §4).
bool Session::may_write_here(const wire::Header& header, const Volume& volume) {
  const bool may = peer_holding || volume.lent_to_peer(header);
  if (header.epoch == engine_.epoch().number && may) return true;
  reached("write-of-an-old-epoch");
  drop(
      fmt::format("the peer writes in epoch {} without holding the baton, or a region that is lent "
                  "to it (epoch "
                  "{} here)",
                  static_cast<std::uint64_t>(header.epoch), engine_.epoch().number));
  return false;
}

void Session::dispatch(Incoming& message) {
  const wire::Header& header = message.header;
  const wire::Kind& kind = *wire::kind_of(header.type);
  if (kind.phase == wire::Phase::settling || message.type() == Type::hello ||
      message.type() == Type::proof) {
    return drop(fmt::format("the peer sent '{}' in the middle of a session", kind.name));
  }
  auto& volumes = engine_.volumes();
  if (header.volume >= volumes.size()) return drop("the peer named a volume that does not exist");
  Volume& volume = *volumes[header.volume];
  const Type type = message.type();
  const bool ranged = type == Type::write || type == Type::zero || type == Type::read ||
                      type == Type::client_write || type == Type::client_zero ||
                      type == Type::sums_ask;
  const bool inside =
      header.length <= volume.size() && header.offset <= volume.size() - header.length;
  if (ranged && !inside) {
    return drop("the peer named a range past the end of the volume");
  }

  switch (message.type()) {
    case Type::write:
    case Type::zero:
      if (!may_write_here(header, volume)) return;
      if (header.number != received_number_ + 1) return drop("the peer skipped a write");
      received_number_ = header.number;
      volume.apply(std::move(message), *this);
      return bulk_received_.notify_all();
    case Type::received:
      return write_acknowledged(header, false);
    case Type::done:
      return write_acknowledged(header, true);
    case Type::flush:
      return volume.serve_flush(header, *this);
    case Type::read:
      return volume.serve_read(header, *this);
    case Type::sums_ask:
      return volume.serve_sums(header, *this);
    case Type::flushed:
    case Type::data:
    case Type::client_done:
    case Type::sums:
      return request_answered(message);
    case Type::client_write:
    case Type::client_zero:
      return volume.serve_forwarded(std::move(message), *this);
    case Type::ping: {
      wire::Header pong;
      pong.number = header.number;
      return tell(pong, Type::pong);
    }
    case Type::pong:
      return;
    case Type::sync_begin:
      return engine_.sync_begins(message, *this);
    case Type::sync_ready:
      return engine_.sync_is_ready();
    case Type::sync_end:
      return engine_.sync_ends(*this);
    case Type::sync_finished:
      return engine_.sync_finished(*this);
    case Type::handover_ask:
      return engine_.asked_for_baton(header, *this);
    case Type::handover_refused: {
      const auto text = message.payload.span();
      return engine_.handover_refused(header,
                                      {reinterpret_cast<const char*>(text.data()), text.size()});
    }
    case Type::grant:
      return engine_.granted(header, *this);
    case Type::taken:
      return engine_.taken(header);
    case Type::role:
      return engine_.role_given(header, *this);
    case Type::offer:
      return engine_.offered(true);
    case Type::offer_void:
      return engine_.offered(false);
    case Type::status:
      return engine_.peer_status(message, *this);
    case Type::tunnel:
      return engine_.deliver_tunnel(message.payload.span());
    case Type::yield:
      return engine_.asked_to_yield(header, *this);
    case Type::yield_refused: {
      const auto text = message.payload.span();
      return engine_.yield_refused(header,
                                   {reinterpret_cast<const char*>(text.data()), text.size()});
    }
    case Type::verify_ask:
      return engine_.asked_to_verify(header, *this);
    case Type::verify_told:
      return engine_.verify_told(message);
    case Type::verify_on:
      return engine_.verify_shown(message, *this);
    case Type::invalidate_ask:
      return engine_.asked_to_invalidate();
    case Type::invalidate_refused: {
      const auto text = message.payload.span();
      return engine_.invalidate_refused({reinterpret_cast<const char*>(text.data()), text.size()});
    }
    case Type::goodbye: {
      const auto text = message.payload.span();
      engine_.peer_leaves();
      return drop(std::string(reinterpret_cast<const char*>(text.data()), text.size()));
    }
    case Type::lend:
      if (!peer_holding || !volume.region_lent(header)) drop("the peer lends what it has not");
      return;
    case Type::recall:
      if (!peer_holding || !volume.region_recalled(header, *this)) {
        drop("the peer asks for regions that it has not lent");
      }
      return;
    case Type::returned:
      if (!volume.region_returned(header))
        drop("the peer returns regions that it was not asked for");
      return;
    case Type::hello:
    case Type::proof:
    case Type::state:
    case Type::ready:
    case Type::bits:
    case Type::bits_end:
      return;  // refused above by phase
  }
}

void Session::write_acknowledged(const wire::Header& header, bool done) {
  const std::uint64_t number = header.number;
  SentWrite* write =
      number < next_number_ && number >= oldest_number_ ? sent_[number % window_writes] : nullptr;
  if (write == nullptr || write->number != number) {
    return drop("the peer acknowledged a write that is not in flight");
  }
  write->again = (header.flags & wire::flag_again) != 0;
  if (done && (header.flags & wire::flag_error) != 0) {
    // The peer's disk has failed: it does not take part any more. Its share of every write becomes
    // bits when the session has ended.
    return drop("the peer's disk failed a write");
  }
  if (!done) {
    Latch* accepted =
        write->protocol == Protocol::b ? std::exchange(write->acknowledged, nullptr) : nullptr;
    if (accepted != nullptr) accepted->arrive();
    return;
  }
  // Everything is taken out of the write first: arrive() may end the coroutine that it lives in.
  Latch* acknowledged = std::exchange(write->acknowledged, nullptr);
  sent_[number % window_writes] = nullptr;
  bytes_in_window_ -= write->payload.size();
  while (oldest_number_ < next_number_ && sent_[oldest_number_ % window_writes] == nullptr) {
    ++oldest_number_;
  }
  window_moved_.notify_all();
  Latch* finished = std::exchange(write->finished, nullptr);
  if (acknowledged != nullptr) acknowledged->arrive();
  finished->arrive();
}

void Session::request_answered(Incoming& message) {
  for (PeerRequest& request : asked_) {
    if (request.number != message.header.number) continue;
    asked_.erase(asked_.iterator_to(request));
    request.again = (message.header.flags & wire::flag_again) != 0;
    request.flags = message.header.flags;
    const bool failed = (message.header.flags & wire::flag_error) != 0;
    const bool sized = message.payload.size() == request.into.size();
    if (failed || !sized) {
      request.error =
          (message.header.flags & wire::flag_full) != 0 ? IoError::no_space : IoError::io;
    } else if (!request.into.empty()) {
      std::memcpy(request.into.data(), message.payload.data(), request.into.size());
    }
    return request.answered->arrive();
  }
  drop("the peer answered a question that was not asked");
}

// Only after the sender has stopped: nothing references anybody's buffer any more.
void Session::lose_everything() {
  while (oldest_number_ < next_number_) {
    SentWrite* write = std::exchange(sent_[oldest_number_ % window_writes], nullptr);
    ++oldest_number_;
    if (write == nullptr) continue;
    write->peer_lost = true;
    Latch* acknowledged = std::exchange(write->acknowledged, nullptr);
    Latch* finished = std::exchange(write->finished, nullptr);
    if (acknowledged != nullptr) acknowledged->arrive();
    finished->arrive();
  }
  while (!asked_.empty()) {
    PeerRequest& request = asked_.front();
    asked_.pop_front();
    request.lost = true;
    request.answered->arrive();
  }
  window_moved_.notify_all();
  bulk_received_.notify_all();
}

// Keeps the link alive, and drops it when the peer is dead or stuck. A timer that fired late says
// something about this process, not about the peer: then the link is heard first (rule 11).
Task<> Session::watch() {
  Clock& clock = engine_.env().clock;
  const Duration timeout = engine_.config().timeout;
  const Duration step = std::min<Duration>(engine_.config().ping_interval, timeout / 4);
  std::uint64_t pings = 0;
  std::uint64_t bytes_before = 0;
  while (!dropped_) {
    const TimePoint due = clock.now() + step;
    co_await wake_watch_.wait_until(clock, due);
    if (dropped_) break;
    const TimePoint now = clock.now();
    if (now - due > timeout / 2) {
      reached("timer-fired-late");
      heard_at_ = now;
      for (SentWrite* write : sent_) {
        if (write != nullptr) write->sent_at = now;
      }
      for (PeerRequest& request : asked_) request.sent_at = now;
      continue;
    }
    // A long message on a slow link is a sign of life in every one of its bytes.
    if (std::exchange(bytes_before, receiver_.bytes_received()) != receiver_.bytes_received()) {
      heard_at_ = now;
    }
    if (now - heard_at_ >= timeout) {
      drop("the peer has been silent for longer than the timeout");
      break;
    }
    const SentWrite* oldest =
        oldest_number_ < next_number_ ? sent_[oldest_number_ % window_writes] : nullptr;
    const bool write_stuck = oldest != nullptr && now - oldest->sent_at >= timeout;
    const bool request_stuck = !asked_.empty() && now - asked_.front().sent_at >= timeout;
    if (write_stuck || request_stuck) {
      reached("peer-is-there-and-stuck");
      drop("the peer is there but has not answered a request for longer than the timeout");
      break;
    }
    if (now - heard_at_ >= step / 2) {
      wire::Header ping;
      ping.number = ++pings;
      tell(ping, Type::ping);
    }
  }
}

Task<> Session::run() {
  established_ = true;
  heard_at_ = engine_.env().clock.now();
  wake_watch_.notify_all();
  scope_.spawn(watch());
  engine_.session_established(*this);
  Incoming message;
  while (!dropped_) {
    const bool came = co_await receiver_.next(message);
    if (!came) {
      note_loss();
      break;
    }
    heard_at_ = engine_.env().clock.now();
    dispatch(message);
    // What came along in the same recv is handled in the same turn.
    while (!dropped_ && receiver_.try_next(message)) dispatch(message);
  }
  drop("the link ended");
  co_await sender_.stop();
  co_await engine_.session_ended(*this);
  co_await scope_.join();
}

}  // namespace baton::replication
