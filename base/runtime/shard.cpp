#include "base/runtime/shard.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <system_error>

namespace baton {

struct Shard::Wake {
  Wake(boost::asio::io_context& io, int fd) : descriptor(io, fd) {}

  // Armed again before the turn that looks at what happened, so that nothing that happens while it
  // looks goes unheard.
  void listen() {
    descriptor.async_wait(boost::asio::posix::descriptor_base::wait_read, Heard(this));
  }
  struct Heard {
    explicit Heard(Wake* wake) : self(wake) {}
    void operator()(const boost::system::error_code& error) const {
      if (error) return;  // only when the descriptor is closed, with the shard
      eventfd_t count = 0;
      // Fails only when somebody else has reset it: then there is nothing to reset.
      (void)eventfd_read(self->descriptor.native_handle(), &count);
      self->listen();
    }
    Wake* self;
  };
  boost::asio::posix::stream_descriptor descriptor;
};

void Shard::wake_on(int event_fd) {
  const int own = fcntl(event_fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) throw std::system_error(errno, std::generic_category(), "listening to an eventfd");
  wakes_.push_back(std::make_unique<Wake>(io_, own));
  wakes_.back()->listen();
}

// One thread runs the io_context, so Asio needs no locks of its own except for posts from outside.
Shard::Shard(ShardOptions options)
    : io_(1), buffers_(options.buffer_limit_bytes), poll_policy_(options.poll_window) {}

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
  // Every look at the sockets is a system call. While there is work they are looked at now and then
  // only: what the disk completed while it was being asked is served without.
  constexpr unsigned turns_per_look = 4;
  // After waiting for them, a second look finds nothing where there are few clients. With many it
  // lets their requests share a turn (one submission to the disk instead of one for each). So it is
  // taken while it finds something, and now and then to learn whether it would.
  constexpr unsigned waits_per_probe = 16;
  bool crowded = false;
  for (unsigned round = 1; !stopped_; ++round) {
    if (loop_.run_turn()) {
      if (round % turns_per_look != 0) continue;
      io_.poll();
    } else if (!stopped_) {
      wait_for_events();
      if (crowded || round % waits_per_probe == 0) crowded = io_.poll() > 0;
    }
    timers_.fire_due(now());
  }
}

void Shard::wait_for_events() {
  const TimePoint begin = now();
  const Duration window = poll_policy_.window();
  if (window == Duration::zero() || !look_for_events(begin + window)) block_for_events();
  poll_policy_.waited(now() - begin);
}

// Gives way between looks: what others do on this processor is often what it waits for.
bool Shard::look_for_events(TimePoint until) {
  until = std::min(until, timers_.next_deadline());
  while (io_.poll() == 0) {
    if (now() >= until) return false;
    sched_yield();
  }
  return true;
}

void Shard::block_for_events() {
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
