#include "blockdev/timed_device.h"

#include <algorithm>
#include <boost/intrusive/list.hpp>
#include <cstring>
#include <deque>
#include <utility>

#include "base/mark.h"
#include "base/mutant.h"
#include "blockdev/patience.h"
#include "blockdev/request_list.h"

namespace baton::blockdev {

class WatchedDisk final : Runnable {
 public:
  WatchedDisk(std::unique_ptr<BlockDevice> device, Duration timeout, const TimedDeviceWorld& world)
      : Runnable([](Runnable& self) { static_cast<WatchedDisk&>(self).refuse_all(); }),
        device_(std::move(device)),
        world_(world),
        patience_(timeout),
        next_look_(&WatchedDisk::look, this) {}

  BlockDevice& device() { return *device_; }
  void submit(Request& request);
  // Some requests were given up and have not ended.
  bool hangs() const { return !given_up_.empty(); }
  static void keep(std::unique_ptr<WatchedDisk> disk) {
    disk->world_.unanswered.closed_.push_back(std::move(disk));
  }

 private:
  // One request on its way through the device, with memory of its own. Kept and used again.
  struct Passage : boost::intrusive::list_base_hook<> {
    explicit Passage(WatchedDisk& its_disk) : disk(its_disk) {}
    WatchedDisk& disk;
    Request* owner = nullptr;  // null: it was given up
    Request inner;
    Buffer copy;
    std::vector<Extent> extents;
    Duration stamp{};
  };
  using Passages = boost::intrusive::list<Passage, boost::intrusive::constant_time_size<false>>;

  Passage& take_passage();
  bool prepare(Passage& passage, const Request& request);
  static void ended(Operation& operation);
  void answer(Passage& passage);
  void end_late(Passage& passage);
  void refuse(Request& request, IoError error);
  void refuse_all();
  static void look(Timer& timer);
  void give_up();

