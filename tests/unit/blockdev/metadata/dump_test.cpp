// Goal: dump-md shows everything, the same as text and as JSON, and the worked example of
// docs/on-disk-format.md is what the code writes.
#include "blockdev/metadata/dump.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <boost/json.hpp>

#include "tests/unit/blockdev/metadata/store_fixture.h"

namespace baton::blockdev {
namespace {

using DumpTest = MetadataTest;

std::string hex_of(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(b));
  return text;
}

TEST_F(DumpTest, json_holds_superblock_active_regions_and_bits) {
  make(100ULL << 20U);
  EXPECT_EQ(*run(store->acquire(3 * region_bytes, 2 * region_bytes)), IoError::none);
  store->bitmap(1).set(8192, 4097);
  EXPECT_EQ(run(store->write_bitmap(1)), IoError::none);
  const auto text = run(loop, *disk, dump(*disk, DumpStyle::json));
  const boost::json::object top = boost::json::parse(**text).as_object();
  const auto& superblock = top.at("superblock").as_object();
  EXPECT_EQ(superblock.at("resource"), "vm1");
  EXPECT_EQ(superblock.at("lineage").at(1), "0000000000002222");
  EXPECT_EQ(superblock.at("peers").at(0).at("behind"), true);
  EXPECT_EQ(top.at("activity-log").at("active"),
            boost::json::parse(R"([{"offset":12582912,"length":8388608}])"));
  EXPECT_EQ(top.at("bitmaps").at(1).at("set"),
            boost::json::parse(R"([{"offset":8192,"length":8192}])"));
  EXPECT_EQ(top.at("bitmaps").at(1).at("bytes-set"), 8192);
  EXPECT_TRUE(top.at("warnings").as_array().empty());
}

TEST_F(DumpTest, text_holds_the_same_and_damage_is_shown) {
  make(10ULL << 20U);
  tests::DiskImage image = disk->visible();
  image[activity_log_offset + 100] ^= std::byte{1};
  reload(std::move(image));
  const auto text = run(loop, *disk, dump(*disk, DumpStyle::text));
  EXPECT_THAT(**text, testing::HasSubstr("  resource: vm1\n"));
  EXPECT_THAT(**text, testing::HasSubstr("  lineage[0]: 0000000000001111\n"));
  EXPECT_THAT(**text, testing::HasSubstr("  active[0]: offset 0, length 10485760\n"));
  EXPECT_THAT(**text, testing::HasSubstr("warnings[0]: 1 of 8 cells of the activity log"));
}

TEST_F(DumpTest, a_device_without_metadata_is_refused_as_load_does) {
  disk = std::make_unique<tests::CrashDisk>(tests::DiskImage(1 << 20));
  const auto text = run(loop, *disk, dump(*disk, DumpStyle::text));
  EXPECT_THAT(text->error().message, testing::HasSubstr("holds no Baton metadata"));
}

// docs/on-disk-format.md, "A worked example".
TEST_F(DumpTest, the_worked_example_of_the_format_page_is_what_is_written) {
  make(10ULL << 20U);
  EXPECT_EQ(*run(store->acquire(region_bytes, 1)), IoError::none);
  store->bitmap(0).set(20480, 8192);
  EXPECT_EQ(run(store->write_bitmap(0)), IoError::none);
  const std::span<const std::byte> image(disk->visible());
  const Geometry geometry = Geometry::of(10ULL << 20U, 2);
  EXPECT_EQ(geometry.bytes(), 143360U);
  EXPECT_EQ(hex_of(image.subspan(0, 104)),
            "c8f674b78257d1d44241544f4e4d440a01000000000000000000000000000000"
            "01000000000000000000a0000000000000000200000000000010020000000000"
            "0100000001000000020000000100000008000000000000000700000000000000"
            "0000000000000000");
  EXPECT_EQ(hex_of(image.subspan(geometry.activity_at(0), 40)),
            "9d58d8a7678465e4424e414c0000000000000000000000000100000000000000"
            "0200000000000000");
  EXPECT_EQ(hex_of(image.subspan(geometry.bitmap_at(0, 0), 40)),
            "ac7f5d80e17906c0424e424d0000000000000000000000000100000000000000"
            "6000000000000000");
}

}  // namespace
}  // namespace baton::blockdev
