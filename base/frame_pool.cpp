#include "base/frame_pool.h"

#include <array>
#include <cstdlib>
#include <new>

namespace baton {
namespace {

constexpr std::size_t class_bytes = 128;  // frames of our coroutines measure 150 to 1,500 bytes
constexpr std::size_t class_count = 32;   // larger ones (none so far) go to the heap

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define BATON_FRAMES_FROM_HEAP 1  // so that use after free of a frame is seen
#endif
#endif

struct FreeFrame {
  FreeFrame* next;
};

struct Pool {
  std::array<FreeFrame*, class_count> free{};
  ~Pool() {
    for (FreeFrame* frame : free) {
      while (frame != nullptr) {
        FreeFrame* next = frame->next;
        std::free(frame);  // NOLINT(cppcoreguidelines-no-malloc): raw storage, no object lives here
        frame = next;
      }
    }
  }
};

thread_local Pool pool;

[[maybe_unused]] std::size_t class_of(std::size_t bytes) {  // not used where frames are the heap's
  return (bytes + class_bytes - 1) / class_bytes - 1;
}

void* from_heap(std::size_t bytes) {
  void* frame = std::malloc(bytes);
  if (frame == nullptr) throw std::bad_alloc();
  return frame;
}

}  // namespace

void* allocate_frame(std::size_t bytes) {
#ifdef BATON_FRAMES_FROM_HEAP
  return from_heap(bytes);
#else
  const std::size_t index = class_of(bytes);
  if (index >= class_count) return from_heap(bytes);
  FreeFrame* frame = pool.free[index];
  if (frame == nullptr) return from_heap((index + 1) * class_bytes);
  pool.free[index] = frame->next;
  return frame;
#endif
}

void release_frame(void* frame, std::size_t bytes) noexcept {
#ifndef BATON_FRAMES_FROM_HEAP
  const std::size_t index = class_of(bytes);
  if (index < class_count) {
    pool.free[index] = new (frame) FreeFrame{pool.free[index]};
    return;
  }
#endif
  static_cast<void>(bytes);
  std::free(frame);
}

}  // namespace baton
