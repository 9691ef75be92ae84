// Reading and writing a metadata device: one request awaited, or many pages at once.
#pragma once

#include <array>
#include <coroutine>
#include <span>

#include "base/mutant.h"
#include "base/task.h"
#include "blockdev/block_device.h"

namespace baton::blockdev {

Task<IoError> read_at(BlockDevice& device, std::uint64_t offset, std::span<std::byte> into);
Task<IoError> write_at(BlockDevice& device, std::uint64_t offset, std::span<const std::byte> from);
Task<IoError> flush(BlockDevice& device);

// The first error of a metadata device; final for everybody who writes to it.
class Fault {
 public:
  Fault() = default;
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;

  explicit operator bool() const { return error_ != IoError::none; }
  IoError error() const { return error_; }
  // Keeps the first error and tells the listener of it.
  void report(IoError error) {
    if (error == IoError::none || error_ != IoError::none) return;
    if (mutant("metadata-error-ignored")) return;
    error_ = error;
    if (listener_ != nullptr) listener_(context_);
  }
  void set_listener(void (*listener)(void*), void* context) {
    listener_ = listener;
    context_ = context;
  }

 private:
  IoError error_ = IoError::none;
  void (*listener_)(void*) = nullptr;
  void* context_ = nullptr;
};

// Writes in flight together, at most `depth`. The buffers belong to the caller and stay as they
// are until drained(). One coroutine uses it.
class WriteWindow {
 public:
  static constexpr std::size_t depth = 16;

  explicit WriteWindow(BlockDevice& device);
  WriteWindow(const WriteWindow&) = delete;
  WriteWindow& operator=(const WriteWindow&) = delete;

  class Until {
   public:
    Until(WriteWindow& window, std::size_t busy) : window_(window), busy_(busy) {}
    bool await_ready() const noexcept { return window_.busy_count_ <= busy_; }
    void await_suspend(std::coroutine_handle<> waiter) {
      window_.waiter_ = waiter;
      window_.resume_at_ = busy_;
    }
    void await_resume() const noexcept {}

   private:
    WriteWindow& window_;
    std::size_t busy_;
  };
  Until room() { return {*this, depth - 1}; }
  Until drained() { return {*this, 0}; }

  // After room(): a place that is free, for callers that keep a buffer per place.
  std::size_t free_place() const;
  void start(std::size_t place, std::uint64_t offset, std::span<std::byte> from);

  IoError error() const { return error_; }  // the first one

 private:
  static void completed(Operation& operation);

  BlockDevice& device_;
  std::array<Request, depth> requests_;
  std::array<bool, depth> busy_{};
  std::size_t busy_count_ = 0;
  std::size_t resume_at_ = 0;
  std::coroutine_handle<> waiter_;
  IoError error_ = IoError::none;
};

}  // namespace baton::blockdev
