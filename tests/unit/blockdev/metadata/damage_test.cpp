// Goal: whatever byte of a metadata device changes, the piece is refused or widened, never
// defaulted; and what does not belong is refused with one clear sentence.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>

#include "base/hash.h"
#include "tests/unit/blockdev/metadata/store_fixture.h"

namespace baton::blockdev {
namespace {

struct DamageTest : MetadataTest {
  static constexpr std::uint64_t size = 100ULL << 20U;  // 25 regions; one page per bitmap
  tests::DiskImage undamaged;

  void SetUp() override {
    make(size);
    EXPECT_EQ(run(store->acquire(3 * region_bytes, 2 * region_bytes)), IoError::none);
    store->bitmap(0).set(40 * block_bytes, 10 * block_bytes);
    store->bitmap(1).set(size - 1, 1);
    EXPECT_EQ(run(store->write_bitmap(0)), IoError::none);
    EXPECT_EQ(run(store->write_bitmap(1)), IoError::none);
    EXPECT_EQ(run(store->commit(store->superblock())), IoError::none);
    undamaged = disk->visible();
  }

  // What must hold however the device was damaged.
  void expect_nothing_forgotten(const std::string& where) {
    EXPECT_EQ(store->superblock(), example_superblock(size)) << where;
    const auto& regions = store->recovered_regions();
    for (const std::uint64_t region : {3, 4}) {
      EXPECT_TRUE(std::ranges::binary_search(regions, region)) << where;
    }
    for (std::uint64_t block = 40; block < 50; ++block) {
      EXPECT_TRUE(store->bitmap(0).test(block)) << where;
    }
    EXPECT_TRUE(store->bitmap(1).test(store->bitmap(1).blocks() - 1)) << where;
  }

