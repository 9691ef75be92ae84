// Replies on their way out. All that became ready in a turn leave in one gathered write; while that
// write is in progress the next batch gathers.
#pragma once

#include <array>

#include "base/clock.h"
#include "base/loop.h"
#include "base/stream.h"
#include "base/task.h"
#include "nbd_server/slots.h"

namespace baton::nbd {

class ReplyQueue {
 public:
  // Releases each slot when its reply was handed to the stream, and notifies `released`.
  ReplyQueue(Loop& loop, Clock& clock, Stream& stream, Slots& slots, Signal& released);
  ReplyQueue(const ReplyQueue&) = delete;
  ReplyQueue& operator=(const ReplyQueue&) = delete;

  // `slot` has its head, and its payload where there is one. Never completes inside the call,
  // unless the stream is broken: then the slot is released unsent.
  void push(Slot& slot);

  // The client takes what was written last more slowly than `patience` and a MiB a second.
  bool stands_still(TimePoint now, Duration patience) const;

 private:
  // Linux takes at most 1024 parts (IOV_MAX) in one call; a depth of 128 is the kernel client's.
  static constexpr std::size_t batch_replies = 128;
  // And no more bytes, but for one reply: how far a client gets is seen write by write.
  static constexpr std::size_t batch_bytes = 1U << 20U;

  class Flush final : public Runnable {
   public:
    explicit Flush(ReplyQueue& queue)
        : Runnable([](Runnable& self) { static_cast<Flush&>(self).queue_.write_batch(); }),
          queue_(queue) {}

   private:
    ReplyQueue& queue_;
  };

  void write_batch();
  void written();
  void release_all(SlotList& list);

  Loop& loop_;
  Clock& clock_;
  Stream& stream_;
  Slots& slots_;
  Signal& released_;
  SlotList ready_;
  SlotList leaving_;
  Flush flush_{*this};
  WriteOperation write_;
  std::array<iovec, 2 * batch_replies> parts_;
  bool writing_ = false;
  TimePoint began_;
  std::size_t bytes_ = 0;  // being written
  bool broken_ = false;
};

}  // namespace baton::nbd
