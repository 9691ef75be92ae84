// A simulated disk in a world of its own, for its tests.
#pragma once

#include <gtest/gtest.h>

#include "tests/simulation/sim_disk.h"

namespace baton::sim {

class DiskRig : public testing::Test {
 protected:
  using Op = blockdev::Op;
  using Request = blockdev::Request;

  static constexpr std::uint64_t size = 1U << 20U;

  std::unique_ptr<SimDisk> make(std::uint64_t seed, DiskModel model = {}) {
    world_ = std::make_unique<World>(seed);
    process_ = std::make_unique<Process>(*world_, 0, Duration{});
    auto disk = std::make_unique<SimDisk>(*world_, 0, 0, size, model);
    device_ = std::move(*disk->open(*process_));
    return disk;
  }

  struct Pending : Request {
    bool done = false;
    std::vector<std::byte> buffer;
  };

  void start(Pending& pending, Op op, std::uint64_t offset, std::uint64_t length,
             std::byte fill = {}, bool fua = false) {
    pending.op = op;
    pending.offset = offset;
    pending.length = length;
    pending.flags.fua = fua;
    pending.buffer.assign(length, fill);
    pending.data = pending.buffer.data();
    pending.on_complete(
        [](Operation& operation) { static_cast<Pending*>(operation.context())->done = true; },
        &pending);
    device_->submit(pending);
  }

  IoError run(Op op, std::uint64_t offset, std::uint64_t length, std::byte fill = {},
              bool fua = false) {
    Pending pending;
    start(pending, op, offset, length, fill, fua);
    EXPECT_FALSE(pending.done) << "never inside submit()";
    world_->run_for(std::chrono::seconds(1));
    EXPECT_TRUE(pending.done);
    read_back_ = pending.buffer;
    return pending.error;
  }

  std::byte visible(const SimDisk& disk, std::uint64_t offset) {
    std::byte value{};
    disk.visible().read(offset, {&value, 1});
    return value;
  }

  std::unique_ptr<World> world_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<blockdev::BlockDevice> device_;
  std::vector<std::byte> read_back_;
};

}  // namespace baton::sim
