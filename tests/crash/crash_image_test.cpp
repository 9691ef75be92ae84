// Goal: the explorer's disk loses exactly what a disk may lose. Method: logs of a few requests.
#include "tests/crash/crash_image.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace baton::crash {
namespace {

using blockdev::Op;

constexpr std::uint64_t metadata_bytes = 1U << 20U;

class CrashImage : public testing::Test {
 protected:
  CrashImage()
      : recording_{.seed = 1,
                   .log = {},
                   .data = {sim::SparseImage(volume_bytes), sim::SparseImage(volume_bytes)},
                   .metadata = {sim::SparseImage(metadata_bytes), sim::SparseImage(metadata_bytes)},
                   .boot = {5, 7}} {}

  std::size_t begin(Op op, std::uint64_t offset, int value, bool fua = false,
                    Part part = Part::data) {
    DiskRequest request{.op = op, .fua = fua, .offset = offset};
    request.part = part;
    if (op != Op::flush) request.length = 1024;
    if (op == Op::write) request.bytes.assign(1024, static_cast<std::byte>(value));
    return recording_.log.disk_submitted(std::move(request));
  }
  void end(std::size_t request) { recording_.log.disk_completed(request); }
  void carry_out(Op op, std::uint64_t offset = 0, int value = 0, bool fua = false,
                 Part part = Part::data) {
    end(begin(op, offset, value, fua, part));
  }

  HostImage image(Fate fate, Keep keep, std::uint64_t draw = 0) const {
    return image_at(recording_, 0, recording_.log.events(), fate, keep, sim::Prng(draw));
  }
  static int at(const sim::SparseImage& image, std::uint64_t offset) {
    std::array<std::byte, 1> byte{};
    image.read(offset, byte);
    return static_cast<int>(byte[0]);
  }

  Recording recording_;
};

TEST_F(CrashImage, keeps_what_was_complete_when_a_flush_began) {
  carry_out(Op::write, 0, 1);
  const std::size_t late = begin(Op::write, 8192, 2);
  const std::size_t flush = begin(Op::flush, 0, 0);
  end(late);
  end(flush);
  const HostImage found = image(Fate::power_cut, Keep::nothing);
  EXPECT_EQ(at(found.data, 0), 1);
  EXPECT_EQ(at(found.data, 8192), 0);
  EXPECT_EQ(found.uncertain, 1U);
  EXPECT_EQ(at(image(Fate::power_cut, Keep::everything).data, 8192), 2);
}

TEST_F(CrashImage, believes_no_flush_that_is_not_over) {
  carry_out(Op::write, 0, 1);
  begin(Op::flush, 0, 0);
  EXPECT_EQ(at(image(Fate::power_cut, Keep::nothing).data, 0), 0);
}

TEST_F(CrashImage, does_not_take_a_flush_of_the_metadata_for_one_of_the_data) {
  carry_out(Op::write, 0, 1);
  carry_out(Op::flush, 0, 0, false, Part::metadata);
  EXPECT_EQ(at(image(Fate::power_cut, Keep::nothing).data, 0), 0);
}

TEST_F(CrashImage, keeps_fua_and_not_what_was_written_before_it) {
  carry_out(Op::write, 0, 1);
  carry_out(Op::write, 8192, 2, true);
  begin(Op::write, 16384, 3, true);
  const HostImage found = image(Fate::power_cut, Keep::nothing);
  EXPECT_EQ(at(found.data, 0), 0);
  EXPECT_EQ(at(found.data, 8192), 2);
  EXPECT_EQ(at(found.data, 16384), 0);
}

TEST_F(CrashImage, brings_no_older_write_back_over_a_flushed_one) {
  carry_out(Op::write, 0, 1);
  carry_out(Op::write, 0, 2, true);
  EXPECT_EQ(at(image(Fate::power_cut, Keep::everything).data, 0), 2);
}

TEST_F(CrashImage, of_a_killed_process_has_all_that_was_complete) {
  carry_out(Op::write, 0, 1);
  carry_out(Op::write_zeroes, 512);
  begin(Op::write, 8192, 2);
  const HostImage nothing = image(Fate::killed, Keep::nothing);
  EXPECT_EQ(at(nothing.data, 0), 1);
  EXPECT_EQ(at(nothing.data, 512), 0);
  EXPECT_EQ(at(nothing.data, 8192), 0);
  EXPECT_EQ(at(image(Fate::killed, Keep::everything).data, 8192), 2);
  EXPECT_EQ(nothing.boot, 5U);
  EXPECT_NE(image(Fate::power_cut, Keep::nothing).boot, 5U);
}

TEST_F(CrashImage, tears_at_sectors) {
  carry_out(Op::write, 0, 1);
  std::set<std::pair<int, int>> seen;
  for (std::uint64_t draw = 0; draw < 40; ++draw) {
    const HostImage found = image(Fate::power_cut, Keep::torn, draw);
    seen.emplace(at(found.data, 0), at(found.data, 512));
    EXPECT_EQ(at(found.data, 0), at(found.data, 511));
  }
  EXPECT_EQ(seen.size(), 4U);
}

TEST_F(CrashImage, of_the_newest_writes_lacks_the_older_ones) {
  carry_out(Op::write, 0, 1);
  carry_out(Op::write, 8192, 2);
  std::set<std::pair<int, int>> newest;
  std::set<std::pair<int, int>> prefix;
  for (std::uint64_t draw = 0; draw < 40; ++draw) {
    const HostImage late = image(Fate::power_cut, Keep::newest, draw);
    const HostImage early = image(Fate::power_cut, Keep::prefix, draw);
    newest.emplace(at(late.data, 0), at(late.data, 8192));
    prefix.emplace(at(early.data, 0), at(early.data, 8192));
  }
  EXPECT_EQ(newest, (std::set<std::pair<int, int>>{{0, 0}, {0, 2}, {1, 2}}));
  EXPECT_EQ(prefix, (std::set<std::pair<int, int>>{{0, 0}, {1, 0}, {1, 2}}));
}

TEST_F(CrashImage, ends_at_its_point) {
  carry_out(Op::write, 0, 1, true);
  carry_out(Op::write, 0, 2, true);
  const auto found = image_at(recording_, 0, 2, Fate::killed, Keep::everything, sim::Prng(1));
  EXPECT_EQ(at(found.data, 0), 1);
}

TEST_F(CrashImage, is_told_from_another_one_by_its_choice) {
  carry_out(Op::write, 0, 1);
  EXPECT_EQ(image(Fate::power_cut, Keep::everything).choice,
            image(Fate::power_cut, Keep::only_data).choice);
  EXPECT_NE(image(Fate::power_cut, Keep::everything).choice,
            image(Fate::power_cut, Keep::only_metadata).choice);
}

}  // namespace
}  // namespace baton::crash
