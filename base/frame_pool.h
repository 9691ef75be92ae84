// Memory for coroutine frames: freed frames are kept by size class and handed out again, so a
// steady state allocates nothing. One pool per thread; a frame is freed on the thread that made it.
#pragma once

#include <cstddef>

namespace baton {

void* allocate_frame(std::size_t bytes);
void release_frame(void* frame, std::size_t bytes) noexcept;

}  // namespace baton
