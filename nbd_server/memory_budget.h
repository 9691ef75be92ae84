// What the clients of one shard may make the server hold, all together: the payloads of their
// requests, from the arrival of the first byte until the reply has left. Bounded apart from what
// the shard needs for itself (rule 10: no client hurts another resource, or the link to the peer).
//
// Where it is short, clients wait in turn, and whoever holds some of it without going on is in the
// way: a client that has stopped in the middle of a write, or reads its replies no more.
#pragma once

#include <algorithm>
#include <boost/intrusive/list.hpp>
#include <cstddef>

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
      : clock_(clock), moved_(loop), limit_(limit_bytes) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  void add(Holder& holder) { holders_.push_back(holder); }
  void remove(Holder& holder) { holders_.erase(holders_.iterator_to(holder)); }

  // False where others wait, or it does not fit: see acquire().
  bool take(std::size_t bytes) {
    if (bytes == 0) return true;
    if (!queue_.empty() || !fits(bytes)) return false;
    out_ += bytes;
    return true;
  }
  void give(std::size_t bytes) {
    out_ -= bytes;
    if (bytes > 0 && !queue_.empty()) moved_.notify_all();
  }

  // Waits in turn. False: `ended` became true, and nothing was taken; call look_again() then.
  Task<bool> acquire(std::size_t bytes, const bool& ended);
  void look_again() { moved_.notify_all(); }

  std::size_t bytes_out() const { return out_; }

 private:
  struct Ticket : boost::intrusive::list_base_hook<> {
    explicit Ticket(MemoryBudget& budget) : of(budget) { of.queue_.push_back(*this); }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    ~Ticket() {
      of.queue_.erase(of.queue_.iterator_to(*this));
      of.moved_.notify_all();
    }
    MemoryBudget& of;
  };
  // Alone a request gets through whatever its size.
  bool fits(std::size_t bytes) const {
    return out_ == 0 || bytes <= limit_ - std::min(out_, limit_);
  }
  void end_those_in_the_way();

  Clock& clock_;
  Signal moved_;
  std::size_t limit_;
  std::size_t out_ = 0;
  boost::intrusive::list<Ticket, boost::intrusive::constant_time_size<false>> queue_;
  boost::intrusive::list<Holder, boost::intrusive::constant_time_size<false>> holders_;
};

}  // namespace baton::nbd
