// Memory that a process shares with those it forks: what a child has written there outlives it,
// however it ended.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <span>
#include <system_error>
#include <type_traits>

namespace baton::sim {

template <typename T>
class SharedArray {
  static_assert(std::is_trivially_destructible_v<T>, "nobody knows which process is the last");

 public:
  explicit SharedArray(std::size_t count) : bytes_(count * sizeof(T)), count_(count) {
    void* const memory =
        ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    values_ = static_cast<T*>(memory);
    std::uninitialized_default_construct_n(values_, count);
  }
  SharedArray(const SharedArray&) = delete;
  SharedArray& operator=(const SharedArray&) = delete;
  ~SharedArray() { ::munmap(values_, bytes_); }
  std::span<T> all() { return {values_, count_}; }

 private:
  std::size_t bytes_;
  std::size_t count_;
  T* values_ = nullptr;
};

}  // namespace baton::sim
