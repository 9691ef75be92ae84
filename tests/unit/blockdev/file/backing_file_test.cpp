// Goal: opening, locking and creating disks either works or says in one sentence what is wrong, and
// never changes what it refuses. Method: real files; other processes by fork.
#include "blockdev/file/backing_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <deque>
#include <fstream>
#include <thread>
#include <utility>

#include "tests/support/device_rig.h"

namespace baton::blockdev {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const std::string& path) {
  const auto opened = open_backing_file(path, true);
  return opened ? "opened" : opened.error().message;
}

TEST(OpenFileDevice, names_a_missing_file) {
  EXPECT_THAT(refusal("/nonexistent/disk.img"),
              AllOf(HasSubstr("/nonexistent/disk.img"), HasSubstr("there is no such file")));
}

TEST(OpenFileDevice, refuses_what_is_no_disk) {
  EXPECT_THAT(refusal(testing::TempDir()), HasSubstr("a directory"));
  EXPECT_THAT(refusal("/dev/null"), HasSubstr("a special file"));
}

TEST(OpenFileDevice, refuses_an_empty_file_and_says_how_to_give_it_a_size) {
  const ScratchPath path;
  std::ofstream(path.str()).flush();
  EXPECT_THAT(refusal(path.str()), AllOf(HasSubstr("is empty"), HasSubstr("truncate -s")));
}

