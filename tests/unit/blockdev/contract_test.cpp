// Goal: every device keeps the promises of block_device.h. Method: one set of cases over all of
// them: memory, files with and without direct I/O, on a disk and on tmpfs, and parts of them, whose
// neighbours must be at the end what they were at the start.
#include <fcntl.h>
#include <sys/stat.h>

#include <deque>

#include "blockdev/memory_device.h"
#include "blockdev/part_device.h"
#include "tests/support/device_rig.h"

namespace baton::blockdev {
namespace {

constexpr std::uint64_t mebibyte = 1U << 20U;
constexpr std::uint64_t device_bytes = 8 * mebibyte;
constexpr std::uint64_t neighbour_bytes = mebibyte;

struct Kind {
  const char* name;
  const char* folder;  // null: memory
  bool direct;
  // Of a part of something larger: how much lies before it, and again behind it.
  std::int64_t part_at = -1;
  // Block devices need root and a free loop device: file/block_device_test.cpp.
};

class Contract : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    const Kind& kind = GetParam();
    const std::uint64_t whole_bytes =
        part() ? part_at() + device_bytes + neighbour_bytes : device_bytes;
    if (kind.folder == nullptr) {
      device_ = make_memory_device(rig_.shard.loop(), whole_bytes);
      return take_part();
    }
    const std::string folder = *kind.folder == '\0' ? testing::TempDir() : kind.folder;
    if (access(folder.c_str(), W_OK) != 0) GTEST_SKIP() << "no " << folder << " on this machine";
    path_ = std::make_unique<ScratchPath>(folder);
    ASSERT_TRUE(create_sparse_file(path_->str(), whole_bytes));
    if (part()) write_neighbours();
    FileOptions options;
    options.direct = kind.direct;
    auto opened = open_file_device(*rig_.ring, rig_.shard.buffers(), path_->str(), options);
    ASSERT_TRUE(opened) << opened.error().message;
    device_ = std::move(*opened);
    take_part();
  }
  void TearDown() override {
    device_.reset();
    if (part() && path_ != nullptr) expect_neighbours();
  }

  static bool part() { return GetParam().part_at >= 0; }
  static std::uint64_t part_at() { return static_cast<std::uint64_t>(GetParam().part_at); }
  void take_part() {
    if (!part()) return;
    device_ =
        make_part(rig_.shard.loop(), std::move(device_), part_at(), device_bytes, "a part of it");
  }
  // Up to the part's first byte and from its last.
  static std::vector<std::pair<std::uint64_t, std::uint64_t>> neighbours() {
    return {{0, part_at()}, {part_at() + device_bytes, neighbour_bytes}};
  }
  void write_neighbours() {
    const int fd = open(path_->str().c_str(), O_RDWR | O_CLOEXEC);
    for (const auto& [offset, length] : neighbours()) {
      ASSERT_EQ(pwrite(fd, neighbour_.data(), length, static_cast<off_t>(offset)),
                static_cast<ssize_t>(length));
    }
    close(fd);
  }
  void expect_neighbours() {
    const int fd = open(path_->str().c_str(), O_RDWR | O_CLOEXEC);
    for (const auto& [offset, length] : neighbours()) {
      AlignedBytes seen(neighbour_bytes);
      EXPECT_EQ(pread(fd, seen.data(), length, static_cast<off_t>(offset)),
                static_cast<ssize_t>(length));
      EXPECT_EQ(std::memcmp(seen.data(), neighbour_.data(), length), 0) << "at " << offset;
    }
    close(fd);
  }

  std::vector<Extent> extents(std::uint64_t offset, std::uint64_t length, Flags flags = {}) {
    std::vector<Extent> found;
    Request request;
    request.op = Op::block_status;
    request.flags = flags;
    request.offset = offset;
    request.length = length;
    request.extents = &found;
    EXPECT_EQ(rig_.perform(*device_, request), IoError::none);
    return found;
  }
  void expect_bytes(std::uint64_t offset, AlignedBytes& expected) {
    AlignedBytes seen(expected.size());
    ASSERT_EQ(rig_.read(*device_, offset, seen.data(), seen.size()), IoError::none);
    EXPECT_TRUE(seen == expected) << "at " << offset;
  }
  void expect_zeroes(std::uint64_t offset, std::uint64_t length) {
    AlignedBytes zeroes(length);
    std::memset(zeroes.data(), 0, length);
    expect_bytes(offset, zeroes);
  }

  Rig rig_;
  AlignedBytes neighbour_{neighbour_bytes};  // not zero, so that zeroing it is seen
  std::unique_ptr<ScratchPath> path_;
  std::unique_ptr<BlockDevice> device_;
};

