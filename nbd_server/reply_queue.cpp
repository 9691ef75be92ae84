#include "nbd_server/reply_queue.h"

#include <chrono>

namespace baton::nbd {
namespace {

iovec part(std::span<const std::byte> bytes) {
  // iovec serves both directions; a write does not touch what it points at.
  return {const_cast<std::byte*>(bytes.data()), bytes.size()};
}

}  // namespace

ReplyQueue::ReplyQueue(Loop& loop, Clock& clock, Stream& stream, Slots& slots, Signal& released)
    : loop_(loop), clock_(clock), stream_(stream), slots_(slots), released_(released) {
  write_.on_complete([](Operation& self) { static_cast<ReplyQueue*>(self.context())->written(); },
                     this);
}

void ReplyQueue::push(Slot& slot) {
  if (broken_) {
    slots_.release(slot);
    released_.notify_all();
    return;
  }
  ready_.push_back(slot);
  // Behind everything that is ready now, so that its replies join this batch.
  if (!writing_) loop_.post(flush_);
}

void ReplyQueue::write_batch() {
  if (writing_ || ready_.empty()) return;
  std::size_t count = 0;
  bytes_ = 0;
  for (std::size_t replies = 0; replies < batch_replies && !ready_.empty(); ++replies) {
    Slot& slot = ready_.front();
    const std::size_t size = slot.head.size() + slot.reply_payload.size();
    if (replies > 0 && bytes_ + size > batch_bytes) break;
    bytes_ += size;
    ready_.pop_front();
    leaving_.push_back(slot);
    parts_[count++] = part(slot.head.span());
    if (!slot.reply_payload.empty()) parts_[count++] = part(slot.reply_payload);
  }
  writing_ = true;
  began_ = clock_.now();
  write_.buffers = {parts_.data(), count};
  stream_.write(write_);
}

bool ReplyQueue::stands_still(TimePoint now, Duration patience) const {
  constexpr std::size_t bytes_per_millisecond = (1U << 20U) / 1000;
  const Duration on_its_way = std::chrono::milliseconds(bytes_ / bytes_per_millisecond);
  return writing_ && now - began_ > patience + on_its_way;
}

void ReplyQueue::written() {
  writing_ = false;
  release_all(leaving_);
  if (write_.error != StreamError::none) {
    broken_ = true;
    release_all(ready_);
    stream_.close();  // so that the reader ends, too
  }
  released_.notify_all();
  if (!ready_.empty()) loop_.post(flush_);
}

void ReplyQueue::release_all(SlotList& list) {
  while (!list.empty()) {
    Slot& slot = list.front();
    list.pop_front();
    slots_.release(slot);
  }
}

}  // namespace baton::nbd
