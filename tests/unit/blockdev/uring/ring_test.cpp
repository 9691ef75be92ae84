// Goal: the ring loses no request, wakes a blocked shard, completes from the loop only, and says
// clearly why it cannot be had. Method: real files and the real kernel.
#include "blockdev/uring/ring.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <deque>
#include <memory>
#include <thread>

#include "tests/support/device_rig.h"

namespace {
int refusals = 0;  // how many more submissions the "kernel" refuses
}  // namespace

// In the place of liburing's, which it calls.
extern "C" int io_uring_submit(io_uring* uring) {
  if (refusals > 0) {
    --refusals;
    return -EAGAIN;
  }
  using Submit = int (*)(io_uring*);
  static const auto real = reinterpret_cast<Submit>(dlsym(RTLD_NEXT, "io_uring_submit"));
  return real(uring);
}

namespace baton::blockdev {
namespace {

class RingModes : public testing::TestWithParam<RingMode> {
 protected:
  static RingOptions options(unsigned entries = 256) {
    RingOptions chosen;
    chosen.entries = entries;
    chosen.mode = GetParam();
    return chosen;
  }
};

std::string name_of_mode(const testing::TestParamInfo<RingMode>& info) {
  constexpr std::array names{"deferred", "cooperative", "plain"};
  return names[static_cast<std::size_t>(info.param)];
}
INSTANTIATE_TEST_SUITE_P(Modes, RingModes,
                         testing::Values(RingMode::deferred, RingMode::cooperative,
                                         RingMode::plain),
                         name_of_mode);

struct Sync : RingOperation {
  explicit Sync(Rig& owner) : RingOperation(&Sync::ended), rig(owner) {}
  static void ended(Runnable& operation) {
    auto& self = static_cast<Sync&>(operation);
    ++self.completions;
    if (--self.rig.outstanding == 0) self.rig.shard.stop();
  }
  Rig& rig;
  int completions = 0;
};

class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CREAT, 0600)) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() { close(fd_); }
  int fd() const { return fd_; }

 private:
  int fd_;
};

TEST_P(RingModes, more_requests_than_the_queue_holds_all_complete_once) {
  Rig rig(options(4));
  const ScratchPath path;
  const OpenFile file(path.str());
  std::deque<Sync> syncs;
  for (int i = 0; i < 1000; ++i) {
    Sync& sync = syncs.emplace_back(rig);
    ++rig.outstanding;
    rig.ring->start(sync, RingIo::sync_data(file.fd()));
  }
  EXPECT_EQ(rig.ring->in_flight(), 1000U);
  rig.shard.run();
  for (const Sync& sync : syncs) {
    EXPECT_EQ(sync.completions, 1);
    EXPECT_EQ(sync.result(), 0);
  }
  EXPECT_EQ(rig.ring->in_flight(), 0U);
}

// The kernel refuses while it is short of memory.
TEST(Ring, what_the_kernel_refuses_goes_with_a_later_turn) {
  RingOptions few;
  few.entries = 4;
  Rig rig(few);
  const ScratchPath path;
  const OpenFile file(path.str());
  std::deque<Sync> syncs;
  refusals = 20;
  for (int i = 0; i < 100; ++i) {
    ++rig.outstanding;
    rig.ring->start(syncs.emplace_back(rig), RingIo::sync_data(file.fd()));
  }
  EXPECT_EQ(refusals, 0);
  refusals = 20;  // and again when there is nothing but the retry to go on
  rig.shard.run();
  EXPECT_EQ(refusals, 0);
  for (const Sync& sync : syncs) EXPECT_EQ(sync.completions, 1);
}

// fsync always completes on another thread, so nearly every one of these wakes a blocked shard. A
// wake that got lost would hang here.
TEST_P(RingModes, a_blocked_shard_hears_every_completion) {
  Rig rig(options());
  const ScratchPath path("/dev/shm");
  const OpenFile file(path.str());
  Sync sync(rig);
  for (int i = 0; i < 20000; ++i) {
    ++rig.outstanding;
    rig.ring->start(sync, RingIo::sync_data(file.fd()));
    rig.shard.run();
  }
  EXPECT_EQ(sync.completions, 20000);
}

TEST_P(RingModes, an_error_of_the_call_is_the_result) {
  Rig rig(options());
  Sync sync(rig);
  ++rig.outstanding;
  rig.ring->start(sync, RingIo::sync_data(-1));
  rig.shard.run();
  EXPECT_EQ(sync.result(), -EBADF);
}

