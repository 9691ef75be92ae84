// Payload buffers: aligned for O_DIRECT, handed out by size class, bounded in all.
//
// One pool per shard; not thread-safe. A buffer is never zeroed: whoever takes one fills it before
// anybody else may look (rule 7: never uninitialised memory).
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace baton {

inline constexpr std::size_t page_bytes = 4096;  // O_DIRECT alignment that every device accepts

class BufferPool;

// Owns one buffer; gives it back when destroyed.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      release();
      pool_ = std::exchange(other.pool_, nullptr);
      data_ = std::exchange(other.data_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  explicit operator bool() const { return data_ != nullptr; }
  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }  // as asked for
  std::span<std::byte> span() const { return {data_, size_}; }

 private:
  friend class BufferPool;
  Buffer(BufferPool* pool, std::byte* data, std::size_t size)
      : pool_(pool), data_(data), size_(size) {}
  void release();
  BufferPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

class BufferPool {
 public:
  // `limit_bytes` bounds what is out at one time, and what is kept for later.
  explicit BufferPool(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();

  // An empty Buffer when the limit would be passed or memory is short: the caller waits or fails
  // the request with no_memory. `size` 0 gives a buffer of one page that reports size 0.
  Buffer take(std::size_t size);

  // What a buffer of that size counts for; more than the largest there is counts for itself.
  static std::size_t bytes_for(std::size_t size) {
    const std::size_t index = class_of(size);
    return index < class_count ? page_bytes << index : size;
  }
  std::size_t bytes_out() const { return bytes_out_; }
  std::size_t limit_bytes() const { return limit_bytes_; }

 private:
  friend class Buffer;
  static std::size_t class_of(std::size_t size);
  void give_back(std::byte* data, std::size_t size) noexcept;

  static constexpr std::size_t class_count = 15;  // 4 KiB to 64 MiB by powers of two
  std::array<std::vector<std::byte*>, class_count> free_;
  std::size_t limit_bytes_;
  std::size_t bytes_out_ = 0;
  std::size_t bytes_kept_ = 0;
};

}  // namespace baton