std::string name_of_kind(const testing::TestParamInfo<Kind>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Devices, Contract,
                         testing::Values(Kind{"memory", nullptr, false},
                                         Kind{"direct_file", "", true},
                                         Kind{"cached_file", "", false},
                                         Kind{"direct_tmpfs_file", "/dev/shm", true},
                                         Kind{"cached_tmpfs_file", "/dev/shm", false},
                                         Kind{"first_part_of_direct_file", "", true, 0},
                                         Kind{"later_part_of_direct_file", "", true, 4096},
                                         Kind{"first_part_of_cached_file", "", false, 0},
                                         Kind{"later_part_of_cached_file", "", false, mebibyte},
                                         Kind{"later_part_of_tmpfs_file", "/dev/shm", true, 4096},
                                         Kind{"later_part_of_memory", nullptr, false, 4096}),
                         name_of_kind);

TEST_P(Contract, has_the_size_it_was_given_and_reads_as_zeroes_at_first) {
  EXPECT_EQ(device_->limits().size, device_bytes);
  EXPECT_GE(device_->limits().preferred_block, 512U);
  expect_zeroes(0, device_bytes);
}

TEST_P(Contract, reads_see_a_completed_write_at_any_alignment) {
  AlignedBytes background(device_bytes);
  background.fill(1);
  ASSERT_EQ(rig_.write(*device_, 0, background.data(), background.size()), IoError::none);
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges{
      {0, 4096},   {4096, 1},        {4095, 2},          {511, 513},
      {12345, 77}, {100, 600 << 10}, {1 << 20, 3 << 20}, {device_bytes - 3, 3},
  };
  unsigned seed = 2;
  for (const auto& [offset, length] : ranges) {
    AlignedBytes data(length, seed % 3);
    data.fill(++seed);
    ASSERT_EQ(rig_.write(*device_, offset, data.data(), length), IoError::none);
    std::memcpy(background.data() + offset, data.data(), length);
    AlignedBytes seen(length, seed % 5);
    ASSERT_EQ(rig_.read(*device_, offset, seen.data(), length), IoError::none);
    EXPECT_TRUE(seen == data) << offset << "+" << length;
  }
  expect_bytes(0, background);
}

TEST_P(Contract, a_long_unaligned_request_is_served_whole) {
  AlignedBytes data(device_bytes - 1, 1);
  data.fill(9);
  ASSERT_EQ(rig_.write(*device_, 1, data.data(), data.size()), IoError::none);
  expect_bytes(1, data);
}

TEST_P(Contract, an_unaligned_write_survives_beside_others_in_its_block) {
  constexpr std::uint64_t piece = 37;
  constexpr std::size_t count = 200;
  AlignedBytes expected(piece * count);
  expected.fill(6);
  std::deque<Request> requests(count);
  for (std::size_t i = 0; i < count; ++i) {
    requests[i].op = Op::write;
    requests[i].offset = i * piece;
    requests[i].length = piece;
    requests[i].data = expected.data() + i * piece;
    rig_.submit(*device_, requests[i]);
  }
  rig_.drain();
  for (const Request& request : requests) EXPECT_EQ(request.error, IoError::none);
  expect_bytes(0, expected);
}

TEST_P(Contract, an_aligned_write_beside_an_unaligned_one_in_its_block_is_not_lost) {
  AlignedBytes block(4096);
  block.fill(7);
  AlignedBytes piece(3);
  piece.fill(8);
  for (int round = 0; round < 50; ++round) {
    // The unaligned one covers the end of the block before, and one byte of this block.
    const std::uint64_t offset = 4096 * (1 + static_cast<std::uint64_t>(round));
    Request unaligned;
    unaligned.op = Op::write;
    unaligned.offset = offset - 2;
    unaligned.length = 3;
    unaligned.data = piece.data();
    Request aligned;
    aligned.op = Op::write;
    aligned.offset = offset;
    aligned.length = 4096;
    aligned.data = block.data();
    rig_.submit(*device_, round % 2 == 0 ? unaligned : aligned);
    rig_.submit(*device_, round % 2 == 0 ? aligned : unaligned);
    rig_.drain();
    AlignedBytes seen(4096);
    ASSERT_EQ(rig_.read(*device_, offset, seen.data(), 4096), IoError::none);
    ASSERT_EQ(std::memcmp(seen.data() + 1, block.data() + 1, 4095), 0);
    ASSERT_EQ(rig_.read(*device_, offset - 2, seen.data(), 2), IoError::none);
    ASSERT_EQ(std::memcmp(seen.data(), piece.data(), 2), 0);
  }
}