TEST(Ring, completion_comes_from_the_loop_and_never_inside_start) {
  Rig rig;
  const ScratchPath path("/dev/shm");
  const OpenFile file(path.str());
  for (const bool at_once : {false, true}) {
    Sync sync(rig);
    ++rig.outstanding;
    RingIo io = RingIo::sync_data(file.fd());
    io.at_once = at_once;
    rig.ring->start(sync, io);
    EXPECT_EQ(sync.completions, 0);
    rig.shard.run();
    EXPECT_EQ(sync.completions, 1);
  }
}

TEST(Ring, may_be_opened_on_another_thread_than_the_one_that_turns_the_loop) {
  Rig rig;
  const ScratchPath path;
  const OpenFile file(path.str());
  Sync sync(rig);
  std::thread owner([&] {
    ++rig.outstanding;
    rig.ring->start(sync, RingIo::sync_data(file.fd()));
    rig.shard.run();
  });
  owner.join();
  EXPECT_EQ(sync.completions, 1);
}

TEST(Ring, an_operation_thrown_away_in_flight_ends_the_process) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        Rig rig;
        Sync sync(rig);
        rig.ring->start(sync, RingIo::sync_data(0));
        std::destroy_at(&sync);
      },
      "whoever starts an operation waits for it");
}

// Makes io_uring_setup fail with EPERM in this process, as a container's filter does.
void forbid_io_uring() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{4, program};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

TEST(Ring, says_in_one_sentence_that_io_uring_is_forbidden) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(
      {
        forbid_io_uring();
        Loop loop;
        const auto ring = Ring::open(loop);
        if (!ring) std::fprintf(stderr, "%s\n", ring.error().message.c_str());
        std::_Exit(ring ? 1 : 0);
      },
      testing::ExitedWithCode(0), "cannot use io_uring: .*(seccomp|io_uring_disabled)");
}

// --- settle: what a result means ---

std::byte bytes[8192];

TEST(Settle, a_short_transfer_goes_on_with_the_rest_from_a_block_boundary) {
  RingIo io = RingIo::read(3, bytes, 4096);
  EXPECT_EQ(settle(io, 1000, 512), std::nullopt);
  EXPECT_EQ(io.offset, 4096U + 512);
  EXPECT_EQ(io.data, bytes + 512);
  EXPECT_EQ(io.length, 8192U - 512);
  EXPECT_EQ(settle(io, 8192 - 512, 512), IoError::none);
}

TEST(Settle, an_interrupted_call_is_started_again_unchanged) {
  for (const int error : {-EINTR, -EAGAIN}) {
    RingIo io = RingIo::write(3, bytes, 4096, 0);
    EXPECT_EQ(settle(io, error, 512), std::nullopt);
    EXPECT_EQ(io.offset, 4096U);
    EXPECT_EQ(io.length, 8192U);
  }
}

TEST(Settle, no_progress_is_an_error_and_not_an_endless_loop) {
  for (const int moved : {0, 511}) {
    RingIo io = RingIo::read(3, bytes, 0);
    EXPECT_EQ(settle(io, moved, 512), IoError::io);
  }
}

TEST(Settle, maps_errors_and_claims_no_more_than_is_known) {
  RingIo read = RingIo::read(3, bytes, 0);
  RingIo write = RingIo::write(3, bytes, 0, 0);
  RingIo zero = RingIo::allocate(3, 0, 0, 4096);
  EXPECT_EQ(settle(write, -ENOSPC, 512), IoError::no_space);
  EXPECT_EQ(settle(write, -EDQUOT, 512), IoError::no_space);
  EXPECT_EQ(settle(write, -EIO, 512), IoError::io);
  EXPECT_EQ(settle(write, -ENOMEM, 512), IoError::io);  // "nothing was done" is not known
  EXPECT_EQ(settle(read, -ENOMEM, 512), IoError::no_memory);
  EXPECT_EQ(settle(read, -EINVAL, 512), IoError::io);
  EXPECT_EQ(settle(zero, -EOPNOTSUPP, 512), IoError::unsupported);
  EXPECT_EQ(settle(zero, 0, 512), IoError::none);
}

}  // namespace
}  // namespace baton::blockdev
