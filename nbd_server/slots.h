// Request slots of one connection: everything a request needs from its arrival until its reply has
// left. Slots are recycled, so a steady state allocates nothing.
#pragma once

#include <sys/uio.h>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/parent_from_member.hpp>
#include <cstddef>
#include <deque>
#include <span>
#include <vector>

#include "base/assert.h"
#include "base/buffer_pool.h"
#include "blockdev/block_device.h"
#include "nbd_server/memory_budget.h"
#include "nbd_server/wire/codec.h"
#include "nbd_server/wire/validate.h"

namespace baton::nbd {

struct Slot : boost::intrusive::list_base_hook<> {
  ClientRequest client;
  RequestOutcome outcome;
  std::size_t payload_missing = 0;  // bytes of a write that have not arrived yet
  blockdev::Request request;
  Buffer buffer;                          // the payload: of a write, a read, or a block status
  Contexts contexts = 0;                  // that a block status is asked for
  std::vector<blockdev::Extent> extents;  // of a block status
  std::vector<blockdev::Extent> sync_extents;
  ReplyHead head;
  std::span<const std::byte> reply_payload;  // in `buffer`, or a static message
  std::size_t charged_bytes = 0;

  // The slot that `request` is a part of.
  static Slot& of(blockdev::Request& request) {
    return *boost::intrusive::get_parent_from_member(&request, &Slot::request);
  }
};

using SlotList = boost::intrusive::list<Slot, boost::intrusive::constant_time_size<false>>;

// Bounds what one connection can make the server hold (design §3, rule 10).
class Slots {
 public:
  Slots(std::size_t limit_requests, std::size_t limit_bytes, MemoryBudget& budget)
      : limit_requests_(limit_requests), limit_bytes_(limit_bytes), budget_(budget) {}
  ~Slots() { budget_.give(bytes_); }
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;

  // A single request that is larger than the limit gets through alone: 64 MiB must always fit.
  bool has_room(std::size_t charge_bytes) const {
    return idle() || (in_use_ < limit_requests_ && bytes_ + charge_bytes <= limit_bytes_);
  }
  // Only where has_room(), of what was taken from the budget.
  Slot& take(std::size_t charge_bytes) {
    if (free_.empty()) free_.push_back(storage_.emplace_back());
    Slot& slot = free_.front();
    free_.pop_front();
    slot.charged_bytes = charge_bytes;
    bytes_ += charge_bytes;
    ++in_use_;
    return slot;
  }
  void release(Slot& slot) {
    slot.buffer = Buffer();
    slot.reply_payload = {};
    // A fragmented disk's answer is large, and rare.
    constexpr std::size_t kept_extents = 256;
    for (auto* extents : {&slot.extents, &slot.sync_extents}) {
      if (extents->capacity() > kept_extents) std::vector<blockdev::Extent>().swap(*extents);
    }
    bytes_ -= slot.charged_bytes;
    budget_.give(slot.charged_bytes);
    --in_use_;
    free_.push_front(slot);  // the one whose memory is still in the cache
  }

  bool idle() const { return in_use_ == 0; }
  std::size_t in_use() const { return in_use_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::deque<Slot> storage_;  // grows to what was in use at one time, and keeps that
  SlotList free_;
  std::size_t limit_requests_;
  std::size_t limit_bytes_;
  MemoryBudget& budget_;
  std::size_t in_use_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace baton::nbd
