// Goal: Metadata keeps what its header promises while nothing goes wrong.
#include "blockdev/metadata/store.h"

#include "tests/unit/blockdev/metadata/store_fixture.h"

namespace baton::blockdev {
namespace {

using MetadataStore = MetadataTest;

TEST_F(MetadataStore, a_new_area_loads_as_it_was_formatted) {
  make(16 * gib);
  EXPECT_EQ(store->superblock(), example_superblock(16 * gib));
  EXPECT_TRUE(store->recovered_regions().empty());
  EXPECT_EQ(store->slots(), 2U);
  EXPECT_EQ(store->bitmap(1).blocks_set(), 0U);
  EXPECT_TRUE(warnings.empty());
}

TEST_F(MetadataStore, a_commit_is_there_after_a_reload_in_both_copies) {
  make(gib);
  Superblock next = store->superblock();
  next.epoch = 8;
  next.towards = {5, 6, 7};
  next.peers[1] = {.name = "gamma",
                   .base_id = 1,
                   .told_id = 2,
                   .session = {3, 4},
                   .confirmed = {5, 6},
                   .behind = false};
  next.clean = next.released = next.primary = next.outdated = next.adopted = true;
  next.inconsistent = false;
  EXPECT_EQ(run(store->commit(next)), IoError::none);
  EXPECT_EQ(store->superblock(), next);
  reload();
  EXPECT_EQ(store->superblock(), next);
  const tests::DiskImage undamaged = disk->visible();
  for (const std::uint64_t copy : {0, 1}) {
    tests::DiskImage image = undamaged;
    image[copy * superblock_distance_bytes + 1000] ^= std::byte{1};
    reload(image);
    EXPECT_EQ(store->superblock(), next);
    EXPECT_EQ(warnings.size(), 1U);
  }
}

TEST_F(MetadataStore, commits_that_come_together_share_a_write_and_the_last_one_stays) {
  make(gib);
  const std::uint64_t flushes = disk->flushes();
  Scope scope(loop);
  std::array<std::optional<IoError>, 5> results;
  for (std::uint64_t i = 0; i < results.size(); ++i) {
    Superblock next = store->latest();
    next.epoch = 100 + i;
    scope.spawn(tests::keep_result(store->commit(next), results[i]));
    EXPECT_EQ(store->latest().epoch, 100 + i);
    EXPECT_EQ(store->superblock().epoch, 7U);
  }
  tests::settle(loop, *disk);
  for (const auto& result : results) EXPECT_EQ(result, IoError::none);
  EXPECT_EQ(disk->flushes() - flushes, 1U);
  EXPECT_EQ(store->superblock().epoch, 104U);
}

TEST_F(MetadataStore, an_acquired_region_is_active_and_recovered_after_a_reload) {
  make(16 * gib);
  EXPECT_FALSE(store->acquire_if_active(region_bytes, 1));
  EXPECT_EQ(run(store->acquire(2 * region_bytes - 1, 2)), IoError::none);
  EXPECT_TRUE(store->acquire_if_active(region_bytes, 2 * region_bytes));
  EXPECT_FALSE(store->acquire_if_active(region_bytes, 2 * region_bytes + 1));
  EXPECT_EQ(store->active_regions(), 2U);
  reload();
  EXPECT_EQ(store->recovered_regions(), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_TRUE(store->acquire_if_active(region_bytes, 1));
}

TEST_F(MetadataStore, bitmap_bits_are_there_after_a_reload) {
  make(16 * gib);
  store->bitmap(1).set(5 * gib, 3 * block_bytes);
  EXPECT_EQ(run(store->write_bitmap(1)), IoError::none);
  store->bitmap(1).set(6 * gib, block_bytes);
  reload();
  EXPECT_EQ(store->bitmap(1).blocks_set(), 3U);
  EXPECT_EQ(store->bitmap(1).next_set(0, 100),
            (BlockRange{.first = 5 * gib / block_bytes, .count = 3}));
  EXPECT_EQ(store->bitmap(0).blocks_set(), 0U);
  EXPECT_TRUE(warnings.empty());
}

}  // namespace
}  // namespace baton::blockdev
