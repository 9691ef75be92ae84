// Goal: a disk with internal metadata is cut where docs/on-disk-format.md says, whatever else is
// configured. Method: a disk in memory.
#include "control/metadata_place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "blockdev/memory_device.h"

namespace baton::control {
namespace {

using testing::HasSubstr;

struct MetadataPlace : testing::Test {
  ResourceSpec resource{.file = "vm1.toml", .name = "vm1", .volumes = {{.size = 4096}}};
  NodeSpec node{.name = "alpha", .disks = {"/d/vm1"}, .meta = {"internal"}, .meta_given = true};
  VolumeSite site{resource, node, 0};
  Loop loop;
};

TEST_F(MetadataPlace, neither_part_reaches_into_the_other_or_beyond_the_disk) {
  // Not a whole number of 4 KiB, and far larger than the volume.
  const auto parts =
      split_disk(loop, site, blockdev::make_memory_device(loop, (64U << 20U) + 167936 + 512));
  ASSERT_TRUE(parts) << parts.error().message;
  EXPECT_EQ(parts->data->limits().size, 64U << 20U);
  EXPECT_EQ(parts->metadata->limits().size, 167936U);
  EXPECT_EQ(parts->data->name(), "/d/vm1");
  EXPECT_EQ(parts->metadata->name(), "the end of /d/vm1");
}

TEST_F(MetadataPlace, a_disk_that_is_too_small_is_refused) {
  const auto parts = split_disk(loop, site, blockdev::make_memory_device(loop, 172032 - 512));
  ASSERT_FALSE(parts);
  EXPECT_THAT(parts.error().message, HasSubstr("disk /d/vm1 of vm1 volume 0 has 171520 bytes"));
}

TEST_F(MetadataPlace, what_is_missing_is_named_with_what_to_do) {
  const DiskFacts disk{.exists = true, .size = 1U << 20U};
  EXPECT_THAT(no_metadata(site, disk).message,
              HasSubstr("no metadata at its end: if it was made larger or smaller than the 1048576 "
                        "bytes it has now"));
  EXPECT_THAT(no_metadata(site, {}).message,
              HasSubstr("nor the metadata at its end: make both with batonctl create-md vm1"));
  node.meta = {"/e/vm1.md"};
  EXPECT_THAT(no_metadata(site, disk).message,
              HasSubstr("no metadata in /e/vm1.md: make it with batonctl create-md vm1"));
}

}  // namespace
}  // namespace baton::control