TEST_P(Contract, nothing_completes_inside_submit) {
  AlignedBytes data(4096);
  for (const Op op :
       {Op::read, Op::write, Op::flush, Op::discard, Op::write_zeroes, Op::prefetch}) {
    Request request;
    request.op = op;
    request.data = data.data();
    request.length = op == Op::flush ? 0 : 4096;
    rig_.submit(*device_, request);
    EXPECT_EQ(rig_.outstanding, 1U) << name_of(op);
    rig_.drain();
    EXPECT_EQ(request.error, IoError::none) << name_of(op);
  }
}

TEST_P(Contract, a_request_without_length_completes_with_nothing_done) {
  for (const Op op : {Op::read, Op::write, Op::discard, Op::write_zeroes, Op::prefetch}) {
    EXPECT_EQ(rig_.perform(*device_, op, 17, 0), IoError::none) << name_of(op);
    EXPECT_EQ(rig_.perform(*device_, op, device_bytes, 0), IoError::none) << name_of(op);
  }
  const auto found = extents(0, device_bytes);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].hole);
}

TEST_P(Contract, a_range_past_the_end_is_invalid_and_touches_nothing) {
  AlignedBytes data(8192);
  for (const Op op : {Op::read, Op::write, Op::discard, Op::write_zeroes}) {
    EXPECT_EQ(rig_.perform(*device_, op, device_bytes - 4096, 8192, data.data()), IoError::invalid);
    EXPECT_EQ(rig_.perform(*device_, op, UINT64_MAX - 4096, 8192, data.data()), IoError::invalid);
    EXPECT_EQ(rig_.perform(*device_, op, device_bytes + 1, 0, data.data()), IoError::invalid);
  }
  expect_zeroes(device_bytes - 4096, 4096);
  EXPECT_EQ(device_->limits().size, device_bytes);
}

TEST_P(Contract, fua_and_flush_succeed_in_any_order_and_number) {
  AlignedBytes data(4096);
  Flags fua;
  fua.fua = true;
  EXPECT_EQ(rig_.perform(*device_, Op::flush, 0, 0), IoError::none);
  EXPECT_EQ(rig_.write(*device_, 0, data.data(), 4096, fua), IoError::none);
  EXPECT_EQ(rig_.write(*device_, 1, data.data(), 4095, fua), IoError::none);
  EXPECT_EQ(rig_.perform(*device_, Op::write_zeroes, 10, 9000, nullptr, fua), IoError::none);
  EXPECT_EQ(rig_.perform(*device_, Op::discard, 10, 90000, nullptr, fua), IoError::none);
  EXPECT_EQ(rig_.perform(*device_, Op::flush, 0, 0), IoError::none);
  EXPECT_EQ(rig_.perform(*device_, Op::flush, 0, 0), IoError::none);
}

// Edges inside a block, at the block, and ranges smaller than a block.
const std::vector<std::pair<std::uint64_t, std::uint64_t>> zeroed_ranges{
    {0, 4096},        {8192, 65536},    {100001, 3},
    {200000, 100000}, {512 * 801, 512}, {mebibyte + 1, mebibyte},
};

TEST_P(Contract, write_zeroes_zeroes_its_range_and_leaves_the_neighbours) {
  AlignedBytes expected(device_bytes);
  expected.fill(3);
  ASSERT_EQ(rig_.write(*device_, 0, expected.data(), device_bytes), IoError::none);
  for (int variant = 0; variant < 4; ++variant) {
    Flags flags;
    flags.no_hole = (variant & 1) != 0;
    flags.fast_zero = (variant & 2) != 0;
    for (auto [offset, length] : zeroed_ranges) {
      offset += static_cast<std::uint64_t>(variant) * 2 * mebibyte;
      length = std::min(length, device_bytes - offset);
      const IoError error =
          rig_.perform(*device_, Op::write_zeroes, offset, length, nullptr, flags);
      if (error == IoError::unsupported && flags.fast_zero) continue;  // and nothing was done
      ASSERT_EQ(error, IoError::none);
      std::memset(expected.data() + offset, 0, length);
    }
  }
  expect_bytes(0, expected);
}

TEST_P(Contract, after_a_discard_the_whole_range_reads_as_zeroes_where_limits_say_so) {
  AlignedBytes expected(device_bytes);
  expected.fill(4);
  ASSERT_EQ(rig_.write(*device_, 0, expected.data(), device_bytes), IoError::none);
  for (const auto& [offset, length] : zeroed_ranges) {
    ASSERT_EQ(rig_.perform(*device_, Op::discard, offset, length), IoError::none);
    if (device_->limits().discard_zeroes) std::memset(expected.data() + offset, 0, length);
  }
  expect_bytes(0, expected);
}

