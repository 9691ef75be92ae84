// Block devices for tests of the NBD server: memory whose completions a test can hold back and
// make fail, and a null device for measuring the server itself.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "blockdev/block_device.h"

namespace baton::test {

// Completes requests from the loop, all that were submitted in one turn together. Allocates nothing
// in a steady state.
class LoopDevice : public blockdev::BlockDevice {
 public:
  LoopDevice(Loop& loop, std::uint64_t size) : loop_(loop) {
    limits_.size = size;
    limits_.discard = true;
    limits_.discard_zeroes = true;
    limits_.fast_zero = true;
    submitted_.reserve(1024);
    completing_.reserve(1024);
  }

  const blockdev::Limits& limits() const override { return limits_; }
  blockdev::Limits& change_limits() { return limits_; }

  void submit(blockdev::Request& request) override {
    submitted_.push_back(&request);
    if (!held_) loop_.post(finish_);
  }

  // While held, nothing completes.
  void hold() { held_ = true; }
  void let_go() {
    held_ = false;
    loop_.post(finish_);
  }
  // The next request ends like this.
  void fail_next(IoError error, const char* reason = nullptr) {
    next_error_ = error;
    next_reason_ = reason;
  }
  const std::vector<blockdev::Request*>& submitted() const { return submitted_; }
  // Those held are answered and leave no trace; what comes next is held.
  void answer_without_doing() {
    completing_.swap(submitted_);
    for (blockdev::Request* request : completing_) {
      request->error = std::exchange(next_error_, IoError::none);
      request->reason = std::exchange(next_reason_, nullptr);
      request->complete();
    }
    completing_.clear();
  }

 protected:
  // Sets nothing of the request's outcome; called when it completes.
  virtual void carry_out(blockdev::Request& request) = 0;

 private:
  class Finish final : public Runnable {
   public:
    explicit Finish(LoopDevice& device)
        : Runnable([](Runnable& self) { static_cast<Finish&>(self).device_.finish(); }),
          device_(device) {}

   private:
    LoopDevice& device_;
  };

  void finish() {
    if (held_) return;
    completing_.swap(submitted_);
    for (blockdev::Request* request : completing_) {
      request->error = std::exchange(next_error_, IoError::none);
      request->reason = std::exchange(next_reason_, nullptr);
      if (request->error == IoError::none) carry_out(*request);
      request->complete();
    }
    completing_.clear();
  }

  Loop& loop_;
  blockdev::Limits limits_;
  std::vector<blockdev::Request*> submitted_;
  std::vector<blockdev::Request*> completing_;
  Finish finish_{*this};
  bool held_ = false;
  IoError next_error_ = IoError::none;
  const char* next_reason_ = nullptr;
};

// Remembers nothing; reads as zeroes.
class NullDevice final : public LoopDevice {
 public:
  using LoopDevice::LoopDevice;
  std::string name() const override { return "null"; }

 protected:
  void carry_out(blockdev::Request& request) override {
    if (request.op == blockdev::Op::read) std::memset(request.data, 0, request.length);
    if (request.op == blockdev::Op::block_status)
      request.extents->assign(1, {.length = request.length, .hole = true, .zero = true});
  }
};

class MemoryDevice final : public LoopDevice {
 public:
  MemoryDevice(Loop& loop, std::uint64_t size) : LoopDevice(loop, size), content_(size) {}

  // What sync_status says may differ.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> differing;  // offset and length, in order
  std::string name() const override { return "memory"; }
  std::vector<std::byte>& content() { return content_; }

 protected:
  void carry_out(blockdev::Request& request) override {
    std::byte* const at = content_.data() + request.offset;
    switch (request.op) {
      case blockdev::Op::read:
        if (request.length > 0) std::memcpy(request.data, at, request.length);
        break;
      case blockdev::Op::write:
        if (request.length > 0) std::memcpy(at, request.data, request.length);
        break;
      case blockdev::Op::discard:
      case blockdev::Op::write_zeroes:
        std::fill_n(at, request.length, std::byte{0});
        break;
      case blockdev::Op::block_status:
        find_extents(request);
        break;
      case blockdev::Op::sync_status:
        find_differences(request);
        break;
      case blockdev::Op::flush:
      case blockdev::Op::prefetch:
        break;
    }
  }

 private:
  static constexpr std::uint64_t block_bytes = 4096;

  // By blocks of 4 KiB: what holds only zeroes counts as a hole.
  void find_extents(blockdev::Request& request) const {
    request.extents->clear();
    const std::uint64_t end = request.offset + request.length;
    std::uint64_t at = request.offset;
    while (at < end && request.extents->size() < blockdev::extent_limit) {
      const std::uint64_t next = std::min(end, (at / block_bytes + 1) * block_bytes);
      static constexpr std::array<std::byte, block_bytes> zeroes{};
      const bool zero = std::memcmp(content_.data() + at, zeroes.data(), next - at) == 0;
      request.extents->push_back({.length = next - at, .hole = zero, .zero = zero});
      at = next;
    }
  }

  void find_differences(blockdev::Request& request) const {
    request.extents->clear();
    const std::uint64_t end = request.offset + request.length;
    std::uint64_t at = request.offset;
    const auto put = [&](std::uint64_t until, bool out_of_sync) {
      until = std::min(until, end);
      if (until <= at) return;
      request.extents->push_back({.length = until - at, .out_of_sync = out_of_sync});
      at = until;
    };
    for (const auto& [offset, length] : differing) {
      put(offset, false);
      put(offset + length, true);
    }
    put(end, false);
  }

  std::vector<std::byte> content_;
};

// Another door to a device that lives elsewhere.
class DeviceDoor final : public blockdev::BlockDevice {
 public:
  explicit DeviceDoor(blockdev::BlockDevice& device) : device_(device) {}
  const blockdev::Limits& limits() const override { return device_.limits(); }
  void submit(blockdev::Request& request) override { device_.submit(request); }
  std::string name() const override { return device_.name(); }

 private:
  blockdev::BlockDevice& device_;
};

}  // namespace baton::test