  // A superblock copy changed on purpose, with its checksum made right.
  template <class Change>
  std::string refusal_after(Change change) {
    tests::DiskImage image = undamaged;
    for (const std::uint64_t copy : {0, 1}) {
      SuperblockPage page;
      std::byte* at = image.data() + copy * superblock_distance_bytes;
      std::memcpy(&page, at, sizeof page);
      change(page);
      page.checksum = xxh3_64(bytes_of(page).subspan(8));
      std::memcpy(at, &page, sizeof page);
    }
    return try_reload(std::move(image));
  }
};

TEST_F(DamageTest, any_byte_that_changes_is_noticed_and_nothing_is_forgotten) {
  const auto check = [&](std::uint64_t at) {
    tests::DiskImage image = undamaged;
    image[at] ^= std::byte{static_cast<unsigned char>(1U << (at % 8))};
    reload(std::move(image));
    EXPECT_EQ(warnings.size(), 1U) << at;
    expect_nothing_forgotten(fmt::format("byte {}", at));
  };
  // Every byte of headers, every seventh (which meets every bit) of what follows.
  const auto worth_it = [](std::uint64_t at) { return at % cell_bytes < 40 || at % 7 == 0; };
  for (std::uint64_t at = 0; at < undamaged.size(); ++at) {
    const bool unused = at % superblock_distance_bytes >= page_bytes && at < activity_log_offset;
    if (!unused && worth_it(at)) check(at);
  }
}

TEST_F(DamageTest, a_page_full_of_zeroes_is_damage) {
  for (std::uint64_t at = activity_log_offset; at < undamaged.size(); at += page_bytes) {
    tests::DiskImage image = undamaged;
    std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(at), page_bytes, std::byte{0});
    reload(std::move(image));
    EXPECT_EQ(warnings.size(), 1U);
    expect_nothing_forgotten(fmt::format("page at {}", at));
  }
}

TEST_F(DamageTest, an_unreadable_page_counts_as_damaged_and_writing_it_heals_it) {
  const std::uint64_t bitmap0_at = Geometry::of(size, 2).bitmap_at(0, 0);
  store.reset();
  warnings.clear();
  disk = std::make_unique<tests::CrashDisk>(undamaged);
  disk->fail_reads_of(bitmap0_at + 100);
  ASSERT_EQ(try_open(), "");
  EXPECT_EQ(warnings.size(), 1U);
  expect_nothing_forgotten("unreadable page");
  EXPECT_EQ(store->bitmap(0).bytes_set(), size);
  EXPECT_EQ(run(store->write_bitmap(0)), IoError::none);
  reload();
  EXPECT_TRUE(warnings.empty());
  EXPECT_EQ(store->bitmap(0).bytes_set(), size);
}

TEST_F(DamageTest, a_damaged_activity_log_is_healed_by_the_next_transaction) {
  tests::DiskImage image = undamaged;
  image[activity_log_offset + 40] ^= std::byte{1};
  reload(std::move(image));
  EXPECT_EQ(store->recovered_regions().size(), 25U);
  store->mark_clean(store->begin_interval());
  EXPECT_EQ(run(store->empty_activity_log()), IoError::none);
  reload();
  EXPECT_TRUE(warnings.empty());
  EXPECT_TRUE(store->recovered_regions().empty());
}

TEST_F(DamageTest, a_page_in_the_place_of_another_is_noticed) {
  const Geometry geometry = Geometry::of(size, 2);
  tests::DiskImage image = undamaged;  // the bitmap of slot 1 is written over that of slot 0
  std::memcpy(image.data() + geometry.bitmap_at(0, 0), undamaged.data() + geometry.bitmap_at(1, 0),
              page_bytes);
  reload(std::move(image));
  EXPECT_EQ(store->bitmap(0).bytes_set(), size);
  image = undamaged;  // one cell over its neighbour
  std::memcpy(image.data() + activity_log_offset, image.data() + activity_log_offset + cell_bytes,
              cell_bytes);
  reload(std::move(image));
  EXPECT_EQ(store->recovered_regions().size(), 25U);
}

TEST_F(DamageTest, a_superblock_copy_in_the_place_of_the_other_is_noticed) {
  tests::DiskImage image = undamaged;
  std::memcpy(image.data(), image.data() + superblock_distance_bytes, page_bytes);
  reload(std::move(image));
  EXPECT_EQ(warnings.size(), 1U);
  expect_nothing_forgotten("copy 1 over copy 0");
}

// Nobody is told to overwrite what a cable would bring back.
TEST_F(DamageTest, superblocks_that_cannot_be_read_are_not_called_lost) {
  store.reset();
  disk = std::make_unique<tests::CrashDisk>(undamaged);
  disk->fail_reads_of(0);
  disk->fail_reads_of(superblock_distance_bytes);
  EXPECT_THAT(try_open(), testing::AllOf(testing::HasSubstr("copy 0 is unreadable"),
                                         testing::HasSubstr("check the device"),
                                         testing::Not(testing::HasSubstr("are lost"))));
}

TEST_F(DamageTest, an_unknown_version_feature_or_flag_is_refused) {
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.version = 2; }),
              testing::HasSubstr("version 2"));
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.features = 4; }),
              testing::HasSubstr("features 0x4"));
  const auto never_written = testing::HasSubstr("never writes");
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.flags |= 256; }), never_written);
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.lineage_count = 65; }), never_written);
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.lineage_count = 1; }), never_written);
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.node.fill('x'); }), never_written);
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.peers[7].flags = 2; }), never_written);
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.reserved_tail[9] = std::byte{1}; }),
              never_written);
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.slots = 9; }),
              testing::HasSubstr("9 bitmaps"));
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.volume_size = 0; }),
              testing::HasSubstr("out of range"));
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.bitmap_offset += 4096; }),
              testing::HasSubstr("layout"));
}

TEST_F(DamageTest, a_newer_copy_that_is_not_understood_is_not_passed_over_for_the_older_one) {
  EXPECT_THAT(refusal_after([](SuperblockPage& page) {
                if (page.copy == 0) return;
                page.sequence += 1;
                page.version = 2;
              }),
              testing::HasSubstr("version 2"));
}

TEST_F(DamageTest, two_copies_that_contradict_each_other_are_refused) {
  EXPECT_THAT(refusal_after([](SuperblockPage& page) { page.epoch = page.copy + 5; }),
              testing::HasSubstr("contradict"));
}

