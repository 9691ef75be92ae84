// A formatted metadata device in memory and what is needed to use it.
#pragma once

#include <gtest/gtest.h>

#include "blockdev/metadata/store.h"
#include "tests/support/run_task.h"

namespace baton::blockdev {

inline constexpr std::uint64_t gib = std::uint64_t{1} << 30U;

inline Superblock example_superblock(std::uint64_t size) {
  Superblock content;
  content.resource = "vm1";
  content.node = "alpha";
  content.volume = 1;
  content.size = size;
  content.lineage = {0x1111, 0x2222};
  content.epoch = 7;
  content.holder = "alpha";
  content.peers[0].name = "beta";
  content.peers[0].behind = true;
  return content;
}

struct MetadataTest : testing::Test {
  Loop loop;
  std::unique_ptr<tests::CrashDisk> disk;
  std::unique_ptr<Store> store;
  std::vector<std::string> warnings;
  std::size_t limit = active_regions_default;

  // A new volume with two slots, loaded.
  void make(std::uint64_t volume_size) {
    const tests::DiskImage blank(Metadata::bytes_needed(volume_size, 2), std::byte{0x5a});
    disk = std::make_unique<tests::CrashDisk>(blank);
    const auto formatted =
        run(loop, *disk, Metadata::format(loop, *disk, example_superblock(volume_size), 2));
    ASSERT_TRUE(formatted && *formatted) << formatted->error().message;
    reload();
  }

  // Opens what is on the disk now, in place of the present store.
  void reload() { reload(disk->visible()); }
  void reload(tests::DiskImage image) {
    const std::string refusal = try_reload(std::move(image));
    ASSERT_EQ(refusal, "");
  }
  // The reason if it was refused.
  std::string try_reload(tests::DiskImage image) {
    store.reset();
    warnings.clear();
    disk = std::make_unique<tests::CrashDisk>(std::move(image));
    return try_open();
  }
  std::string try_open() {
    auto opened = run(loop, *disk, Store::open(loop, *disk, warnings, limit));
    if (!*opened) return opened->error().message;
    store = std::move(**opened);
    return "";
  }

  template <class T>
  std::optional<T> run(Loop& on, tests::CrashDisk& with, Task<T> task) {
    return tests::run(on, with, std::move(task));
  }
  std::optional<IoError> run(Task<IoError> task) {
    return tests::run(loop, *disk, std::move(task));
  }
};

}  // namespace baton::blockdev
