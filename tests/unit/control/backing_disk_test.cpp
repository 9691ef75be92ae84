// Goal: what a disk must be for its volume, and where the metadata lies, is decided alike for files
// and block devices, with metadata beside them and inside. Method: facts made up.
#include "control/backing_disk.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::control {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t mib = 1U << 20U;
// docs/on-disk-format.md "Internal metadata".
constexpr std::uint64_t area_of_64_mib = 167936;
constexpr std::uint64_t disk_for_64_mib = 64 * mib + area_of_64_mib;

struct BackingDisk : testing::Test {
  ResourceSpec resource{.file = "vm1.toml", .name = "vm1", .volumes = {{.size = 64 * mib}}};
  NodeSpec node{.name = "alpha", .disks = {"/d/vm1"}, .meta = {"internal"}, .meta_given = true};
  VolumeSite site{resource, node, 0};

  std::string refusal(DiskFacts facts) {
    facts.exists = true;
    const auto checked = check_disk(site, facts);
    return checked ? "" : checked.error().message;
  }
  void external() { node.meta = {"/d/vm1.baton"}; }
  void size(std::uint64_t bytes) { resource.volumes[0].size = bytes; }
};

TEST_F(BackingDisk, internal_metadata_needs_room_behind_the_volume) {
  EXPECT_EQ(refusal({.size = disk_for_64_mib}), "");
  EXPECT_EQ(refusal({.size = disk_for_64_mib + 512}), "");
  EXPECT_EQ(refusal({.block_device = true, .size = 100 * mib}), "") << "it may be larger";
  const std::string small = refusal({.size = disk_for_64_mib - 512});
  EXPECT_THAT(small, HasSubstr("disk /d/vm1 of vm1 volume 0 has 67276288 bytes"));
  EXPECT_THAT(small, HasSubstr("and leaves 67104768, but vm1.toml says size = \"64MiB\""));
  EXPECT_THAT(small, HasSubstr(fmt::format("make the disk {} bytes long", disk_for_64_mib)));
  EXPECT_THAT(refusal({.size = 4096}), HasSubstr("at least 172032 bytes"));
  size(0);
  EXPECT_EQ(refusal({.size = 172032}), "");
  EXPECT_THAT(refusal({.size = 172032 - 512}), HasSubstr("too few for a volume"));
}

TEST_F(BackingDisk, a_new_volume_has_the_configured_size_or_all_there_is) {
  EXPECT_EQ(volume_size(site, {.exists = true, .size = 100 * mib}), 64 * mib);
  size(0);
  EXPECT_EQ(volume_size(site, {.exists = true, .size = disk_for_64_mib}), 64 * mib);
  external();
  EXPECT_EQ(volume_size(site, {.exists = true, .size = disk_for_64_mib}), disk_for_64_mib);
}

TEST_F(BackingDisk, with_external_metadata_a_device_may_be_larger_than_its_volume_and_a_file_not) {
  external();
  EXPECT_EQ(refusal({.size = 64 * mib}), "");
  EXPECT_EQ(refusal({.block_device = true, .size = 64 * mib}), "");
  EXPECT_EQ(refusal({.block_device = true, .size = 65 * mib}), "");
  EXPECT_THAT(refusal({.size = 65 * mib}), HasSubstr("correct size or leave it out"));
  EXPECT_THAT(refusal({.block_device = true, .size = 63 * mib}), HasSubstr("has 63 MiB"));
}

TEST_F(BackingDisk, a_block_device_has_to_say_where_its_metadata_is) {
  external();
  node.meta_given = false;
  EXPECT_EQ(refusal({.size = 64 * mib}), "");
  EXPECT_THAT(
      refusal({.block_device = true, .size = 64 * mib}),
      HasSubstr("add meta = [\"internal\"] (at its end) or meta = [\"PATH\"] to [node.alpha]"));
}

TEST_F(BackingDisk, the_undo_file_lies_beside_the_metadata_or_the_disk_that_holds_it) {
  EXPECT_EQ(undo_path(site, 0x12), "/d/vm1.baton.undo-0000000000000012");
  EXPECT_EQ(site.meta(), "/d/vm1");
  EXPECT_EQ(site.meta_text(), "the end of /d/vm1");
  node.meta = {"/e/vm1.md"};
  EXPECT_EQ(undo_path(site, 0x12), "/e/vm1.md.undo-0000000000000012");
  EXPECT_EQ(site.meta_text(), "/e/vm1.md");
}

}  // namespace
}  // namespace baton::control
