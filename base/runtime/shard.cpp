#include "base/runtime/shard.h"

#include <fcntl.h>
#include <sys/eventfd.h>

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