TEST(OpenFileDevice, names_missing_permission) {
  const ScratchPath path;
  ASSERT_TRUE(create_sparse_file(path.str(), 4096));
  ASSERT_EQ(chmod(path.str().c_str(), 0400), 0);
  // Root may do anything, so ask as somebody else.
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  if (geteuid() != 0) {
    EXPECT_THAT(refusal(path.str()), HasSubstr("permission"));
    return;
  }
  ASSERT_EQ(chown(path.str().c_str(), 65534, 65534), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (setuid(65534) != 0) _exit(2);
    _exit(refusal(path.str()).find("permission") == std::string::npos ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// A mount of our own, gone with the test.
class TmpfsMount {
 public:
  explicit TmpfsMount(const char* options) : path_(testing::TempDir() + "/baton_mount_XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) return;
    mounted_ = mount("baton-test", path_.c_str(), "tmpfs", 0, options) == 0;
  }
  TmpfsMount(const TmpfsMount&) = delete;
  TmpfsMount& operator=(const TmpfsMount&) = delete;
  ~TmpfsMount() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
    rmdir(path_.c_str());
  }
  bool mounted() const { return mounted_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool mounted_ = false;
};

TEST(OpenFileDevice, names_a_read_only_filesystem) {
  const TmpfsMount scratch("size=1m");
  if (!scratch.mounted()) GTEST_SKIP() << "needs root, to mount a tmpfs";
  const std::string path = scratch.path() + "/disk";
  ASSERT_TRUE(create_sparse_file(path, 4096));
  ASSERT_EQ(mount(nullptr, scratch.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  EXPECT_THAT(refusal(path), AllOf(HasSubstr(path), HasSubstr("read-only filesystem")));
}

TEST(OpenFileDevice, a_write_that_finds_no_space_fails_with_no_space_and_the_device_lives_on) {
  const TmpfsMount scratch("size=1m");
  if (!scratch.mounted()) GTEST_SKIP() << "needs root, to mount a tmpfs";
  const std::string path = scratch.path() + "/disk";
  ASSERT_TRUE(create_sparse_file(path, 8U << 20U));
  Rig rig;
  auto device = open_file_device(*rig.ring, rig.shard.buffers(), path);
  ASSERT_TRUE(device);
  AlignedBytes data(4U << 20U);
  EXPECT_EQ(rig.write(**device, 0, data.data(), data.size()), IoError::no_space);
  EXPECT_EQ(rig.perform(**device, Op::discard, 0, data.size()), IoError::none);
  EXPECT_EQ(rig.write(**device, 1, data.data(), 5000), IoError::none);
  Flags no_hole;
  no_hole.no_hole = true;
  EXPECT_EQ(rig.perform(**device, Op::write_zeroes, 0, 8U << 20U, nullptr, no_hole),
            IoError::no_space);
}

// Runs `body` in another process while this one holds what it holds.
template <class Body>
int in_another_process(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Lock, a_second_process_is_refused_with_a_sentence_that_names_the_disk) {
  const ScratchPath path;
  ASSERT_TRUE(create_sparse_file(path.str(), 4096));
  auto held = std::make_unique<Result<BackingFile>>(open_backing_file(path.str(), true));
  ASSERT_TRUE(*held);
  const auto second_is_refused = [&] {
    const std::string message = refusal(path.str());
    return message.find(path.str()) != std::string::npos &&
                   message.find("another process holds it") != std::string::npos
               ? 0
               : 1;
  };
  EXPECT_EQ(in_another_process(second_is_refused), 0);
  EXPECT_EQ(second_is_refused(), 0);  // and this process too: two resources on one disk
  // The child above inherited the descriptor and has ended; the lock is the description's.
  held.reset();
  EXPECT_EQ(refusal(path.str()), "opened");
}

TEST(Lock, a_killed_holder_gives_the_disk_back) {
  const ScratchPath path;
  ASSERT_TRUE(create_sparse_file(path.str(), 4096));
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto held = open_backing_file(path.str(), true);
    if (write(ready[1], held ? "y" : "n", 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char answer = 0;
  ASSERT_EQ(read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_THAT(refusal(path.str()), HasSubstr("another process holds it"));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(refusal(path.str()), "opened");
  close(ready[0]);
  close(ready[1]);
}

// Writes 'x' all over the disk, with many requests in flight, until it is killed.
[[noreturn]] void write_for_ever(const std::string& path, int started) {
  Rig rig;
  auto device = open_file_device(*rig.ring, rig.shard.buffers(), path);
  if (!device) _exit(1);
  constexpr std::uint64_t piece = 1U << 20U;
  AlignedBytes data(piece);
  std::memset(data.data(), 'x', piece);
  std::deque<Request> requests(8);
  while (true) {
    std::uint64_t offset = 0;
    for (Request& request : requests) {
      request.op = Op::write;
      request.length = piece;
      request.data = data.data();
      request.offset = std::exchange(offset, offset + piece);
      rig.submit(**device, request);
    }
    rig.ring->end_of_turn();
    if (write(started, "s", 1) < 0) _exit(1);
    rig.drain();
  }
}

// Design §6: the descriptor that is locked is the one that does the I/O, and io_uring holds it for
// every request in flight, so a successor that got the lock is alone.
TEST(Lock, nothing_of_a_killed_holder_lands_after_its_successor_has_the_lock) {
  const ScratchPath path;
  ASSERT_TRUE(create_sparse_file(path.str(), 8U << 20U));
  AlignedBytes mine(8U << 20U);
  for (unsigned round = 0; round < 10; ++round) {
    int started[2];
    ASSERT_EQ(pipe2(started, O_CLOEXEC), 0);
    const pid_t child = fork();
    if (child == 0) write_for_ever(path.str(), started[1]);
    close(started[1]);
    char answer = 0;
    ASSERT_EQ(read(started[0], &answer, 1), 1);
    kill(child, SIGKILL);
    Rig rig;
    auto device = open_file_device(*rig.ring, rig.shard.buffers(), path.str());
    while (!device) device = open_file_device(*rig.ring, rig.shard.buffers(), path.str());
    mine.fill(round);
    ASSERT_EQ(rig.write(**device, 0, mine.data(), mine.size()), IoError::none);
    waitpid(child, nullptr, 0);
    close(started[0]);
    AlignedBytes seen(mine.size());
    ASSERT_EQ(rig.read(**device, 0, seen.data(), seen.size()), IoError::none);
    ASSERT_TRUE(seen == mine) << "round " << round;
  }
}

int shell(const std::string& command) {
  return WEXITSTATUS(std::system(("{ " + command + "; } >/dev/null 2>&1").c_str()));
}

TEST(Lock, keeps_qemu_writers_away_and_lets_qemu_look) {
  if (shell("command -v qemu-img && command -v qemu-io") != 0) {
    GTEST_SKIP() << "needs qemu-img and qemu-io (package qemu-utils)";
  }
  const ScratchPath path;
  ASSERT_TRUE(create_sparse_file(path.str(), 1U << 20U));
  const std::string write = "qemu-io -f raw -c 'write 0 4k' " + path.str();
  ASSERT_EQ(shell(write), 0);
  const auto held = open_backing_file(path.str(), true);
  ASSERT_TRUE(held);
  EXPECT_NE(shell(write), 0);
  EXPECT_EQ(shell("qemu-img compare -U -f raw -F raw " + path.str() + " " + path.str()), 0);
}

TEST(Lock, is_refused_while_qemu_has_the_image_open) {
  if (shell("command -v qemu-io") != 0) GTEST_SKIP() << "needs qemu-io (package qemu-utils)";
  const ScratchPath path;
  ASSERT_TRUE(create_sparse_file(path.str(), 1U << 20U));
  // qemu-io opens, says so through its prompt, and keeps the image until its input ends.
  FILE* qemu = popen(("qemu-io -f raw " + path.str() + " >" + path.str() + ".out").c_str(), "w");
  ASSERT_NE(qemu, nullptr);
  std::fputs("write 0 4k\n", qemu);
  std::fflush(qemu);
  struct stat facts = {};
  while (stat(path.str().c_str(), &facts) == 0 && facts.st_blocks == 0) std::this_thread::yield();
  EXPECT_THAT(refusal(path.str()), HasSubstr("another process holds it"));
  pclose(qemu);
  unlink((path.str() + ".out").c_str());
  EXPECT_EQ(refusal(path.str()), "opened");
}

TEST(Alignment, a_file_whose_size_fits_no_block_is_served_to_the_last_byte) {
  const ScratchPath path;
  constexpr std::uint64_t odd_size = 3 * 4096 + 17;
  ASSERT_TRUE(create_sparse_file(path.str(), odd_size));
  Rig rig;
  FileOptions options;
  std::string note;
  options.note = &note;
  auto device = open_file_device(*rig.ring, rig.shard.buffers(), path.str(), options);
  ASSERT_TRUE(device);
  EXPECT_EQ((*device)->limits().size, odd_size);
  AlignedBytes data(odd_size);
  data.fill(1);
  EXPECT_EQ(rig.write(**device, 0, data.data(), odd_size), IoError::none);
  AlignedBytes seen(odd_size);
  EXPECT_EQ(rig.read(**device, 0, seen.data(), odd_size), IoError::none);
  EXPECT_TRUE(seen == data);
  EXPECT_EQ(rig.perform(**device, Op::write_zeroes, odd_size - 20, 20), IoError::none);
  struct stat facts = {};
  ASSERT_EQ(stat(path.str().c_str(), &facts), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(facts.st_size), odd_size);
  const auto opened_block = open_backing_file(path.str(), true);
  EXPECT_FALSE(opened_block);  // still held by the device
  if (!note.empty()) EXPECT_THAT(note, HasSubstr("not a multiple"));
}

TEST(Alignment, the_largest_request_is_served_whole_at_any_alignment) {
  const ScratchPath path("/dev/shm");
  constexpr std::uint64_t largest = 64U << 20U;
  ASSERT_TRUE(create_sparse_file(path.str(), largest + 4096));
  Rig rig;
  auto device = open_file_device(*rig.ring, rig.shard.buffers(), path.str());
  ASSERT_TRUE(device);
  AlignedBytes data(largest, 1);
  data.fill(1);
  EXPECT_EQ(rig.write(**device, 1, data.data(), largest), IoError::none);
  AlignedBytes seen(largest, 2);
  EXPECT_EQ(rig.read(**device, 1, seen.data(), largest), IoError::none);
  EXPECT_TRUE(seen == data);
}

TEST(Alignment, direct_io_is_used_where_the_filesystem_has_it) {
  const ScratchPath path;
  ASSERT_TRUE(create_sparse_file(path.str(), 1U << 20U));
  const int probe = open(path.str().c_str(), O_RDWR | O_DIRECT);
  if (probe < 0) GTEST_SKIP() << "no direct I/O in " << testing::TempDir();
  close(probe);
  const auto file = open_backing_file(path.str(), true);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->direct, (fcntl(file->fd, F_GETFL) & O_DIRECT) != 0);
  EXPECT_EQ(file->limits.size % file->block, 0U);
  if (!file->direct) EXPECT_FALSE(file->note.empty());
}

TEST(CreateSparseFile, makes_a_file_that_takes_no_space) {
  const ScratchPath path;
  ASSERT_TRUE(create_sparse_file(path.str(), std::uint64_t{1} << 40U));
  struct stat facts = {};
  ASSERT_EQ(stat(path.str().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_size, std::int64_t{1} << 40U);
  EXPECT_EQ(facts.st_blocks, 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);
}

TEST(CreateSparseFile, never_touches_what_exists) {
  const ScratchPath path;
  std::ofstream(path.str()) << "precious";
  const auto made = create_sparse_file(path.str(), 4096);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, AllOf(HasSubstr(path.str()), HasSubstr("exists already")));
  std::string content;
  std::ifstream(path.str()) >> content;
  EXPECT_EQ(content, "precious");
}

TEST(CreateSparseFile, leaves_nothing_behind_when_it_fails) {
  const ScratchPath path;
  const auto made = create_sparse_file(path.str(), UINT64_MAX);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr(path.str()));
  EXPECT_NE(access(path.str().c_str(), F_OK), 0);
  EXPECT_FALSE(create_sparse_file("/nonexistent/disk.img", 4096));
}

}  // namespace
}  // namespace baton::blockdev
