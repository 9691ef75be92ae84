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
  // A second look at the sockets costs a system call, and with few clients it finds nothing. With
  // many it lets their requests share a turn (one submission to the disk instead of one for each).
  // So it is taken while it finds something, and now and then to learn whether it would.
  constexpr unsigned probe_interval = 16;
  bool crowded = false;
  for (unsigned round = 0; !stopped_; ++round) {
    if (loop_.run_turn()) {
      io_.poll();  // something is ready already: do not wait for the sockets
    } else if (!stopped_) {
      wait_for_events();
      if (crowded || round % probe_interval == 0) crowded = io_.poll() > 0;
    }
    timers_.fire_due(now());
  }
}

void Shard::wait_for_events() {
  const TimePoint deadline = timers_.next_deadline();
  if (deadline == TimePoint::never()) {
    io_.run_one();
    return;
  }
  const std::chrono::steady_clock::time_point until{
      std::chrono::steady_clock::duration(deadline.nanoseconds)};
  io_.run_one_until(until);
}

}  // namespace baton
