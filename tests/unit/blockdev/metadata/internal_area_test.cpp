// Goal: internal metadata lies where docs/on-disk-format.md says, fits there whatever the size, and
// is found again by the size alone; and it is metadata like any other.
#include "blockdev/metadata/internal_area.h"

#include <random>

#include "blockdev/metadata/cells.h"
#include "blockdev/part_device.h"
#include "tests/unit/blockdev/metadata/store_fixture.h"

namespace baton::blockdev {
namespace {

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t tib = std::uint64_t{1} << 40U;

// Every size of a disk must give a place like this.
void check(std::uint64_t disk) {
  const auto area = internal_area(disk);
  ASSERT_TRUE(area) << disk;
  EXPECT_EQ(area->offset % 4096, 0U) << disk;
  EXPECT_EQ(area->bytes % 4096, 0U) << disk;
  EXPECT_GE(area->offset, 4096U) << disk;
  EXPECT_LE(area->offset + area->bytes, disk);
  EXPECT_LT(disk - (area->offset + area->bytes), 4096U) << "at the very end";
  // The largest volume in front of it, with as many peers as there can be, has room.
  EXPECT_LE(Metadata::bytes_needed(area->offset, peer_slots_max), area->bytes) << disk;
}

TEST(InternalArea, has_room_at_the_end_of_a_disk_of_any_size) {
  for (std::uint64_t disk = 172032; disk < 2 * 1024 * kib; disk += 512) check(disk);
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) check(172032 + random() % (64 * tib));
  for (const std::uint64_t near : {120 * 1024 * kib, gib, 120 * gib, tib, 16 * tib}) {
    for (std::uint64_t by = 0; by <= 16; ++by) {
      check(near - by * 512);
      check(near + by * 512);
    }
  }
}

// Figures of the document. A change of any moves the metadata of every disk that there is.
TEST(InternalArea, lies_where_the_document_says) {
  EXPECT_EQ(internal_area(8 * gib), (InternalArea{.offset = 8587538432, .bytes = 2396160}));
  EXPECT_EQ(internal_area(tib), (InternalArea{.offset = 1099225100288, .bytes = 286527488}));
}

TEST(InternalArea, a_disk_too_small_for_a_block_of_volume_has_none) {
  // 128 KiB, a page of activity log and one of each of eight bitmaps; and a block of volume.
  const std::uint64_t smallest = 128 * kib + 9 * 4096 + 4096;
  for (std::uint64_t disk = 0; disk < smallest; disk += 512) EXPECT_FALSE(internal_area(disk));
  EXPECT_EQ(internal_area(smallest), (InternalArea{.offset = 4096, .bytes = smallest - 4096}));
  EXPECT_EQ(disk_bytes_for(1), smallest);
}

TEST(InternalArea, a_disk_made_for_a_volume_holds_just_that) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 100'000; ++i) {
    // All magnitudes alike, in sectors.
    const std::uint64_t volume = 512 + (random() >> (random() % 44 + 18)) / 512 * 512;
    const std::uint64_t disk = disk_bytes_for(volume);
    ASSERT_EQ(disk % 4096, 0U);
    check(disk);
    ASSERT_EQ(internal_area(disk)->offset, (volume + 4095) / 4096 * 4096) << volume;
  }
  check(disk_bytes_for(volume_size_max));
}

TEST(InternalArea, a_disk_that_grew_by_a_block_or_more_has_another_place) {
  for (const std::uint64_t disk : {gib, tib}) {
    EXPECT_EQ(internal_area(disk + 4095), internal_area(disk));
    EXPECT_NE(internal_area(disk + 4096)->offset, internal_area(disk)->offset);
    EXPECT_NE(internal_area(disk - 512)->offset, internal_area(disk)->offset);
  }
}

// The metadata of a volume on the end of its disk, in memory.
struct InternalMetadata : testing::Test {
  static constexpr std::uint64_t volume_bytes = 16U << 20U;
  static constexpr std::byte data_byte{0x5a};
  const InternalArea area = *internal_area(disk_bytes_for(volume_bytes));