  std::unique_ptr<BlockDevice> device_;
  TimedDeviceWorld world_;
  Patience patience_;
  Timer next_look_;
  std::deque<Passage> passages_;  // grows to the greatest depth seen
  Passages free_;
  Passages in_flight_;  // oldest first
  Passages given_up_;
  RequestList refused_;  // answered from the loop
  bool failed_ = false;
};

void WatchedDisk::submit(Request& request) {
  request.reason = nullptr;
  if (failed_) return refuse(request, IoError::io);
  Passage& passage = take_passage();
  if (!prepare(passage, request)) {
    free_.push_front(passage);
    return refuse(request, IoError::no_memory);
  }
  passage.owner = &request;
  if (in_flight_.empty() && !next_look_.armed()) {
    patience_.begin(world_.clock.now());
    world_.clock.arm(next_look_, patience_.due());
  }
  passage.stamp = patience_.stamp();
  in_flight_.push_back(passage);
  passage.inner.on_complete(&WatchedDisk::ended, &passage);
  device_->submit(passage.inner);
}

WatchedDisk::Passage& WatchedDisk::take_passage() {
  if (free_.empty()) free_.push_front(passages_.emplace_back(*this));
  Passage& passage = free_.front();
  free_.pop_front();
  return passage;
}

// False: there is no memory for its data.
bool WatchedDisk::prepare(Passage& passage, const Request& request) {
  Request& inner = passage.inner;
  inner.op = request.op;
  inner.flags = request.flags;
  inner.offset = request.offset;
  inner.length = request.length;
  inner.data = nullptr;
  inner.extents = request.extents != nullptr ? &passage.extents : nullptr;
  inner.error = IoError::none;
  inner.reason = nullptr;
  const bool moves_data = request.op == Op::read || request.op == Op::write;
  if (!moves_data || request.length == 0) return true;
  passage.copy = world_.buffers.take(request.length);
  if (!passage.copy) return false;
  if (request.op == Op::write) std::memcpy(passage.copy.data(), request.data, request.length);
  inner.data = mutant("hung-buffer-reused") ? request.data : passage.copy.data();
  return true;
}

void WatchedDisk::ended(Operation& operation) {
  Passage& passage = *static_cast<Passage*>(operation.context());
  passage.owner != nullptr ? passage.disk.answer(passage) : passage.disk.end_late(passage);
}

void WatchedDisk::answer(Passage& passage) {
  Request& owner = *passage.owner;
  const Request& inner = passage.inner;
  if (inner.op == Op::read && inner.error == IoError::none && inner.length > 0 &&
      inner.data != owner.data) {
    std::memcpy(owner.data, inner.data, inner.length);
  }
  if (inner.extents != nullptr) owner.extents->swap(passage.extents);
  owner.error = inner.error;
  owner.reason = inner.reason;
  passage.copy = Buffer();
  in_flight_.erase(in_flight_.iterator_to(passage));
  free_.push_front(passage);
  owner.complete();  // may destroy this
}

void WatchedDisk::end_late(Passage& passage) {
  reached("hung-request-ended-late");
  passage.copy = Buffer();
  given_up_.erase(given_up_.iterator_to(passage));
  free_.push_front(passage);
  Unanswered& unanswered = world_.unanswered;
  TimedDeviceOwner& owner = world_.owner;
  const std::string name = device_->name();
  --unanswered.requests_;
  if (given_up_.empty()) {
    // If it was closed meanwhile, nothing holds it any more.
    std::erase_if(unanswered.closed_, [this](const auto& closed) { return closed.get() == this; });
  }
  if (unanswered.empty()) owner.all_answered(name);
}

void WatchedDisk::refuse(Request& request, IoError error) {
  request.error = error;
  if (error == IoError::io) request.reason = "its disk has not answered for the disk-timeout";
  refused_.push_back(request);
  if (!queued()) world_.loop.post(*this);
}

void WatchedDisk::refuse_all() {
  RequestList batch;
  batch.swap(refused_);
  while (!batch.empty()) {
    Request& request = batch.front();
    batch.pop_front();
    request.complete();  // may destroy this, if it was the last
  }
}

void WatchedDisk::look(Timer& timer) {
  auto& self = *static_cast<WatchedDisk*>(timer.context());
  if (self.in_flight_.empty()) return;
  if (mutant("late-timer-is-evidence")) {
    while (self.patience_.due() < self.world_.clock.now())
      self.patience_.look(self.patience_.due());
  }
  self.patience_.look(self.world_.clock.now());
  if (self.patience_.over(self.in_flight_.front().stamp) && !mutant("hung-disk-waited-for")) {
    return self.give_up();
  }
  self.world_.clock.arm(self.next_look_, self.patience_.due());
}

void WatchedDisk::give_up() {
  failed_ = true;
  reached("disk-timeout");
  const auto requests = static_cast<std::uint64_t>(in_flight_.size());
  Unanswered& unanswered = world_.unanswered;
  if (unanswered.empty()) unanswered.since_ = world_.clock.now() + -patience_.timeout();
  unanswered.requests_ += requests;
  world_.owner.gave_up(*device_, in_flight_.front().inner.op, requests);
  while (!in_flight_.empty()) {
    Passage& passage = in_flight_.front();
    in_flight_.pop_front();
    given_up_.push_back(passage);
    Request& owner = *std::exchange(passage.owner, nullptr);
    refuse(owner, IoError::io);
  }
}

Unanswered::Unanswered() = default;
Unanswered::~Unanswered() = default;

TimedDevice::TimedDevice(std::unique_ptr<BlockDevice> device, Duration timeout,
                         const TimedDeviceWorld& world)
    : disk_(std::make_unique<WatchedDisk>(std::move(device), timeout, world)) {}

TimedDevice::~TimedDevice() {
  if (!disk_->hangs() || mutant("hung-disk-closed")) return;
  reached("hung-disk-kept");
  WatchedDisk::keep(std::move(disk_));
}

const Limits& TimedDevice::limits() const {
  return disk_->device().limits();
}

void TimedDevice::submit(Request& request) {
  disk_->submit(request);
}

std::string TimedDevice::name() const {
  return disk_->device().name();
}

}  // namespace baton::blockdev
