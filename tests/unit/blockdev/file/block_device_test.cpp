// Goal: a real block device is served like a file: claimed, sized, zeroed by its own commands, its
// errors reported. Method: a loop device over a file in a small tmpfs, which also runs out of space
// on demand. Needs root and a loop device; elsewhere each case is skipped by name.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>

#include "blockdev/file/backing_file.h"
#include "blockdev/part_device.h"
#include "tests/support/device_rig.h"

namespace baton::blockdev {
namespace {

constexpr std::uint64_t mebibyte = 1U << 20U;
constexpr std::uint64_t disk_bytes = 8 * mebibyte;

class LoopDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (mkdtemp(folder_.data()) == nullptr ||
        mount("baton-test", folder_.c_str(), "tmpfs", 0, "size=4m") != 0) {
      GTEST_SKIP() << "needs root, to mount a tmpfs";
    }
    mounted_ = true;
    image_ = folder_ + "/image";
    ASSERT_TRUE(create_sparse_file(image_, disk_bytes));
    if (!attach()) GTEST_SKIP() << "needs a free loop device";
  }
  void TearDown() override {
    device_.reset();
    if (loop_ >= 0) {
      ioctl(loop_, LOOP_CLR_FD);
      close(loop_);
    }
    if (mounted_) umount2(folder_.c_str(), MNT_DETACH);
    rmdir(folder_.c_str());
  }
  // Another program may take the same free device first; then the next one is tried.
  bool attach() {
    const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    const int image = open(image_.c_str(), O_RDWR | O_CLOEXEC);
    for (int attempt = 0; control >= 0 && attempt < 20 && loop_ < 0; ++attempt) {
      path_ = "/dev/loop" + std::to_string(ioctl(control, LOOP_CTL_GET_FREE));
      loop_ = open(path_.c_str(), O_RDWR | O_CLOEXEC);
      if (loop_ >= 0 && ioctl(loop_, LOOP_SET_FD, image) != 0) {
        close(loop_);
        loop_ = -1;
      }
    }
    close(control);
    close(image);
    return loop_ >= 0;
  }
  BlockDevice& open_device() {
    auto opened = open_file_device(*rig_.ring, rig_.shard.buffers(), path_);
    if (!opened) throw std::runtime_error(opened.error().message);
    device_ = std::move(*opened);
    return *device_;
  }

  Rig rig_;
  std::string folder_ = testing::TempDir() + "/baton_loop_XXXXXX";
  std::string image_;
  std::string path_;
  bool mounted_ = false;
  int loop_ = -1;
  std::unique_ptr<BlockDevice> device_;
};

TEST_F(LoopDevice, has_the_disk_s_size_and_serves_any_alignment_directly) {
  BlockDevice& device = open_device();
  EXPECT_EQ(device.limits().size, disk_bytes);
  AlignedBytes data(100000, 3);
  data.fill(1);
  EXPECT_EQ(rig_.write(device, 12345, data.data(), data.size()), IoError::none);
  AlignedBytes seen(100000, 1);
  EXPECT_EQ(rig_.read(device, 12345, seen.data(), seen.size()), IoError::none);
  EXPECT_TRUE(seen == data);
  EXPECT_EQ(rig_.perform(device, Op::flush, 0, 0), IoError::none);
}

TEST_F(LoopDevice, is_claimed_so_that_nobody_mounts_or_opens_it_meanwhile) {
  open_device();
  const auto second = open_backing_file(path_, true);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, testing::HasSubstr(path_));
  EXPECT_THAT(second.error().message, testing::HasSubstr("uses it"));
  EXPECT_NE(mount(path_.c_str(), "/mnt", "ext4", 0, nullptr), 0);
  EXPECT_EQ(errno, EBUSY);
}

TEST_F(LoopDevice, discard_says_what_it_does_and_keeps_the_edges) {
  BlockDevice& device = open_device();
  AlignedBytes expected(mebibyte);
  expected.fill(2);
  ASSERT_EQ(rig_.write(device, 0, expected.data(), mebibyte), IoError::none);
  constexpr std::uint64_t offset = 10001;
  constexpr std::uint64_t length = 700001;
  ASSERT_EQ(rig_.perform(device, Op::discard, offset, length), IoError::none);
  ASSERT_EQ(device.limits().discard, device.limits().discard_zeroes);
  if (device.limits().discard_zeroes) std::memset(expected.data() + offset, 0, length);
  AlignedBytes seen(mebibyte);
  ASSERT_EQ(rig_.read(device, 0, seen.data(), mebibyte), IoError::none);
  EXPECT_TRUE(seen == expected);
}

