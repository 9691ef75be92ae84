#include "blockdev/part_device.h"

#include <boost/intrusive/slist.hpp>
#include <deque>
#include <utility>

#include "base/assert.h"
#include "blockdev/request_list.h"

namespace baton::blockdev {
namespace {

class PartDevice final : public BlockDevice {
 public:
  PartDevice(Loop& loop, std::shared_ptr<BlockDevice> whole, std::uint64_t offset,
             std::uint64_t length, std::string name)
      : loop_(loop),
        whole_(std::move(whole)),
        offset_(offset),
        limits_(whole_->limits()),
        name_(std::move(name)),
        delivery_(*this) {
    BATON_ASSERT(offset <= limits_.size && length <= limits_.size - offset,
                 "a part lies within the whole");
    limits_.size = length;
  }
  ~PartDevice() override {
    BATON_ASSERT(moved_in_flight_ == 0, "a device outlives its requests");
    free_.clear();
  }

  const Limits& limits() const override { return limits_; }
  std::string name() const override { return name_; }

  void submit(Request& request) override {
    if (request.op == Op::flush) return whole_->submit(request);
    if (request.offset > limits_.size || request.length > limits_.size - request.offset) {
      return refuse(request);
    }
    if (offset_ == 0) return whole_->submit(request);
    whole_->submit(moved(request));
  }

 private:
  // A request at its place in the whole. Kept and used again.
  struct Moved final : Request, boost::intrusive::slist_base_hook<> {
    explicit Moved(PartDevice& owner) : part(owner) { on_complete(&PartDevice::moved_ended, this); }
    PartDevice& part;
    Request* original = nullptr;
  };
  struct Delivery final : Runnable {
    explicit Delivery(PartDevice& owner) : Runnable(&PartDevice::deliver), part(owner) {}
    PartDevice& part;
  };

  Request& moved(Request& original) {
    if (free_.empty()) free_.push_front(moved_.emplace_back(*this));
    Moved& moved = free_.front();
    free_.pop_front();
    ++moved_in_flight_;
    moved.original = &original;
    moved.op = original.op;
    moved.flags = original.flags;
    moved.offset = original.offset + offset_;
    moved.length = original.length;
    moved.data = original.data;
    moved.extents = original.extents;
    return moved;
  }

  static void moved_ended(Operation& operation) {
    auto& moved = *static_cast<Moved*>(operation.context());
    Request& original = *moved.original;
    original.error = moved.error;
    original.reason = moved.reason;
    --moved.part.moved_in_flight_;
    moved.part.free_.push_front(moved);
    original.complete();  // may destroy this device
  }

  void refuse(Request& request) {
    request.error = IoError::invalid;
    request.reason = nullptr;
    refused_.push_back(request);
    loop_.post(delivery_);
  }

  static void deliver(Runnable& delivery) {
    RequestList batch;
    batch.swap(static_cast<Delivery&>(delivery).part.refused_);
    while (!batch.empty()) {
      Request& request = batch.front();
      batch.pop_front();
      request.complete();  // may destroy the device, if it was the last
    }
  }

  Loop& loop_;
  std::shared_ptr<BlockDevice> whole_;
  std::uint64_t offset_;
  Limits limits_;
  std::string name_;
  std::deque<Moved> moved_;  // grows to the greatest depth seen
  boost::intrusive::slist<Moved, boost::intrusive::constant_time_size<false>> free_;
  std::uint64_t moved_in_flight_ = 0;
  RequestList refused_;
  Delivery delivery_;
};

}  // namespace

std::unique_ptr<BlockDevice> make_part(Loop& loop, std::shared_ptr<BlockDevice> whole,
                                       std::uint64_t offset, std::uint64_t length,
                                       std::string name) {
  return std::make_unique<PartDevice>(loop, std::move(whole), offset, length, std::move(name));
}

}  // namespace baton::blockdev
