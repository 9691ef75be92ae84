// Turns of mutations that must not overlap in time.
//
// A write that is not aligned to the device's blocks reads whole blocks, replaces a part and writes
// them back: it rewrites bytes nobody asked it to touch. If anything else changes those bytes
// meanwhile, that change is lost. So of two mutations that share a block, of which at least one
// rewrites, the later waits for the earlier; two that do not rewrite never wait for each other.
// First come, first served: nothing that came later overtakes a waiter it conflicts with.
//
// Without rewriting mutations a turn costs one link and one unlink. Pure; nothing allocates.
#pragma once

#include <boost/intrusive/list.hpp>
#include <coroutine>
#include <cstdint>

namespace baton::blockdev {

class Overlap {
  struct ByArrival;

 public:
  class Turn : public boost::intrusive::list_base_hook<boost::intrusive::tag<ByArrival>> {
   public:
    // `start` is called when the turn has come, if it had to wait; not inside enter().
    explicit Turn(void (*start)(Turn&)) : start_(start) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    // [begin, end): every byte that will be written, whole blocks when `rewrites`.
    void cover(std::uint64_t begin, std::uint64_t end, bool rewrites) {
      begin_ = begin;
      end_ = end;
      rewrites_ = rewrites;
    }

   protected:
    ~Turn() = default;  // not between enter() and leave()

   private:
    friend class Overlap;
    bool conflicts_with(const Turn& other) const {
      return (rewrites_ || other.rewrites_) && begin_ < other.end_ && other.begin_ < end_;
    }
    void (*start_)(Turn&);
    std::uint64_t begin_ = 0;
    std::uint64_t end_ = 0;
    bool rewrites_ = false;
    Turn* first_waiter_ = nullptr;  // those that wait for this one
    Turn* next_waiter_ = nullptr;   // another that waits for the same one
  };

  // True: go on now. False: `turn.start` will be called.
  bool enter(Turn& turn);
  // After the last byte was written; starts whoever waited only for this.
  void leave(Turn& turn);

  bool empty() const { return turns_.empty(); }

 private:
  using Turns = boost::intrusive::list<Turn,
                                       boost::intrusive::base_hook<boost::intrusive::list_base_hook<
                                           boost::intrusive::tag<ByArrival>>>,
                                       boost::intrusive::constant_time_size<false>>;
  // False when an earlier turn is in the way; then `turn` waits for the latest such.
  bool free_to_go(Turn& turn);

  Turns turns_;  // entered and not left, waiting ones included, by arrival
  std::uint64_t rewriting_ = 0;
};

// co_await OverlapTurn: takes a turn. leave() gives it back.
class OverlapTurn final : public Overlap::Turn {
 public:
  OverlapTurn(Overlap& overlap, std::uint64_t begin, std::uint64_t end, bool rewrites)
      : Turn([](Turn& self) { static_cast<OverlapTurn&>(self).waiter_.resume(); }),
        overlap_(overlap) {
    cover(begin, end, rewrites);
  }
  bool await_ready() { return overlap_.enter(*this); }
  void await_suspend(std::coroutine_handle<> waiter) { waiter_ = waiter; }
  void await_resume() const noexcept {}
  void leave() { overlap_.leave(*this); }

 private:
  Overlap& overlap_;
  std::coroutine_handle<> waiter_;
};

}  // namespace baton::blockdev