TEST_F(LoopDevice, write_zeroes_zeroes_in_every_mode) {
  BlockDevice& device = open_device();
  for (int variant = 0; variant < 4; ++variant) {
    AlignedBytes expected(mebibyte);
    expected.fill(3);
    ASSERT_EQ(rig_.write(device, 0, expected.data(), mebibyte), IoError::none);
    Flags flags;
    flags.no_hole = (variant & 1) != 0;
    flags.fast_zero = (variant & 2) != 0;
    const IoError error = rig_.perform(device, Op::write_zeroes, 4000, 500000, nullptr, flags);
    EXPECT_TRUE(error == IoError::none || (flags.fast_zero && error == IoError::unsupported));
    if (error == IoError::none) std::memset(expected.data() + 4000, 0, 500000);
    AlignedBytes seen(mebibyte);
    ASSERT_EQ(rig_.read(device, 0, seen.data(), mebibyte), IoError::none);
    EXPECT_TRUE(seen == expected) << "variant " << variant;
  }
}

TEST_F(LoopDevice, a_device_all_of_data_is_one_extent) {
  BlockDevice& device = open_device();
  std::vector<Extent> extents;
  Request request;
  request.op = Op::block_status;
  request.offset = 5;
  request.length = mebibyte;
  request.extents = &extents;
  ASSERT_EQ(rig_.perform(device, request), IoError::none);
  ASSERT_EQ(extents.size(), 1U);
  EXPECT_EQ(extents[0].length, mebibyte);
  EXPECT_FALSE(extents[0].hole);
}

// Direct I/O leaves the data in the disk's own cache; what empties that is a flush command.
TEST_F(LoopDevice, fua_and_flush_send_the_disk_a_flush) {
  BlockDevice& device = open_device();
  const auto flushes = [this] {
    std::ifstream stat("/sys/block/" + path_.substr(std::strlen("/dev/")) + "/stat");
    std::vector<std::uint64_t> fields;
    for (std::uint64_t field = 0; stat >> field;) fields.push_back(field);
    return fields.size() > 15 ? fields[15] : 0;  // Documentation/block/stat.rst: flush I/Os
  };
  AlignedBytes data(8192, 1);
  Flags fua;
  fua.fua = true;
  struct Case {
    Op op;
    std::uint64_t offset;
    std::size_t shift;
  };
  for (const auto& [op, offset, shift] :
       {Case{Op::write, 0, 4095}, Case{Op::write, 0, 0}, Case{Op::write, 7, 0},
        Case{Op::write_zeroes, 7, 0}, Case{Op::discard, 7, 0}}) {
    const std::uint64_t before = flushes();
    ASSERT_EQ(rig_.perform(device, op, offset, 4096, data.data() + shift, fua), IoError::none);
    EXPECT_GT(flushes(), before) << name_of(op) << " at " << offset << " shift " << shift;
  }
  ASSERT_EQ(rig_.write(device, 0, data.data(), 4096), IoError::none);
  const std::uint64_t before = flushes();
  ASSERT_EQ(rig_.perform(device, Op::flush, 0, 0), IoError::none);
  EXPECT_GT(flushes(), before);
}

// What lies below the loop device is what would survive a power cut: a write through the page cache
// gets there with a flush or with FUA, not before.
class LoopDeviceCached : public LoopDevice {
 protected:
  BlockDevice& open_cached() {
    FileOptions options;
    options.direct = false;
    auto opened = open_file_device(*rig_.ring, rig_.shard.buffers(), path_, options);
    if (!opened) throw std::runtime_error(opened.error().message);
    device_ = std::move(*opened);
    return *device_;
  }
  bool is_below(std::uint64_t offset, AlignedBytes& expected) {
    AlignedBytes seen(expected.size());
    const int image = open(image_.c_str(), O_RDONLY | O_CLOEXEC);
    const ssize_t got = pread(image, seen.data(), seen.size(), static_cast<off_t>(offset));
    close(image);
    return got == static_cast<ssize_t>(seen.size()) && seen == expected;
  }
};