  Loop loop;
  tests::CrashDisk* disk = nullptr;
  std::unique_ptr<BlockDevice> part;
  std::unique_ptr<Store> store;

  void open(tests::DiskImage image) {
    store.reset();
    auto whole = std::make_shared<tests::CrashDisk>(std::move(image));
    disk = whole.get();
    part = make_part(loop, std::move(whole), area.offset, area.bytes, "the end of disk");
  }
  void load() {
    std::vector<std::string> warnings;
    auto opened = tests::run(loop, *disk, Store::open(loop, *part, warnings, 100));
    ASSERT_TRUE(opened && *opened) << (*opened).error().message;
    EXPECT_TRUE(warnings.empty()) << warnings.front();
    store = std::move(**opened);
  }
  void make() {
    open(tests::DiskImage(disk_bytes_for(volume_bytes), data_byte));
    const auto made =
        tests::run(loop, *disk, Metadata::format(loop, *part, example_superblock(volume_bytes), 2));
    ASSERT_TRUE(made && *made) << (*made).error().message;
  }
  bool data_untouched() const {
    const auto end = disk->visible().begin() + static_cast<std::ptrdiff_t>(area.offset);
    return std::all_of(disk->visible().begin(), end,
                       [](std::byte byte) { return byte == data_byte; });
  }
};

TEST_F(InternalMetadata, is_the_external_file_behind_the_data) {
  ASSERT_NO_FATAL_FAILURE(make());
  EXPECT_TRUE(data_untouched());
  const tests::DiskImage whole = disk->visible();
  const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(area.offset);
  // The same bytes in a file of their own are read as the same metadata.
  auto file = std::make_unique<tests::CrashDisk>(tests::DiskImage(begin, whole.end()));
  std::vector<std::string> warnings;
  auto opened = tests::run(loop, *file, Store::open(loop, *file, warnings, 100));
  ASSERT_TRUE(opened && *opened) << (*opened).error().message;
  EXPECT_EQ((**opened)->superblock(), example_superblock(volume_bytes));
}

TEST_F(InternalMetadata, what_was_durable_is_there_after_any_power_cut) {
  ASSERT_NO_FATAL_FAILURE(make());
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    load();
    Superblock next = store->superblock();
    next.epoch = 100 + seed;
    ASSERT_EQ(tests::run(loop, *disk, store->commit(next)), IoError::none);
    const std::uint64_t region = seed % 4;
    ASSERT_EQ(tests::run(loop, *disk, store->acquire(region * region_bytes, 1)), IoError::none);
    store->bitmap(1).set(seed * block_bytes, block_bytes);
    ASSERT_EQ(tests::run(loop, *disk, store->write_bitmap(1)), IoError::none);
    EXPECT_TRUE(data_untouched());
    tests::Rng rng(seed);
    open(disk->after_power_cut(rng));
    load();
    EXPECT_EQ(store->superblock(), next);
    EXPECT_TRUE(store->acquire_if_active(region * region_bytes, 1));
    EXPECT_EQ(store->bitmap(1).blocks_set(), seed + 1);
  }
}

TEST_F(InternalMetadata, an_error_of_the_disk_is_one_of_the_metadata) {
  ASSERT_NO_FATAL_FAILURE(make());
  load();
  disk->fail_everything();
  EXPECT_EQ(tests::run(loop, *disk, store->commit(store->superblock())), IoError::io);
}

TEST(SealedCell, is_told_from_anything_else) {
  BitPage page;
  EXPECT_FALSE(sealed(page.cells[0])) << "zeroes";
  seal(page, {.kind = CellKind::bitmap, .slot = 3, .page = 9}, 5);
  for (const Cell& cell : page.cells) EXPECT_TRUE(sealed(cell));
  page.cells[1].words[7] = 1;
  EXPECT_FALSE(sealed(page.cells[1]));
  seal(page, {.kind = CellKind{0x1234}, .slot = 0, .page = 0}, 5);
  EXPECT_FALSE(sealed(page.cells[2])) << "neither of the two kinds that there are";
}

}  // namespace
}  // namespace baton::blockdev
