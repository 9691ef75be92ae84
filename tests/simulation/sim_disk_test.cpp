// Goal: the simulated disk keeps the promises of BlockDevice and no more: what no flush has covered
// may be gone after a power cut, a killed process's requests never complete, its writes in flight
// land per sector or not.
#include "tests/simulation/sim_disk.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/simulation/disk_rig.h"

namespace baton::sim {
namespace {

using Disk = DiskRig;

TEST_F(Disk, fails_in_a_range_until_it_is_mended) {
  const auto disk = make(1);
  disk->fail({.op = Op::write, .count = UINT64_MAX, .offset = 8192, .length = 4096});
  EXPECT_EQ(run(Op::write, 4096, 4096, std::byte{1}), IoError::none);
  EXPECT_EQ(run(Op::write, 12288, 4096, std::byte{1}), IoError::none);
  EXPECT_EQ(run(Op::write, 8192, 512, std::byte{1}), IoError::io);
  EXPECT_EQ(run(Op::write_zeroes, 0, 65536), IoError::io);
  EXPECT_EQ(run(Op::read, 8192, 512), IoError::none);
  disk->mend();
  EXPECT_EQ(run(Op::write, 8192, 512, std::byte{1}), IoError::none);
  device_.reset();
}

TEST_F(Disk, has_no_room_for_a_write_but_for_a_read) {
  const auto disk = make(1);
  disk->fail({.op = Op::write, .count = UINT64_MAX, .error = IoError::no_space});
  EXPECT_EQ(run(Op::write, 0, 4096, std::byte{1}), IoError::no_space);
  EXPECT_EQ(run(Op::read, 0, 4096), IoError::none);
  EXPECT_EQ(run(Op::flush, 0, 0), IoError::none);
  device_.reset();
}

TEST_F(Disk, hangs_until_it_is_mended) {
  const auto disk = make(1);
  disk->hang();
  Pending pending;
  start(pending, Op::write, 0, 4096, std::byte{9});
  world_->run_for(std::chrono::hours(1));
  EXPECT_FALSE(pending.done);
  EXPECT_EQ(visible(*disk, 0), std::byte{0});
  disk->mend();
  world_->run_for(std::chrono::seconds(1));
  EXPECT_TRUE(pending.done);
  EXPECT_EQ(visible(*disk, 0), std::byte{9});
  device_.reset();
}

TEST_F(Disk, does_not_fail_where_its_watch_forbids_it) {
  struct Watch final : DiskWatch {
    void submitted(const SimDisk&, std::uint64_t, std::uint64_t) override {}
    bool may_fail(const SimDisk&) override { return allowed; }
    void failed(const SimDisk&, Op) override { ++failures; }
    void damaged(const SimDisk&, std::uint64_t, std::uint64_t) override {}
    void stored(const SimDisk&, std::uint64_t, std::uint64_t) override {}
    bool allowed = false;
    int failures = 0;
  } watch;
  const auto disk = make(1);
  disk->watch(&watch);
  disk->fail({.op = Op::read, .guarded = true});
  EXPECT_EQ(run(Op::read, 0, 512), IoError::none);
  watch.allowed = true;
  EXPECT_EQ(run(Op::read, 0, 512), IoError::io);
  EXPECT_EQ(run(Op::read, 0, 512), IoError::none);
  EXPECT_EQ(watch.failures, 1);
  device_.reset();
}

TEST_F(Disk, reads_what_was_written_before_any_flush) {
  const auto disk = make(1);
  run(Op::write, 5000, 3000, std::byte{7});
  run(Op::read, 5000, 3000);
  EXPECT_EQ(read_back_, std::vector(3000, std::byte{7}));
  EXPECT_EQ(visible(*disk, 4999), std::byte{0});
  EXPECT_EQ(visible(*disk, 8000), std::byte{0});
  device_.reset();
}

TEST_F(Disk, keeps_what_was_flushed_and_loses_the_rest_with_the_power) {
  const auto disk = make(2);
  run(Op::write, 0, 4096, std::byte{1});
  run(Op::flush, 0, 0);
  run(Op::write, 4096, 4096, std::byte{2});
  run(Op::write, 8192, 4096, std::byte{3}, true);
  disk->process_killed();
  disk->power_cut(PowerLoss::lose);
  EXPECT_EQ(visible(*disk, 0), std::byte{1});
  EXPECT_EQ(visible(*disk, 4096), std::byte{0});
  EXPECT_EQ(visible(*disk, 8192), std::byte{3}) << "FUA is for its own range";
}

TEST_F(Disk, does_not_let_an_older_write_come_back_over_fua) {
  const auto disk = make(3);
  run(Op::write, 0, 8192, std::byte{1});
  run(Op::write, 0, 4096, std::byte{2}, true);
  run(Op::flush, 0, 0);
  disk->process_killed();
  disk->power_cut(PowerLoss::lose);
  EXPECT_EQ(visible(*disk, 0), std::byte{2});
  EXPECT_EQ(visible(*disk, 4096), std::byte{1});
}

TEST_F(Disk, flushes_only_what_had_completed_when_the_flush_was_submitted) {
  bool lost_once = false;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto disk = make(seed);
    Pending write;
    Pending flush;
    start(write, Op::write, 0, 512, std::byte{9});
    start(flush, Op::flush, 0, 0);
    world_->run_for(std::chrono::seconds(1));
    disk->process_killed();
    disk->power_cut(PowerLoss::lose);
    lost_once = lost_once || visible(*disk, 0) == std::byte{0};
  }
  EXPECT_TRUE(lost_once);
}

TEST_F(Disk, tears_unflushed_writes_at_sectors) {
  std::set<int> patterns;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const auto disk = make(seed);
    run(Op::write, 0, 4096, std::byte{1});
    run(Op::flush, 0, 0);
    run(Op::write, 0, 4096, std::byte{2});
    disk->process_killed();
    disk->power_cut(PowerLoss::tear);
    int pattern = 0;
    for (std::uint64_t sector = 0; sector < 8; ++sector) {
      const std::byte first = visible(*disk, sector * sector_bytes);
      EXPECT_TRUE(first == std::byte{1} || first == std::byte{2});
      EXPECT_EQ(visible(*disk, sector * sector_bytes + 511), first) << "a sector is never mixed";
      pattern = pattern * 2 + (first == std::byte{2} ? 1 : 0);
    }
    patterns.insert(pattern);
  }
  EXPECT_GT(patterns.size(), 10U);
}

