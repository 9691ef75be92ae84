// A shard with a ring, driven by the test: submit what you like, then drain() runs the shard until
// everything has completed. Waits in the kernel for the event, as the daemon does.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/runtime/shard.h"
#include "blockdev/block_device.h"
#include "blockdev/file_device.h"
#include "blockdev/uring/ring.h"

namespace baton::blockdev {

struct Rig {
  explicit Rig(RingOptions options = RingOptions()) {
    auto opened = Ring::open(shard.loop(), options);
    if (!opened) throw std::runtime_error(opened.error().message);
    ring = std::move(*opened);
    shard.wake_on(ring->event_fd());
  }

  void submit(BlockDevice& device, Request& request) {
    ++outstanding;
    request.on_complete(&Rig::completed, this);
    device.submit(request);
  }
  void drain() {
    if (outstanding > 0) shard.run();
  }
  // One request by itself.
  IoError perform(BlockDevice& device, Request& request) {
    submit(device, request);
    drain();
    return request.error;
  }

  IoError write(BlockDevice& device, std::uint64_t offset, std::byte* data, std::uint64_t length,
                Flags flags = {}) {
    return perform(device, Op::write, offset, length, data, flags);
  }
  IoError read(BlockDevice& device, std::uint64_t offset, std::byte* data, std::uint64_t length) {
    return perform(device, Op::read, offset, length, data, {});
  }
  IoError perform(BlockDevice& device, Op op, std::uint64_t offset, std::uint64_t length,
                  std::byte* data = nullptr, Flags flags = {}) {
    Request request;
    request.op = op;
    request.flags = flags;
    request.offset = offset;
    request.length = length;
    request.data = data;
    return perform(device, request);
  }

  static void completed(Operation& operation) {
    auto& rig = *static_cast<Rig*>(operation.context());
    rig.order.push_back(static_cast<Request*>(&operation));
    if (--rig.outstanding == 0) rig.shard.stop();
  }

  Shard shard;
  std::unique_ptr<Ring> ring;
  std::size_t outstanding = 0;
  std::vector<Request*> order;  // of completion
};

// Page-aligned bytes; `shift` moves them off their alignment.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t size, std::size_t shift = 0)
      : memory_(static_cast<std::byte*>(std::aligned_alloc(4096, (size + shift + 8191) & ~4095UL))),
        data_(memory_ + shift),
        size_(size) {
    std::memset(data_, 0xEE, size);
  }
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;
  ~AlignedBytes() { std::free(memory_); }
  std::byte* data() { return data_; }
  std::size_t size() const { return size_; }
  std::span<std::byte> span() { return {data_, size_}; }
  // Different from byte to byte and from seed to seed.
  AlignedBytes& fill(unsigned seed) {
    for (std::size_t i = 0; i < size_; ++i) {
      data_[i] = static_cast<std::byte>((i * 131 + seed * 17 + i / 251) & 0xFFU);
    }
    return *this;
  }
  bool operator==(const AlignedBytes& other) const {
    return size_ == other.size_ && std::memcmp(data_, other.data_, size_) == 0;
  }

 private:
  std::byte* memory_;
  std::byte* data_;
  std::size_t size_;
};

// A name in `folder` that nobody else uses, removed at the end.
class ScratchPath {
 public:
  explicit ScratchPath(const std::string& folder = testing::TempDir()) {
    static int count = 0;
    path_ = folder + "/baton_test_" + std::to_string(getpid()) + "_" + std::to_string(++count);
  }
  ScratchPath(const ScratchPath&) = delete;
  ScratchPath& operator=(const ScratchPath&) = delete;
  ~ScratchPath() { unlink(path_.c_str()); }
  const std::string& str() const { return path_; }

 private:
  std::string path_;
};

}  // namespace baton::blockdev
