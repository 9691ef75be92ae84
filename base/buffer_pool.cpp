#include "base/buffer_pool.h"

#include <bit>
#include <cstdlib>

#include "base/assert.h"

namespace baton {

void Buffer::release() {
  if (data_ != nullptr) pool_->give_back(data_, size_);
  data_ = nullptr;
}

BufferPool::~BufferPool() {
  BATON_ASSERT(bytes_out_ == 0, "buffers do not outlive the shard they belong to");
  for (auto& list : free_) {
    for (std::byte* data : list) std::free(data);
  }
}

std::size_t BufferPool::class_of(std::size_t size) {
  const std::size_t pages = size <= page_bytes ? 1 : (size + page_bytes - 1) / page_bytes;
  return static_cast<std::size_t>(std::bit_width(std::bit_ceil(pages)) - 1);
}

Buffer BufferPool::take(std::size_t size) {
  const std::size_t index = class_of(size);
  if (index >= class_count) return {};
  const std::size_t bytes = page_bytes << index;
  if (bytes_out_ + bytes > limit_bytes_) return {};
  std::byte* data = nullptr;
  if (free_[index].empty()) {
    data = static_cast<std::byte*>(std::aligned_alloc(page_bytes, bytes));
    if (data == nullptr) return {};
  } else {
    data = free_[index].back();
    free_[index].pop_back();
    bytes_kept_ -= bytes;
  }
  bytes_out_ += bytes;
  return {this, data, size};
}

void BufferPool::give_back(std::byte* data, std::size_t size) noexcept {
  const std::size_t index = class_of(size);
  const std::size_t bytes = page_bytes << index;
  bytes_out_ -= bytes;
  // Large buffers are rare; keeping many of them would hold memory that nobody asks for again.
  constexpr std::size_t kept_limit_bytes = 64U << 20U;
  if (bytes_kept_ + bytes > kept_limit_bytes) {
    std::free(data);
    return;
  }
  free_[index].push_back(data);
  bytes_kept_ += bytes;
}

}  // namespace baton
