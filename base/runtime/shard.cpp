#include "base/runtime/shard.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <chrono>

namespace baton {

// One thread runs the io_context, so Asio needs no locks of its own except for posts from outside.
Shard::Shard(std::size_t buffer_limit_bytes) : io_(1), buffers_(buffer_limit_bytes) {}

Shard::~Shard() = default;

TimePoint Shard::now() const {
  return {std::chrono::steady_clock::now().time_since_epoch().count()};
}

void Shard::post_from_outside(std::function<void()> work) {
  boost::asio::post(io_, std::move(work));
}

void Shard::run() {
  const auto guard = boost::asio::make_work_guard(io_);
  stopped_ = false;
  while (!stopped_) {
    while (loop_.run_turn() && !stopped_) {
      // Something is ready already: look at the sockets, but do not wait for them.
      io_.poll();
      timers_.fire_due(now());
    }
    if (stopped_) break;
    const TimePoint deadline = timers_.next_deadline();
    if (deadline == TimePoint::never()) {
      io_.run_one();
    } else {
      const std::chrono::steady_clock::time_point until{
          std::chrono::steady_clock::duration(deadline.nanoseconds)};
      io_.run_one_until(until);
    }
    io_.poll();
    timers_.fire_due(now());
  }
}

}  // namespace baton
