// Goal: the explorer excuses no lost write and accuses no legal content. Method: a client's few
// requests, and images that hold one stamp or another.
#include "tests/crash/expectation.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/crash/host.h"

namespace baton::crash {
namespace {

using blockdev::Op;

constexpr std::uint64_t place = 4096;

class CrashExpectation : public testing::Test {
 protected:
  std::size_t begin(Op op, std::uint64_t stamp = 0, bool fua = false) {
    return log_.client_submitted(
        {.op = op, .fua = fua, .offset = place, .length = 512, .stamp = stamp});
  }
  void end(std::size_t request, bool done = true) { log_.client_answered(request, done); }

  bool allows(std::uint64_t stamp, Floor floor) const {
    sim::SparseImage image(volume_bytes);
    const sim::Cells cells(0, volume_bytes);
    std::array<std::byte, sim::sector_bytes> content{};
    if (stamp != 0) cells.fill(cells.cell_at(place), stamp, content);
    image.write(place, content);
    return !violation(image, floor);
  }
  std::optional<std::string> violation(const sim::SparseImage& image, Floor floor) const {
    return Expectation(log_.client(), log_.events()).violation(image, floor);
  }

  Log log_;
};

TEST_F(CrashExpectation, demands_what_a_flush_has_covered) {
  end(begin(Op::write, 1));
  end(begin(Op::write, 2));
  EXPECT_TRUE(allows(0, Floor::flushed));
  EXPECT_FALSE(allows(1, Floor::acknowledged));
  end(begin(Op::flush));
  EXPECT_FALSE(allows(0, Floor::flushed));
  EXPECT_FALSE(allows(1, Floor::flushed));
  EXPECT_TRUE(allows(2, Floor::flushed));
  EXPECT_TRUE(allows(1, Floor::none));
}

TEST_F(CrashExpectation, demands_fua_and_lets_later_writes_be_there) {
  end(begin(Op::write, 1, true));
  begin(Op::write, 2);
  EXPECT_FALSE(allows(0, Floor::flushed));
  EXPECT_TRUE(allows(1, Floor::flushed));
  EXPECT_TRUE(allows(2, Floor::flushed));
}

TEST_F(CrashExpectation, does_not_demand_what_was_answered_under_the_flush_or_failed) {
  const std::size_t write = begin(Op::write, 1);
  const std::size_t flush = begin(Op::flush);
  end(write);
  end(flush);
  EXPECT_TRUE(allows(0, Floor::flushed));
  EXPECT_FALSE(allows(0, Floor::acknowledged));
  end(begin(Op::write, 2), false);
  EXPECT_TRUE(allows(1, Floor::acknowledged));
  EXPECT_TRUE(allows(2, Floor::acknowledged));
}

TEST_F(CrashExpectation, leaves_the_order_of_what_was_under_way_together_open) {
  const std::size_t first = begin(Op::write, 1);
  const std::size_t second = begin(Op::write_zeroes);
  end(second);
  end(first);
  EXPECT_TRUE(allows(1, Floor::acknowledged));
  EXPECT_TRUE(allows(0, Floor::acknowledged));
}

TEST_F(CrashExpectation, knows_what_nobody_has_written) {
  end(begin(Op::write, 1));
  sim::SparseImage image(volume_bytes);
  const std::array<std::byte, 16> noise = {std::byte{7}};
  image.write(place, noise);
  EXPECT_TRUE(violation(image, Floor::none));
  sim::SparseImage elsewhere(volume_bytes);
  elsewhere.write(place + 512, noise);
  EXPECT_TRUE(violation(elsewhere, Floor::none));
  EXPECT_FALSE(violation(sim::SparseImage(volume_bytes), Floor::none));
}

}  // namespace
}  // namespace baton::crash
