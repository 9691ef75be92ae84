// Goal: a disk that lies does so exactly as the script says, where it says so, and the watch is
// told which bytes are not what was stored.
#include <gtest/gtest.h>

#include <set>

#include "tests/simulation/disk_rig.h"

namespace baton::sim {
namespace {

class LyingDisk : public DiskRig {
 protected:
  struct Watch final : DiskWatch {
    void submitted(const SimDisk&, std::uint64_t, std::uint64_t) override {}
    bool may_fail(const SimDisk&) override { return true; }
    void failed(const SimDisk&, Op) override {}
    void damaged(const SimDisk&, std::uint64_t offset, std::uint64_t length) override {
      for (std::uint64_t at = offset; at < offset + length; at += sector_bytes) {
        hurt.insert(at / sector_bytes);
      }
    }
    void stored(const SimDisk&, std::uint64_t offset, std::uint64_t length) override {
      for (std::uint64_t at = offset; at < offset + length; at += sector_bytes) {
        hurt.erase(at / sector_bytes);
      }
    }
    std::set<std::uint64_t> hurt;
  };

  std::unique_ptr<SimDisk> make_watched(std::uint64_t seed) {
    auto disk = make(seed);
    disk->watch(&watch_);
    return disk;
  }

  Watch watch_;
};

TEST_F(LyingDisk, rots_by_one_bit_that_survives_a_flush_and_the_power) {
  const auto disk = make_watched(1);
  run(Op::write, 8192, 4096, std::byte{7});
  disk->rot(8192, 512, 1);
  run(Op::flush, 0, 0);
  disk->process_killed();
  disk->power_cut(PowerLoss::lose);
  int flipped = 0;
  for (std::uint64_t at = 0; at < 4096; ++at) {
    const auto byte = std::to_integer<unsigned>(visible(*disk, 8192 + at));
    flipped += std::popcount(byte ^ 7U);
    if (at >= 512) EXPECT_EQ(byte, 7U);
  }
  EXPECT_EQ(flipped, 1);
  EXPECT_EQ(watch_.hurt, std::set<std::uint64_t>{16});
}

TEST_F(LyingDisk, answers_a_write_that_it_does_not_store) {
  const auto disk = make_watched(2);
  run(Op::write, 0, 8192, std::byte{1});
  disk->lie({.kind = DiskLie::Kind::lost, .count = 1, .offset = 4096, .length = 4096});
  EXPECT_FALSE(disk->sound());
  EXPECT_EQ(run(Op::write, 0, 512, std::byte{2}), IoError::none);
  EXPECT_EQ(run(Op::write, 4096, 512, std::byte{2}), IoError::none);
  EXPECT_EQ(visible(*disk, 0), std::byte{2}) << "outside of the range";
  EXPECT_EQ(visible(*disk, 4096), std::byte{1});
  EXPECT_EQ(watch_.hurt, std::set<std::uint64_t>{8});
  EXPECT_EQ(run(Op::write, 4096, 512, std::byte{3}), IoError::none);
  EXPECT_EQ(visible(*disk, 4096), std::byte{3}) << "only one write is lost";
  EXPECT_TRUE(watch_.hurt.empty());
  device_.reset();
}

TEST_F(LyingDisk, puts_a_write_somewhere_else) {
  const auto disk = make_watched(3);
  run(Op::write, 0, 65536, std::byte{1});
  disk->lie({.kind = DiskLie::Kind::misdirected, .count = 1, .to = 32768});
  EXPECT_EQ(run(Op::write, 4096, 1024, std::byte{2}, true), IoError::none);
  disk->process_killed();
  disk->power_cut(PowerLoss::keep);
  EXPECT_EQ(visible(*disk, 4096), std::byte{1});
  EXPECT_EQ(visible(*disk, 32768), std::byte{2});
  EXPECT_EQ(visible(*disk, 33792), std::byte{1});
  EXPECT_EQ(watch_.hurt, (std::set<std::uint64_t>{8, 9, 64, 65}));
}

TEST_F(LyingDisk, leaves_a_mixture_in_a_sector_that_the_power_cut_shreds) {
  bool mixed = false;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const auto disk = make_watched(seed);
    run(Op::write, 0, 4096, std::byte{1});
    run(Op::flush, 0, 0);
    run(Op::write, 0, 4096, std::byte{2});
    disk->process_killed();
    disk->power_cut(PowerLoss::shred);
    for (std::uint64_t sector = 0; sector < 8; ++sector) {
      const bool one = visible(*disk, sector * 512) == std::byte{2} &&
                       visible(*disk, sector * 512 + 511) == std::byte{1};
      mixed = mixed || one;
      if (one) EXPECT_TRUE(watch_.hurt.contains(sector));
    }
  }
  EXPECT_TRUE(mixed);
}

TEST_F(LyingDisk, becomes_the_copy_that_was_made_of_it) {
  const auto disk = make_watched(4);
  EXPECT_FALSE(disk->has_snapshot());
  run(Op::write, 0, 4096, std::byte{1});
  disk->take_snapshot();
  run(Op::write, 512, 512, std::byte{2});
  run(Op::write, 65536, 512, std::byte{2});
  disk->process_killed();
  disk->restore_snapshot();
  disk->power_cut(PowerLoss::lose);
  EXPECT_EQ(visible(*disk, 512), std::byte{1}) << "it has no volatile cache to lose";
  EXPECT_EQ(visible(*disk, 65536), std::byte{0});
  EXPECT_EQ(watch_.hurt, (std::set<std::uint64_t>{1, 128}));
  EXPECT_TRUE(disk->has_snapshot()) << "a copy can be used twice";
}

TEST_F(LyingDisk, is_replaced_by_a_blank_one) {
  const auto disk = make_watched(5);
  run(Op::write, 4096, 1024, std::byte{1});
  disk->process_killed();
  disk->replace_by_blank();
  EXPECT_EQ(visible(*disk, 4096), std::byte{0});
  EXPECT_EQ(watch_.hurt, (std::set<std::uint64_t>{8, 9}));
  EXPECT_TRUE(disk->visible().hole(1));
}

}  // namespace
}  // namespace baton::sim
