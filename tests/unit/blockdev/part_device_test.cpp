// Goal: two parts of one device are two devices that cannot hurt each other, and their owners find
// their requests as they left them. (contract_test.cpp holds parts to what every device promises.)
#include "blockdev/part_device.h"

#include <gmock/gmock.h>

#include "tests/support/device_rig.h"
#include "tests/support/test_devices.h"

namespace baton::blockdev {
namespace {

constexpr std::uint64_t first_bytes = 64U << 10U;
constexpr std::uint64_t second_bytes = 16U << 10U;
constexpr std::uint64_t whole_bytes =
    first_bytes + second_bytes + 4096;  // the last block: nobody's

class Parts : public testing::Test {
 protected:
  Parts() {
    auto memory = std::make_shared<test::MemoryDevice>(rig_.shard.loop(), whole_bytes);
    whole_ = memory.get();
    first_ = make_part(rig_.shard.loop(), memory, 0, first_bytes, "disk");
    second_ = make_part(rig_.shard.loop(), memory, first_bytes, second_bytes, "the end of disk");
    std::ranges::fill(whole_->content(), std::byte{0x77});
  }
  // How many bytes of [begin, end) of the whole are not as they were.
  std::ptrdiff_t changed(std::uint64_t begin, std::uint64_t end) {
    const auto at = whole_->content().begin();
    return std::count_if(at + static_cast<std::ptrdiff_t>(begin),
                         at + static_cast<std::ptrdiff_t>(end),
                         [](std::byte byte) { return byte != std::byte{0x77}; });
  }

  Rig rig_;
  test::MemoryDevice* whole_ = nullptr;
  std::unique_ptr<BlockDevice> first_;
  std::unique_ptr<BlockDevice> second_;
};

TEST_F(Parts, have_their_own_sizes_and_names_and_the_limits_of_the_whole) {
  EXPECT_EQ(first_->limits().size, first_bytes);
  EXPECT_EQ(second_->limits().size, second_bytes);
  EXPECT_EQ(second_->name(), "the end of disk");
  EXPECT_TRUE(second_->limits().discard_zeroes);
}

TEST_F(Parts, what_changes_one_up_to_its_last_byte_leaves_the_other) {
  AlignedBytes data(4096);
  for (const Op op : {Op::write, Op::discard, Op::write_zeroes}) {
    std::ranges::fill(whole_->content(), std::byte{0x77});
    ASSERT_EQ(rig_.perform(*first_, op, first_bytes - 4096, 4096, data.data()), IoError::none);
    EXPECT_EQ(changed(first_bytes - 4096, first_bytes), 4096);
    EXPECT_EQ(changed(0, whole_bytes), 4096) << name_of(op);
    ASSERT_EQ(rig_.perform(*second_, op, 0, 512, data.data()), IoError::none);
    ASSERT_EQ(rig_.perform(*second_, op, second_bytes - 512, 512, data.data()), IoError::none);
    EXPECT_EQ(changed(first_bytes, first_bytes + second_bytes), 1024);
    EXPECT_EQ(changed(0, whole_bytes), 4096 + 1024) << name_of(op);
  }
}

TEST_F(Parts, a_range_that_reaches_beyond_never_reaches_the_whole) {
  AlignedBytes data(8192);
  for (const Op op : {Op::read, Op::write, Op::discard, Op::write_zeroes, Op::prefetch}) {
    for (BlockDevice* part : {first_.get(), second_.get()}) {
      const std::uint64_t end = part->limits().size;
      EXPECT_EQ(rig_.perform(*part, op, end - 4096, 4097, data.data()), IoError::invalid);
      EXPECT_EQ(rig_.perform(*part, op, end, 1, data.data()), IoError::invalid);
      EXPECT_EQ(rig_.perform(*part, op, end + 1, 0, data.data()), IoError::invalid);
      EXPECT_EQ(rig_.perform(*part, op, UINT64_MAX - 10, 4096, data.data()), IoError::invalid);
      EXPECT_EQ(rig_.perform(*part, op, 4096, UINT64_MAX - 4096, data.data()), IoError::invalid);
    }
  }
  EXPECT_EQ(changed(0, whole_bytes), 0);
}

TEST_F(Parts, the_owner_finds_its_request_as_it_left_it_and_hears_why_it_failed) {
  AlignedBytes data(512);
  Request request;
  request.op = Op::write;
  request.offset = 1024;
  request.length = 512;
  request.data = data.data();
  whole_->fail_next(IoError::no_space, "full");
  EXPECT_EQ(rig_.perform(*second_, request), IoError::no_space);
  EXPECT_STREQ(request.reason, "full");
  EXPECT_EQ(request.offset, 1024U);
  EXPECT_EQ(rig_.perform(*second_, request), IoError::none);
  EXPECT_EQ(request.reason, nullptr);
  EXPECT_EQ(changed(first_bytes + 1024, first_bytes + 1536), 512);
  EXPECT_EQ(changed(0, whole_bytes), 512);
}

TEST_F(Parts, many_requests_at_once_find_their_places) {
  constexpr std::size_t count = 32;
  std::array<Request, count> requests;
  std::array<std::byte, count> bytes{};
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::byte>(i);
    requests[i].op = Op::write;
    requests[i].offset = i * 100;
    requests[i].length = 1;
    requests[i].data = &bytes[i];
    rig_.submit(*second_, requests[i]);
  }
  rig_.drain();
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_EQ(whole_->content()[first_bytes + i * 100], bytes[i]);
  }
  EXPECT_EQ(changed(0, whole_bytes), static_cast<std::ptrdiff_t>(count));
}

TEST_F(Parts, the_whole_lives_as_long_as_one_of_them) {
  first_.reset();
  AlignedBytes data(4096);
  EXPECT_EQ(rig_.read(*second_, 0, data.data(), 4096), IoError::none);
  EXPECT_EQ(data.data()[4095], std::byte{0x77});
}

}  // namespace
}  // namespace baton::blockdev
