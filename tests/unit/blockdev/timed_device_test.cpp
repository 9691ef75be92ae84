#include "blockdev/timed_device.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>

#include "tests/support/test_devices.h"
#include "tests/support/virtual_clock.h"

namespace baton::blockdev {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t block = 4096;

struct Asked : Request {
  explicit Asked(Op what, std::uint64_t at = 0, std::byte fill = {}) {
    op = what;
    offset = at;
    content.fill(fill);
    const bool moves = what == Op::read || what == Op::write;
    length = moves ? block : 0;
    data = content.data();
    on_complete([](Operation& self) { ++static_cast<Asked&>(self).answers; }, nullptr);
  }
  std::array<std::byte, block> content{};
  int answers = 0;
};

class TimedDeviceTest : public testing::Test, protected TimedDeviceOwner {
 protected:
  void gave_up(const BlockDevice& device, Op oldest, std::uint64_t requests) override {
    EXPECT_EQ(device.name(), "memory");
    oldest_ = oldest;
    given_up_ += requests;
  }
  void all_answered(const std::string& /*device*/) override { ++answered_; }

  void turn() {
    while (loop_.run_turn()) continue;
  }
  // As a process that runs all the time sees it pass.
  void pass(Duration time) {
    for (Duration passed{}; passed < time; passed += 100ms) {
      clock_.advance(100ms);
      turn();
    }
  }
  void ask(Request& request) {
    device_->submit(request);
    turn();
  }

  Loop loop_;
  test::VirtualClock clock_;
  BufferPool buffers_{16U << 20U};
  test::MemoryDevice disk_{loop_, 16 * block};
  Unanswered unanswered_;
  std::optional<TimedDevice> device_{std::in_place, std::make_unique<test::DeviceDoor>(disk_), 8s,
                                     TimedDeviceWorld{loop_, clock_, buffers_, unanswered_, *this}};
  Op oldest_ = Op::prefetch;
  std::uint64_t given_up_ = 0;
  int answered_ = 0;
};

TEST_F(TimedDeviceTest, what_the_device_answers_is_passed_on) {
  Asked write(Op::write, block, std::byte{7});
  ask(write);
  Asked read(Op::read, block);
  ask(read);
  EXPECT_EQ(read.content, write.content);
  std::vector<Extent> extents;
  Asked status(Op::block_status);
  status.length = 2 * block;
  status.extents = &extents;
  ask(status);
  ASSERT_EQ(extents.size(), 2U);
  EXPECT_TRUE(extents[0].hole);
  disk_.fail_next(IoError::no_space, "full");
  Asked failing(Op::write);
  ask(failing);
  EXPECT_EQ(failing.error, IoError::no_space);
  EXPECT_STREQ(failing.reason, "full");
  EXPECT_EQ(failing.answers, 1);
  EXPECT_EQ(buffers_.bytes_out(), 0U);
}

TEST_F(TimedDeviceTest, silence_fails_what_is_in_flight_and_everything_later) {
  disk_.hold();
  Asked flush(Op::flush);
  ask(flush);
  pass(6s);
  Asked young(Op::read);
  ask(young);
  pass(1900ms);
  EXPECT_EQ(flush.answers, 0) << "not before the timeout";
  pass(1300ms);
  EXPECT_EQ(flush.answers, 1);
  EXPECT_EQ(flush.error, IoError::io);
  EXPECT_EQ(young.error, IoError::io);
  EXPECT_EQ(oldest_, Op::flush);
  EXPECT_EQ(given_up_, 2U);
  EXPECT_EQ(unanswered_.requests(), 2U);
  Asked later(Op::read);
  ask(later);
  EXPECT_EQ(later.answers, 1);
  EXPECT_EQ(later.error, IoError::io);
  disk_.let_go();
  turn();
  EXPECT_TRUE(unanswered_.empty());
  EXPECT_EQ(answered_, 1);
  EXPECT_EQ(flush.answers, 1) << "once";
  Asked after(Op::read);
  ask(after);
  EXPECT_EQ(after.error, IoError::io) << "it stays failed";
}

TEST_F(TimedDeviceTest, a_late_completion_touches_nothing_of_the_owners) {
  disk_.hold();
  Asked write(Op::write, 0, std::byte{1});
  Asked read(Op::read, block, std::byte{2});
  disk_.content().assign(16 * block, std::byte{9});
  ask(write);
  ask(read);
  pass(10s);
  ASSERT_EQ(write.answers + read.answers, 2);
  write.content.fill(std::byte{3});
  read.content.fill(std::byte{4});
  disk_.let_go();
  turn();
  EXPECT_EQ(disk_.content()[0], std::byte{1}) << "as it was submitted";
  EXPECT_EQ(read.content[0], std::byte{4});
  EXPECT_EQ(buffers_.bytes_out(), 0U);
}

TEST_F(TimedDeviceTest, time_in_which_nobody_listened_is_no_evidence) {
  disk_.hold();
  Asked write(Op::write);
  ask(write);
  pass(7s);
  clock_.advance(10min);
  EXPECT_EQ(given_up_, 0U) << "its answer may have come meanwhile, and is heard first";
  disk_.let_go();
  turn();
  EXPECT_EQ(write.answers, 1);
  EXPECT_EQ(write.error, IoError::none);
  disk_.hold();
  Asked hangs(Op::write);
  ask(hangs);
  pass(10s);
  EXPECT_EQ(hangs.error, IoError::io) << "then it counts anew";
}

TEST_F(TimedDeviceTest, a_closed_device_stays_until_it_has_answered) {
  disk_.hold();
  Asked write(Op::write, 0, std::byte{5});
  ask(write);
  pass(10s);
  device_.reset();
  EXPECT_FALSE(unanswered_.empty());
  disk_.let_go();
  turn();
  EXPECT_TRUE(unanswered_.empty());
  EXPECT_EQ(disk_.content()[0], std::byte{5});
  EXPECT_EQ(buffers_.bytes_out(), 0U);
}

}  // namespace
}  // namespace baton::blockdev