TEST_F(Disk, forgets_the_requests_of_a_killed_process) {
  const auto disk = make(4);
  Pending write;
  start(write, Op::write, 0, 4096, std::byte{5});
  disk->process_killed();
  world_->run_for(std::chrono::seconds(1));
  EXPECT_FALSE(write.done);
  EXPECT_TRUE(disk->idle());
  EXPECT_TRUE(disk->open(*process_).has_value()) << "the lock went with the process";
}

TEST_F(Disk, is_open_once_at_a_time) {
  const auto disk = make(5);
  EXPECT_FALSE(disk->open(*process_).has_value());
  device_.reset();
  EXPECT_TRUE(disk->open(*process_).has_value());
}

TEST_F(Disk, fails_on_demand_and_leaves_old_or_new_sectors) {
  const auto disk = make(6);
  run(Op::write, 0, 4096, std::byte{1});
  disk->fail({.op = Op::write, .count = 1});
  EXPECT_EQ(run(Op::write, 0, 4096, std::byte{2}), IoError::io);
  for (std::uint64_t at = 0; at < 4096; at += sector_bytes) {
    EXPECT_TRUE(visible(*disk, at) == std::byte{1} || visible(*disk, at) == std::byte{2});
  }
  EXPECT_EQ(run(Op::write, 0, 4096, std::byte{3}), IoError::none);
  device_.reset();
}

TEST_F(Disk, notices_a_buffer_that_changes_during_its_write) {
  const auto disk = make(7);
  Pending write;
  start(write, Op::write, 0, 4096, std::byte{5});
  write.buffer[100] = std::byte{6};
  world_->run_for(std::chrono::seconds(1));
  ASSERT_TRUE(world_->violation());
  EXPECT_EQ(world_->violation()->rule, "contract of BlockDevice");
  disk->process_killed();
}

TEST_F(Disk, shows_holes_where_nothing_was_written_or_all_was_zeroed) {
  const auto disk = make(8);
  run(Op::write, 4096, 8192, std::byte{1});
  run(Op::write_zeroes, 4096, 4096);
  std::vector<blockdev::Extent> extents;
  Pending status;
  status.extents = &extents;
  start(status, Op::block_status, 0, 16384);
  world_->run_for(std::chrono::seconds(1));
  ASSERT_EQ(extents.size(), 3U);
  EXPECT_TRUE(extents[0].hole && extents[0].length == 8192);
  EXPECT_TRUE(!extents[1].hole && extents[1].length == 4096);
  EXPECT_TRUE(extents[2].zero && extents[2].length == 4096);
  device_.reset();
}

}  // namespace
}  // namespace baton::sim