TEST_P(Contract, block_status_tells_data_from_holes) {
  AlignedBytes data(mebibyte);
  data.fill(5);
  ASSERT_EQ(rig_.write(*device_, 2 * mebibyte, data.data(), mebibyte), IoError::none);
  const auto found = extents(mebibyte, 4 * mebibyte);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_TRUE(found[0].hole && found[0].zero);
  EXPECT_EQ(found[0].length, mebibyte);
  EXPECT_FALSE(found[1].hole || found[1].zero);
  EXPECT_EQ(found[1].length, mebibyte);
  EXPECT_TRUE(found[2].hole && found[2].zero);
  EXPECT_EQ(found[2].length, 2 * mebibyte);

  Flags one;
  one.req_one = true;
  EXPECT_EQ(extents(mebibyte, 4 * mebibyte, one).size(), 1U);

  // Starts and ends inside an extent: the answer is cut to the range.
  const auto inside = extents(2 * mebibyte + 5, 100);
  ASSERT_EQ(inside.size(), 1U);
  EXPECT_EQ(inside[0].length, 100U);
}

// The end of a run of data may be remembered; what ends it earlier is not missed.
TEST_P(Contract, block_status_sees_a_hole_that_was_made_in_what_it_has_told_before) {
  if (!device_->limits().discard) GTEST_SKIP() << "this device cannot discard";
  AlignedBytes data(2 * mebibyte);
  data.fill(5);
  ASSERT_EQ(rig_.write(*device_, mebibyte, data.data(), 2 * mebibyte), IoError::none);
  ASSERT_EQ(extents(mebibyte, 2 * mebibyte).size(), 1U);
  ASSERT_EQ(rig_.perform(*device_, Op::discard, 2 * mebibyte, mebibyte / 2, nullptr),
            IoError::none);
  const auto found = extents(mebibyte, 2 * mebibyte);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_TRUE(found[1].hole);
  EXPECT_EQ(found[1].length, mebibyte / 2);
  ASSERT_EQ(rig_.write(*device_, 2 * mebibyte, data.data(), mebibyte), IoError::none);
  EXPECT_EQ(extents(mebibyte, 2 * mebibyte).size(), 1U);
}

TEST_P(Contract, block_status_clears_what_was_in_the_vector) {
  std::vector<Extent> found(7);
  Request request;
  request.op = Op::block_status;
  request.length = device_bytes;
  request.extents = &found;
  ASSERT_EQ(rig_.perform(*device_, request), IoError::none);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].length, device_bytes);
}

TEST_P(Contract, a_discarded_range_is_a_hole_and_a_no_hole_zeroed_one_is_not_free) {
  if (!device_->limits().discard) GTEST_SKIP() << "this device cannot discard";
  AlignedBytes data(mebibyte);
  ASSERT_EQ(rig_.write(*device_, 0, data.data(), mebibyte), IoError::none);
  ASSERT_EQ(rig_.perform(*device_, Op::discard, 0, mebibyte), IoError::none);
  EXPECT_TRUE(extents(0, mebibyte)[0].hole);
  Flags no_hole;
  no_hole.no_hole = true;
  ASSERT_EQ(rig_.perform(*device_, Op::write_zeroes, 0, mebibyte, nullptr, no_hole), IoError::none);
  expect_zeroes(0, mebibyte);
  if (path_ == nullptr) {
    EXPECT_FALSE(extents(0, mebibyte)[0].hole);
    return;
  }
  // ext4 calls allocated but unwritten space a hole, so ask how much the file occupies.
  struct stat facts = {};
  ASSERT_EQ(stat(path_->str().c_str(), &facts), 0);
  EXPECT_GE(static_cast<std::uint64_t>(facts.st_blocks) * 512, mebibyte);
}

TEST_P(Contract, the_device_may_be_destroyed_in_the_completion_of_its_last_request) {
  struct Last : Request {
    Rig* rig;
    std::unique_ptr<BlockDevice>* device;
  };
  for (const Op op : {Op::flush, Op::write_zeroes, Op::prefetch}) {
    if (device_ == nullptr) {
      TearDown();
      SetUp();
    }
    Last last;
    last.op = op;
    last.length = op == Op::flush ? 0 : 100;
    last.rig = &rig_;
    last.device = &device_;
    last.on_complete(
        [](Operation& operation) {
          auto& self = static_cast<Last&>(operation);
          self.device->reset();
          self.rig->shard.stop();
        },
        nullptr);
    device_->submit(last);
    rig_.shard.run();
    EXPECT_EQ(device_, nullptr);
  }
}

}  // namespace
}  // namespace baton::blockdev
