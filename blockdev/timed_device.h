// A BlockDevice that does not hang: what the device below has not answered after a timeout is
// answered in its place, with `io`, and the device counts as failed from then on
// (docs/replication.md "A disk that does not answer").
//
// Contract, beyond BlockDevice's:
//   - Once one request is given up, all that are in flight are, and every later one fails at once.
//   - A request that was given up is still with the device: a write among them may reach the disk
//     at any later time, or never. Nobody may use the disk anew before Unanswered is empty.
//   - The device below works on memory of this one's. So an owner whose request was answered, given
//     up or not, may do with its buffer what it likes; a late completion touches nothing of it.
//     That costs one copy of every read and write.
//   - Destroying it with requests that were given up closes nothing: Unanswered keeps the device
//     below, open and locked, until it has answered the last of them.
#pragma once

#include <memory>
#include <vector>

#include "base/buffer_pool.h"
#include "base/clock.h"
#include "base/loop.h"
#include "blockdev/block_device.h"

namespace baton::blockdev {

class WatchedDisk;

// Told what becomes of a device that hangs. Called from the loop.
class TimedDeviceOwner {
 public:
  virtual ~TimedDeviceOwner() = default;
  // Before the owners of the requests are answered; `oldest`: of what has been waited for longest.
  virtual void gave_up(const BlockDevice& device, Op oldest, std::uint64_t requests) = 0;
  // The last request that was given up has ended after all.
  virtual void all_answered(const std::string& device) = 0;
};

// The requests of some devices that were given up and have not ended, and what they need to end in.
// Outlives the devices. Destroyed while there are any only where they will never end (a simulated
// kill): a process that ends with them must not run destructors.
class Unanswered {
 public:
  Unanswered();
  Unanswered(const Unanswered&) = delete;
  Unanswered& operator=(const Unanswered&) = delete;
  ~Unanswered();

  bool empty() const { return requests_ == 0; }
  std::uint64_t requests() const { return requests_; }
  // When the oldest of them was handed to its device, or a little earlier.
  TimePoint since() const { return since_; }

 private:
  friend class WatchedDisk;
  friend class TimedDevice;
  std::uint64_t requests_ = 0;
  TimePoint since_;
  std::vector<std::unique_ptr<WatchedDisk>> closed_;  // but for what is still in flight
};

struct TimedDeviceWorld {
  Loop& loop;
  Clock& clock;
  BufferPool& buffers;  // of the copies; short of memory, a request fails with no_memory
  Unanswered& unanswered;
  TimedDeviceOwner& owner;
};

class TimedDevice final : public BlockDevice {
 public:
  // `timeout` above zero. What is in `world` outlives this, and the requests that are given up.
  TimedDevice(std::unique_ptr<BlockDevice> device, Duration timeout, const TimedDeviceWorld& world);
  ~TimedDevice() override;

  const Limits& limits() const override;
  void submit(Request& request) override;
  std::string name() const override;

 private:
  std::unique_ptr<WatchedDisk> disk_;
};

}  // namespace baton::blockdev