TEST_F(DamageTest, no_metadata_lost_metadata_and_short_devices_are_told_apart) {
  EXPECT_THAT(try_reload(tests::DiskImage(undamaged.size())),
              testing::HasSubstr("holds no Baton metadata"));
  EXPECT_THAT(try_reload(tests::DiskImage(100)), testing::HasSubstr("cannot hold"));
  tests::DiskImage image = undamaged;
  image[2000] ^= std::byte{1};
  image[superblock_distance_bytes + 2000] ^= std::byte{1};
  EXPECT_THAT(try_reload(image), testing::HasSubstr("both superblock copies"));
  image = undamaged;
  image.resize(image.size() - page_bytes);
  EXPECT_THAT(try_reload(image), testing::HasSubstr("cut short"));
}

TEST_F(DamageTest, metadata_of_something_else_is_refused_by_name) {
  const Superblock& content = store->superblock();
  const VolumeIdentity right{.resource = "vm1", .node = "alpha", .volume = 1, .size = size};
  EXPECT_TRUE(check_belongs(content, right, "/meta"));
  VolumeIdentity wrong = right;
  wrong.resource = "vm2";
  EXPECT_EQ(check_belongs(content, wrong, "/meta").error().message,
            "/meta holds the metadata of volume 1 of resource vm1 on node alpha, not of volume 1 "
            "of vm2 on alpha: check the `meta` and `disks` paths");
  wrong = right;
  wrong.node = "beta";
  EXPECT_FALSE(check_belongs(content, wrong, "/meta"));
  wrong = right;
  wrong.volume = 0;
  EXPECT_FALSE(check_belongs(content, wrong, "/meta"));
  wrong = right;
  wrong.size = size - 1;
  EXPECT_FALSE(check_belongs(content, wrong, "/meta"));
}

TEST_F(DamageTest, format_refuses_what_cannot_be_written_down_and_leaves_the_device_alone) {
  const std::uint64_t writes = disk->writes();
  const auto refusal = [&](Superblock initial, std::uint32_t slots) {
    const auto done = run(loop, *disk, Metadata::format(loop, *disk, std::move(initial), slots));
    return *done ? "" : done->error().message;
  };
  Superblock initial = example_superblock(size);
  EXPECT_THAT(refusal(initial, 9), testing::HasSubstr("at most 8"));
  EXPECT_THAT(refusal(initial, 8), testing::HasSubstr("takes"));
  initial.resource = std::string(128, 'r');
  EXPECT_THAT(refusal(initial, 2), testing::HasSubstr("1 to 127"));
  initial = example_superblock(size);
  initial.peers[3].name = std::string(64, 'p');
  EXPECT_THAT(refusal(initial, 2), testing::HasSubstr("63 bytes"));
  initial = example_superblock(0);
  EXPECT_THAT(refusal(initial, 2), testing::HasSubstr("size of 0"));
  EXPECT_EQ(disk->writes(), writes);
}

TEST_F(DamageTest, a_format_cut_short_leaves_no_old_superblock_over_empty_bitmaps) {
  tests::Rng rng(7);
  Superblock fresh = example_superblock(size);
  fresh.epoch = 99;
  for (std::uint32_t cut = 0; cut < 200; ++cut) {
    Loop other;
    tests::CrashDisk target(undamaged);
    Scope scope(other);
    std::optional<Result<>> done;
    scope.spawn(tests::keep_result(Metadata::format(other, target, fresh, 2), done));
    for (std::uint32_t i = 0; i < cut / 20 && !target.idle(); ++i) target.step();
    if (!try_reload(target.after_power_cut(rng)).empty()) continue;
    if (store->superblock().epoch == fresh.epoch) {
      EXPECT_TRUE(store->recovered_regions().empty());
      EXPECT_EQ(store->bitmap(0).blocks_set() + store->bitmap(1).blocks_set(), 0U);
    } else {
      expect_nothing_forgotten(fmt::format("cut {}", cut));
    }
  }
}

}  // namespace
}  // namespace baton::blockdev