TEST_F(LoopDeviceCached, a_flush_brings_every_completed_write_to_the_disk_each_time) {
  BlockDevice& device = open_cached();
  AlignedBytes data(70000);
  for (unsigned round = 1; round <= 3; ++round) {
    data.fill(round);
    ASSERT_EQ(rig_.write(device, 1000, data.data(), data.size()), IoError::none);
    EXPECT_FALSE(is_below(1000, data));
    ASSERT_EQ(rig_.perform(device, Op::flush, 0, 0), IoError::none);
    EXPECT_TRUE(is_below(1000, data));
    ASSERT_EQ(rig_.perform(device, Op::flush, 0, 0), IoError::none);  // nothing left to do
  }
}

TEST_F(LoopDeviceCached, a_write_with_fua_is_on_the_disk_when_it_completes) {
  BlockDevice& device = open_cached();
  Flags fua;
  fua.fua = true;
  AlignedBytes data(70000);
  data.fill(5);
  ASSERT_EQ(rig_.write(device, 3000, data.data(), data.size(), fua), IoError::none);
  EXPECT_TRUE(is_below(3000, data));
  ASSERT_EQ(rig_.perform(device, Op::write_zeroes, 3000, data.size(), nullptr, fua), IoError::none);
  std::memset(data.data(), 0, data.size());
  EXPECT_TRUE(is_below(3000, data));
}

// The tmpfs below has 4 MiB, the disk claims 8: the medium fails in the middle of a write.
TEST_F(LoopDevice, a_failing_medium_is_reported_and_other_requests_go_on) {
  BlockDevice& device = open_device();
  AlignedBytes data(disk_bytes);
  const IoError error = rig_.write(device, 0, data.data(), disk_bytes);
  EXPECT_TRUE(error == IoError::io || error == IoError::no_space) << name_of(error);
  EXPECT_EQ(rig_.read(device, 0, data.data(), 4096), IoError::none);
}

// Through the page cache a write succeeds and its failure comes with the flush. The kernel reports
// it once; the device must go on reporting it.
TEST_F(LoopDeviceCached, after_a_failed_flush_no_flush_and_no_fua_succeeds) {
  open_cached();
  AlignedBytes data(disk_bytes);
  data.fill(4);
  ASSERT_EQ(rig_.write(*device_, 0, data.data(), disk_bytes), IoError::none);
  Request first;
  first.op = Op::flush;
  ASSERT_EQ(rig_.perform(*device_, first), IoError::io);
  Request second;
  second.op = Op::flush;
  EXPECT_EQ(rig_.perform(*device_, second), IoError::io);
  EXPECT_NE(second.reason, nullptr);
  Flags fua;
  fua.fua = true;
  EXPECT_EQ(rig_.write(*device_, 0, data.data(), 4096, fua), IoError::io);
  EXPECT_EQ(rig_.write(*device_, 0, data.data(), 4096), IoError::none);
}

// The kernel reports a failed sync once for the descriptor, whoever asks: a part that trusted the
// next one would take lost writes for durable ones.
TEST_F(LoopDeviceCached, after_a_failed_flush_of_one_part_no_flush_of_another_succeeds) {
  open_cached();
  const std::shared_ptr<BlockDevice> whole = std::move(device_);
  const auto data = make_part(rig_.shard.loop(), whole, 0, disk_bytes - mebibyte, "data");
  device_ = make_part(rig_.shard.loop(), whole, disk_bytes - mebibyte, mebibyte, "metadata");
  AlignedBytes bytes(disk_bytes - mebibyte);
  bytes.fill(4);
  ASSERT_EQ(rig_.write(*data, 0, bytes.data(), bytes.size()), IoError::none);
  ASSERT_EQ(rig_.perform(*data, Op::flush, 0, 0), IoError::io);
  EXPECT_EQ(rig_.perform(*device_, Op::flush, 0, 0), IoError::io);
  Flags fua;
  fua.fua = true;
  EXPECT_EQ(rig_.write(*device_, 0, bytes.data(), 4096, fua), IoError::io);
}

}  // namespace
}  // namespace baton::blockdev
