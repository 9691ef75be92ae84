// Goal: the activity log of a volume shares transactions, evicts by age, asks for room when it has
// to, and costs nothing on a hit.
#include "tests/support/count_allocations.h"
#include "tests/unit/blockdev/metadata/store_fixture.h"

namespace baton::blockdev {
namespace {

struct ActivityLogTest : MetadataTest {
  int asked_for_room = 0;
  std::array<std::optional<IoError>, 8> results;

  void make_with_limit(std::size_t regions) {
    limit = regions;
    make(16 * gib);
    store->set_pressure_handler(
        [](void* self) { ++static_cast<ActivityLogTest*>(self)->asked_for_room; }, this);
  }
  IoError acquire(std::uint64_t region) {
    return *run(store->acquire(region * region_bytes, block_bytes));
  }
  void release(std::uint64_t region) { store->release(region * region_bytes, block_bytes); }
  void use_once(std::uint64_t region) {
    EXPECT_EQ(acquire(region), IoError::none);
    release(region);
  }
  void all_clean() { store->mark_clean(store->begin_interval()); }
  bool active(std::uint64_t region) {
    if (!store->acquire_if_active(region * region_bytes, 1)) return false;
    release(region);
    return true;
  }
};

TEST_F(ActivityLogTest, misses_of_one_moment_share_one_transaction_with_one_flush) {
  make_with_limit(100);
  const std::uint64_t flushes = disk->flushes();
  const std::uint64_t writes = disk->writes();
  Scope scope(loop);
  for (std::uint64_t i = 0; i < results.size(); ++i) {
    scope.spawn(tests::keep_result(store->acquire(i * region_bytes, 4096), results[i]));
  }
  tests::settle(loop, *disk);
  for (const auto& result : results) EXPECT_EQ(result, IoError::none);
  EXPECT_EQ(disk->flushes() - flushes, 1U);
  EXPECT_EQ(disk->writes() - writes, 1U);
  EXPECT_EQ(store->activity_counters().transactions, 1U);
  EXPECT_EQ(store->activity_counters().misses, 8U);
}

TEST_F(ActivityLogTest, a_region_on_its_way_to_the_disk_is_not_active_yet) {
  make_with_limit(100);
  Scope scope(loop);
  scope.spawn(tests::keep_result(store->acquire(0, 4096), results[0]));
  loop.run_turn();
  disk->step();  // the write; the flush is still to come
  loop.run_turn();
  EXPECT_FALSE(store->acquire_if_active(0, 4096));
  EXPECT_FALSE(results[0]);
  tests::settle(loop, *disk);
  EXPECT_TRUE(store->acquire_if_active(0, 4096));
}

TEST_F(ActivityLogTest, a_region_that_one_transaction_adds_serves_all_who_wait_for_it) {
  make_with_limit(100);
  Scope scope(loop);
  scope.spawn(tests::keep_result(store->acquire(0, 4096), results[0]));
  loop.run_turn();
  scope.spawn(tests::keep_result(store->acquire(8192, 4096), results[1]));
  tests::settle(loop, *disk);
  EXPECT_EQ(results[1], IoError::none);
  EXPECT_EQ(store->activity_counters().transactions, 1U);
}

TEST_F(ActivityLogTest, the_region_released_longest_ago_leaves_first) {
  make_with_limit(3);
  for (const std::uint64_t region : {10, 11, 12}) use_once(region);
  use_once(10);
  all_clean();
  use_once(13);
  EXPECT_TRUE(active(10));
  EXPECT_FALSE(active(11));
  EXPECT_TRUE(active(12));
  reload();
  EXPECT_EQ(store->recovered_regions(), (std::vector<std::uint64_t>{10, 12, 13}));
}

TEST_F(ActivityLogTest, a_region_in_use_or_dirty_stays_and_the_owner_is_asked_to_flush) {
  make_with_limit(2);
  EXPECT_EQ(acquire(1), IoError::none);
  use_once(2);
  Scope scope(loop);
  scope.spawn(tests::keep_result(store->acquire(3 * region_bytes, 1), results[0]));
  tests::settle(loop, *disk);
  EXPECT_FALSE(results[0]);
  EXPECT_EQ(asked_for_room, 1);
  all_clean();
  tests::settle(loop, *disk);
  EXPECT_EQ(results[0], IoError::none);
  EXPECT_FALSE(active(2));
  EXPECT_TRUE(active(1));
  EXPECT_EQ(store->activity_counters().stalls, 1U);
}

TEST_F(ActivityLogTest, when_all_is_in_use_the_owner_is_asked_once_something_is_released) {
  make_with_limit(1);
  EXPECT_EQ(acquire(1), IoError::none);
  Scope scope(loop);
  scope.spawn(tests::keep_result(store->acquire(3 * region_bytes, 1), results[0]));
  tests::settle(loop, *disk);
  EXPECT_EQ(asked_for_room, 0);
  all_clean();
  tests::settle(loop, *disk);
  EXPECT_EQ(asked_for_room, 0);
  release(1);
  EXPECT_EQ(asked_for_room, 1);
  EXPECT_FALSE(results[0]);
  all_clean();
  tests::settle(loop, *disk);
  EXPECT_EQ(results[0], IoError::none);
}

TEST_F(ActivityLogTest, a_release_after_the_interval_began_is_not_covered_by_it) {
  make_with_limit(1);
  EXPECT_EQ(acquire(1), IoError::none);
  const std::uint64_t interval = store->begin_interval();
  release(1);
  store->mark_clean(interval);
  Scope scope(loop);
  scope.spawn(tests::keep_result(store->acquire(3 * region_bytes, 1), results[0]));
  tests::settle(loop, *disk);
  EXPECT_FALSE(results[0]);
}

TEST_F(ActivityLogTest, a_range_of_several_regions_is_granted_whole_and_in_turn) {
  make_with_limit(3);
  use_once(1);
  use_once(2);
  Scope scope(loop);
  scope.spawn(tests::keep_result(store->acquire(2 * region_bytes, 3 * region_bytes), results[0]));
  scope.spawn(tests::keep_result(store->acquire(9 * region_bytes, 1), results[1]));
  tests::settle(loop, *disk);
  EXPECT_FALSE(results[0]);
  EXPECT_FALSE(results[1]) << "a small request overtook a large one";
  all_clean();
  tests::settle(loop, *disk);
  EXPECT_EQ(results[0], IoError::none);
  store->release(2 * region_bytes, 3 * region_bytes);
  all_clean();
  tests::settle(loop, *disk);
  EXPECT_EQ(results[1], IoError::none);
}

TEST_F(ActivityLogTest, what_a_range_asks_for_does_not_leave_to_make_room_for_the_rest_of_it) {
  make_with_limit(2);
  use_once(1);
  EXPECT_EQ(acquire(5), IoError::none);
  all_clean();
  Scope scope(loop);
  scope.spawn(tests::keep_result(store->acquire(region_bytes, 2 * region_bytes), results[0]));
  tests::settle(loop, *disk);
  EXPECT_FALSE(results[0]);
  EXPECT_TRUE(active(1));
  release(5);
  all_clean();
  tests::settle(loop, *disk);
  EXPECT_EQ(results[0], IoError::none);
}

TEST_F(ActivityLogTest, a_range_larger_than_the_log_is_refused_at_once) {
  make_with_limit(3);
  EXPECT_EQ(*run(store->acquire(0, 4 * region_bytes)), IoError::invalid);
}

TEST_F(ActivityLogTest, recovered_regions_stay_until_they_are_marked_clean) {
  make_with_limit(2);
  use_once(1);
  use_once(2);
  reload();
  Scope scope(loop);
  scope.spawn(tests::keep_result(store->acquire(3 * region_bytes, 1), results[0]));
  tests::settle(loop, *disk);
  EXPECT_FALSE(results[0]);
  all_clean();
  tests::settle(loop, *disk);
  EXPECT_EQ(results[0], IoError::none);
}

TEST_F(ActivityLogTest, more_recovered_regions_than_the_limit_raise_it) {
  make_with_limit(5);
  for (std::uint64_t region = 0; region < 5; ++region) use_once(region);
  limit = 2;
  reload();
  EXPECT_EQ(store->active_regions(), 5U);
  EXPECT_EQ(store->active_regions_max(), 5U);
}

TEST_F(ActivityLogTest, emptying_is_refused_while_a_region_is_in_use_or_dirty_and_is_durable) {
  make_with_limit(100);
  EXPECT_EQ(acquire(1), IoError::none);
  EXPECT_EQ(run(store->empty_activity_log()), IoError::invalid);
  release(1);
  EXPECT_EQ(run(store->empty_activity_log()), IoError::invalid);
  all_clean();
  EXPECT_EQ(run(store->empty_activity_log()), IoError::none);
  EXPECT_EQ(store->active_regions(), 0U);
  tests::Rng rng(1);
  reload(disk->after_power_cut(rng));
  EXPECT_TRUE(store->recovered_regions().empty());
}

TEST_F(ActivityLogTest, small_volumes_are_covered_whole_and_large_ones_by_25_gib) {
  make(40ULL << 20U);
  EXPECT_EQ(store->active_regions_max(), 10U);
  make(30 * gib);
  EXPECT_EQ(store->active_regions_max(), 6400U);
}

TEST_F(ActivityLogTest, a_failed_disk_answers_everybody_and_is_final) {
  make_with_limit(1);
  EXPECT_EQ(acquire(1), IoError::none);
  Scope scope(loop);
  scope.spawn(tests::keep_result(store->acquire(3 * region_bytes, 1), results[0]));
  tests::settle(loop, *disk);
  disk->fail_everything();
  store->bitmap(0).set(0, 1);
  EXPECT_EQ(run(store->write_bitmap(0)), IoError::io);
  tests::settle(loop, *disk);
  EXPECT_EQ(results[0], IoError::io) << "who waits for room is told that none will come";
  EXPECT_EQ(acquire(2), IoError::io);
  EXPECT_EQ(run(store->commit(store->superblock())), IoError::io);
  EXPECT_EQ(run(store->empty_activity_log()), IoError::io);
}

TEST_F(ActivityLogTest, once_nothing_becomes_clean_any_more_nobody_waits_for_room) {
  make_with_limit(1);
  EXPECT_EQ(acquire(1), IoError::none);
  Scope scope(loop);
  scope.spawn(tests::keep_result(store->acquire(3 * region_bytes, 1), results[0]));
  tests::settle(loop, *disk);
  ASSERT_FALSE(results[0]);
  store->refuse_acquires();
  tests::settle(loop, *disk);
  EXPECT_EQ(results[0], IoError::io);
  EXPECT_EQ(acquire(1), IoError::io);
  EXPECT_EQ(run(store->commit(store->superblock())), IoError::none) << "the metadata are well";
}

TEST_F(ActivityLogTest, hits_and_releases_allocate_nothing) {
  make_with_limit(100);
  for (std::uint64_t region = 0; region < 100; ++region) use_once(region);
  all_clean();
  const std::uint64_t before = tests::allocations();
  for (std::uint64_t i = 0; i < 10000; ++i) {
    const std::uint64_t offset = i * 7919 % 99 * region_bytes + 5;
    ASSERT_TRUE(store->acquire_if_active(offset, region_bytes));
    store->release(offset, region_bytes);
    if (i % 100 == 0) all_clean();
  }
  EXPECT_EQ(tests::allocations() - before, 0U);
  EXPECT_EQ(store->activity_counters().hits, 10000U);
}

TEST_F(ActivityLogTest, frames_thrown_away_while_they_wait_leave_nothing_behind) {
  make_with_limit(1);
  EXPECT_EQ(acquire(1), IoError::none);
  {
    Scope scope(loop);
    scope.spawn(tests::keep_result(store->acquire(3 * region_bytes, 1), results[0]));
    tests::settle(loop, *disk);
  }
  release(1);
  all_clean();
  EXPECT_EQ(acquire(4), IoError::none);
}

}  // namespace
}  // namespace baton::blockdev
