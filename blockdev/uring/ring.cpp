#include "blockdev/uring/ring.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <liburing.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/assert.h"

namespace baton::blockdev {

RingIo RingIo::read(int fd, std::span<std::byte> into, std::uint64_t offset) {
  return {Kind::read, false, false, fd, 0, into.data(), into.size(), offset};
}

RingIo RingIo::write(int fd, std::span<const std::byte> from, std::uint64_t offset, int flags) {
  // The kernel only reads through the pointer of a write.
  return {Kind::write, false, false, fd, flags, const_cast<std::byte*>(from.data()),
          from.size(), offset};
}

RingIo RingIo::sync_data(int fd) {
  return {Kind::sync_data, false, false, fd, 0, nullptr, 0, 0};
}

RingIo RingIo::allocate(int fd, int mode, std::uint64_t offset, std::uint64_t length) {
  return {Kind::allocate, false, false, fd, mode, nullptr, length, offset};
}

namespace {

IoError error_of(const RingIo& io, int error) {
  const IoError mapped = io_error_from_errno(error);
  // "Nothing was done" is more than we know of a write that the kernel gave up; and what we start
  // is valid, so EINVAL speaks of the disk (an alignment that it did not admit to).
  const bool claims_too_much =
      mapped == IoError::invalid || (mapped == IoError::no_memory && io.kind != RingIo::Kind::read);
  return claims_too_much ? IoError::io : mapped;
}

}  // namespace

std::optional<IoError> settle(RingIo& io, int result, std::uint32_t block) {
  if (result == -EINTR || result == -EAGAIN) {
    io.from_worker = true;  // it may wait there
    return std::nullopt;
  }
  if (result < 0) return error_of(io, -result);
  if (io.kind == RingIo::Kind::sync_data || io.kind == RingIo::Kind::allocate) {
    return IoError::none;
  }
  const auto moved = static_cast<std::uint64_t>(result);
  if (moved >= io.length) return IoError::none;
  // A direct transfer that ended inside a block goes on from where that block begins.
  const std::uint64_t kept = moved & ~(std::uint64_t{block} - 1);
  if (kept == 0) return IoError::io;  // the file ends here: somebody has cut it
  io.data += kept;
  io.offset += kept;
  io.length -= kept;
  return std::nullopt;
}

RingOperation::~RingOperation() {
  BATON_ASSERT(!in_flight_, "whoever starts an operation waits for it");
}

namespace {

unsigned setup_flags(RingMode mode) {
  // Bound to its thread at the first turn, not here: the shard may be built elsewhere.
  switch (mode) {
    case RingMode::deferred:
      return IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
             IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE;
    case RingMode::cooperative:
      return IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
             IORING_SETUP_CQSIZE;
    case RingMode::plain:
      break;
  }
  return IORING_SETUP_CQSIZE;
}

int set_up(io_uring& uring, unsigned entries, RingMode mode) {
  io_uring_params params = {};
  params.flags = setup_flags(mode);
  // Overflow is kept by the kernel but costs a system call, so leave room for several batches.
  params.cq_entries = 4 * entries;
  return io_uring_queue_init_params(entries, &uring, &params);
}

std::string why_forbidden() {
  std::ifstream file("/proc/sys/kernel/io_uring_disabled");
  int disabled = 0;
  if (file >> disabled && disabled != 0) {
    return fmt::format(
        "the kernel setting kernel.io_uring_disabled is {}: set it to 0 (sysctl -w "
        "kernel.io_uring_disabled=0)",
        disabled);
  }
  return "a seccomp filter, as containers have it, forbids the call: allow io_uring_setup, "
         "io_uring_enter and io_uring_register";
}

std::unexpected<Error> refused(int error) {
  if (error == EPERM || error == EACCES) {
    return failure("cannot use io_uring: " + why_forbidden());
  }
  if (error == ENOSYS) {
    return failure("cannot use io_uring: this kernel does not have it; Linux 5.6 or later does");
  }
  if (error == ENOMEM) {
    return failure(
        "cannot use io_uring: the limit of locked memory is too low; raise it (ulimit -l, or "
        "LimitMEMLOCK= in the service)");
  }
  return failure(fmt::format("cannot use io_uring: {}", std::strerror(error)));
}

bool supports_what_we_use(io_uring& uring) {
  io_uring_probe* probe = io_uring_get_probe_ring(&uring);
  if (probe == nullptr) return false;
  constexpr std::array used{IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC, IORING_OP_FALLOCATE};
  const bool all = std::ranges::all_of(
      used, [probe](int code) { return io_uring_opcode_supported(probe, code) != 0; });
  io_uring_free_probe(probe);
  return all;
}

}  // namespace

Result<std::unique_ptr<Ring>> Ring::open(Loop& loop, RingOptions options) {
  auto uring = std::make_unique<io_uring>();
  RingMode mode = options.mode;
  int error = set_up(*uring, options.entries, mode);
  // An older kernel does not know the newer flags.
  while (error == -EINVAL && mode != RingMode::plain) {
    mode = static_cast<RingMode>(static_cast<int>(mode) + 1);
    error = set_up(*uring, options.entries, mode);
  }
  if (error < 0) return refused(-error);

  const int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  // From here on the destructor cleans up.
  std::unique_ptr<Ring> ring(new Ring(loop, std::move(uring), mode, options.batch, event_fd));
  if (event_fd < 0) return refused(errno);
  error = io_uring_register_eventfd(ring->uring_.get(), event_fd);
  if (error < 0) return refused(-error);
  if (!supports_what_we_use(*ring->uring_)) return refused(ENOSYS);
  return ring;
}

Ring::Ring(Loop& loop, std::unique_ptr<io_uring> uring, RingMode mode, unsigned batch, int event_fd)
    : loop_(loop), uring_(std::move(uring)), mode_(mode), batch_(batch), event_fd_(event_fd) {
  mute_event_fd(true);
  loop_.add(*this);
}

Ring::~Ring() {
  BATON_ASSERT(in_flight_ == 0, "a ring outlives the operations started on it");
  io_uring_queue_exit(uring_.get());
  if (event_fd_ >= 0) close(event_fd_);
}

bool Ring::enqueue(RingOperation& operation) {
  io_uring_sqe* entry = io_uring_get_sqe(uring_.get());
  if (entry == nullptr) return false;
  const RingIo& io = operation.io_;
  const auto length = static_cast<unsigned>(std::min(io.length, RingIo::transfer_max));
  switch (io.kind) {
    case RingIo::Kind::read:
      io_uring_prep_read(entry, io.fd, io.data, length, io.offset);
      break;
    case RingIo::Kind::write:
      io_uring_prep_write(entry, io.fd, io.data, length, io.offset);
      entry->rw_flags = io.flags;
      break;
    case RingIo::Kind::sync_data:
      io_uring_prep_fsync(entry, io.fd, IORING_FSYNC_DATASYNC);
      break;
    case RingIo::Kind::allocate:
      io_uring_prep_fallocate(entry, io.fd, io.flags, static_cast<off_t>(io.offset),
                              static_cast<off_t>(io.length));
      break;
  }
  if (io.from_worker) entry->flags |= IOSQE_ASYNC;
  io_uring_sqe_set_data(entry, &operation);
  return true;
}

namespace {

int call_now(const RingIo& io) {
  ssize_t result = -1;
  const auto length = std::min(io.length, RingIo::transfer_max);
  const iovec piece{io.data, length};
  switch (io.kind) {
    case RingIo::Kind::read:
      result = preadv2(io.fd, &piece, 1, static_cast<off_t>(io.offset), 0);
      break;
    case RingIo::Kind::write:
      result = pwritev2(io.fd, &piece, 1, static_cast<off_t>(io.offset), io.flags);
      break;
    case RingIo::Kind::sync_data:
      result = fdatasync(io.fd);
      break;
    case RingIo::Kind::allocate:
      result =
          fallocate(io.fd, io.flags, static_cast<off_t>(io.offset), static_cast<off_t>(io.length));
      break;
  }
  return result < 0 ? -errno : static_cast<int>(result);
}

}  // namespace

void Ring::start(RingOperation& operation, const RingIo& io) {
  BATON_ASSERT(!operation.in_flight_ && !operation.queued(), "one operation is started once");
  if (io.at_once) {
    operation.result_ = call_now(io);
    loop_.post(operation);
    return;
  }
  operation.io_ = io;
  operation.in_flight_ = true;
  ++in_flight_;
  if (waiting_.empty() && enqueue(operation)) {
    if (io_uring_sq_ready(uring_.get()) >= batch_) submit();
    return;
  }
  submit();
  if (waiting_.empty() && enqueue(operation)) return;
  waiting_.push_back(operation);
}

namespace {
constexpr unsigned workers_max = 256;  // as the kernel's own limit on 64 processors
}  // namespace

void Ring::bind_to_this_thread() {
  if (mode_ != RingMode::plain) {
    // Debian 12's liburing has io_uring_enable_rings in its header but not in its shared library.
    const int error = io_uring_register(static_cast<unsigned>(uring_->ring_fd),
                                        IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    BATON_ASSERT(error == 0, "a ring that was set up can be enabled");
  }
  // Saves the kernel a look-up for each call; Linux before 5.18 cannot, and works as well.
  (void)io_uring_register_ring_fd(uring_.get());
  // A disk that hangs keeps a thread of the kernel for each request, and those are shared by all
  // disks of the ring; the kernel's own limit is four a processor. Linux before 5.15 keeps that.
  std::array<unsigned, 2> most_workers = {workers_max, 0};
  (void)io_uring_register_iowq_max_workers(uring_.get(), most_workers.data());
  bound_to_thread_ = true;
}

// Leaves the queue empty, or retry_ posted.
void Ring::submit() {
  if (!bound_to_thread_) bind_to_this_thread();
  while (true) {
    while (!waiting_.empty()) {
      auto& operation = static_cast<RingOperation&>(waiting_.front());
      if (!enqueue(operation)) break;
      waiting_.pop_front();
    }
    if (io_uring_sq_ready(uring_.get()) == 0) return;
    const int submitted = mode_ == RingMode::deferred ? io_uring_submit_and_get_events(uring_.get())
                                                      : io_uring_submit(uring_.get());
    if (submitted > 0 || submitted == -EINTR) continue;
    // The kernel is short of memory or wants its completions reaped first.
    BATON_ASSERT(submitted == -EAGAIN || submitted == -EBUSY || submitted == 0,
                 "every entry we queue is well formed and the ring is ours");
    loop_.post(retry_);
    return;
  }
}

bool Ring::completions_due() const {
  constexpr unsigned kernel_has_some = IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN;
  return io_uring_cq_ready(uring_.get()) > 0 ||
         (IO_URING_READ_ONCE(*uring_->sq.kflags) & kernel_has_some) != 0;
}

void Ring::reap() {
  std::array<io_uring_cqe*, 64> batch;
  // The peek enters the kernel where it has deferred or overflowed completions, not otherwise.
  while (const unsigned count = io_uring_peek_batch_cqe(uring_.get(), batch.data(), batch.size())) {
    for (const io_uring_cqe* completion : std::span(batch).first(count)) {
      auto& operation = *static_cast<RingOperation*>(io_uring_cqe_get_data(completion));
      operation.result_ = completion->res;
      operation.in_flight_ = false;
      --in_flight_;
      loop_.post(operation);
    }
    io_uring_cq_advance(uring_.get(), count);
  }
}

void Ring::mute_event_fd(bool mute) {
  // Fails only on kernels before 5.8, which then write to the eventfd more often than needed.
  (void)io_uring_cq_eventfd_toggle(uring_.get(), !mute);
}

void Ring::end_of_turn() {
  if (in_flight_ == 0) return;
  mute_event_fd(true);
  submit();
  reap();
  if (in_flight_ == 0 || !loop_.idle()) return;
  // The shard may block now. Whatever completed before the eventfd was heard again rings no bell,
  // so look once more after it; the fence keeps the processor from looking first.
  mute_event_fd(false);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (completions_due()) reap();
}

}  // namespace baton::blockdev
