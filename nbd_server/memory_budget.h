// What the clients of one shard may make the server hold, all together: the payloads of their
// requests, from the arrival of the first byte until the reply has left. Bounded apart from what
// the shard needs for itself (rule 10: no client hurts another resource, or the link to the peer).
//
// Where it is short, clients wait in turn, and whoever holds some of it without going on is in the
// way: a client that has stopped in the middle of a write, or reads its replies no more. A quarter
// is kept for those who hold little: they do not wait for those who hold much.
#pragma once

#include <algorithm>
#include <array>
#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "base/task.h"

namespace baton::nbd {

class MemoryBudget {
 public:
  // One client's share.
  class Holder : public boost::intrusive::list_base_hook<> {
   public:
    // It holds memory, and it is the client that keeps it from being given back.
    virtual bool is_in_the_way(TimePoint now) const = 0;
    // Ends the connection; its share comes back soon.
    virtual void end_for_others() = 0;

   protected:
    ~Holder() = default;
  };

  MemoryBudget(Loop& loop, Clock& clock, std::size_t limit_bytes)
      : loop_(loop), clock_(clock), limit_(limit_bytes) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  void add(Holder& holder) { holders_.push_back(holder); }
  void remove(Holder& holder) { holders_.erase(holders_.iterator_to(holder)); }

  // What a client that holds little holds at most, with what it asks for.
  static constexpr std::size_t little_bytes = 1U << 20U;

  // `held`: by this client already. False where others wait, or it does not fit: see acquire().
  bool take(std::size_t bytes, std::size_t held = 0) {
    if (bytes == 0) return true;
    const Lane lane = lane_of(bytes, held);
    if (!queue(lane).empty() || !fits(bytes, lane)) return false;
    out_ += bytes;
    return true;
  }
  void give(std::size_t bytes) {
    out_ -= bytes;
    // Only who is first: a thousand may wait.
    for (const Lane lane : {Lane::little, Lane::much}) {
      Queue& waiting = queue(lane);
      if (!waiting.empty() && fits(waiting.front().bytes, lane)) waiting.front().moved.notify_all();
    }
  }

  // Waits in turn. False: `ended` became true, and nothing was taken; call look_again() then.
  Task<bool> acquire(std::size_t bytes, std::size_t held, const bool& ended);
  void look_again();

  std::size_t bytes_out() const { return out_; }

 private:
  enum class Lane : std::uint8_t { little, much };
  struct Ticket : boost::intrusive::list_base_hook<> {
    Ticket(MemoryBudget& budget, Lane lane, std::size_t wanted)
        : of(budget), in(lane), bytes(wanted), moved(budget.loop_) {
      of.queue(in).push_back(*this);
    }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    ~Ticket() {
      of.queue(in).erase(of.queue(in).iterator_to(*this));
      if (!of.queue(in).empty()) of.queue(in).front().moved.notify_all();
    }
    bool is_first() const { return &of.queue(in).front() == this; }
    MemoryBudget& of;
    Lane in;
    std::size_t bytes;
    Signal moved;
  };
  using Queue = boost::intrusive::list<Ticket, boost::intrusive::constant_time_size<false>>;

  static Lane lane_of(std::size_t bytes, std::size_t held) {
    return held + bytes <= little_bytes ? Lane::little : Lane::much;
  }
  Queue& queue(Lane lane) { return queues_.at(static_cast<std::size_t>(lane)); }
  // Alone a request gets through whatever its size.
  bool fits(std::size_t bytes, Lane lane) const {
    const std::size_t limit = lane == Lane::little ? limit_ : limit_ - limit_ / 4;
    return out_ == 0 || bytes <= limit - std::min(out_, limit);
  }
  void end_those_in_the_way();

  Loop& loop_;
  Clock& clock_;
  std::size_t limit_;
  std::size_t out_ = 0;
  std::array<Queue, 2> queues_;
  boost::intrusive::list<Holder, boost::intrusive::constant_time_size<false>> holders_;
};

}  // namespace baton::nbd
