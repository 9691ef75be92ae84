// Bytes that have arrived and were not looked at yet. One receive fills it with many requests.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>

#include "base/assert.h"

namespace baton::nbd {

class InputBuffer {
 public:
  // Fifteen writes of 4 KiB, or two thousand reads: more per receive gains nothing measurable.
  static constexpr std::size_t capacity_bytes = 64U << 10U;

  InputBuffer() : bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity_bytes)) {}

  std::size_t size() const { return end_ - begin_; }
  std::span<const std::byte> unread() const { return {bytes_.get() + begin_, size()}; }
  void consume(std::size_t count) {
    BATON_ASSERT(count <= size(), "only what has arrived can be consumed");
    begin_ += count;
    if (begin_ == end_) begin_ = end_ = 0;
  }

  // Where the next bytes go; the unread ones move to the front first. Not empty unless full.
  std::span<std::byte> space() {
    if (begin_ > 0) {
      std::memmove(bytes_.get(), bytes_.get() + begin_, size());
      end_ -= begin_;
      begin_ = 0;
    }
    return {bytes_.get() + end_, capacity_bytes - end_};
  }
  // `count` bytes were put into space().
  void filled(std::size_t count) { end_ += count; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace baton::nbd
