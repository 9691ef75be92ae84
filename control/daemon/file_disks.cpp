#include "control/daemon/file_disks.h"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "blockdev/file_device.h"
#include "control/metadata_place.h"
#include "control/units.h"

namespace baton::control {

Result<std::unique_ptr<blockdev::BlockDevice>> FileDisks::open_noted(const std::string& path) {
  std::string note;
  auto opened = blockdev::open_file_device(ring_, pool_, path, {.note = &note});
  if (opened && !note.empty()) journal_.line(replication::Journal::Level::notice, note);
  return opened;
}

// Both parts over one descriptor: a block device is claimed once, and its lock is one.
Result<replication::BackingStore> FileDisks::open_internal(const VolumeSite& site,
                                                           const DiskFacts& disk) {
  // For the better sentence only. One copy that cannot be read is no reason to stop: whoever loads
  // the metadata falls back to the other one, and says what is wrong with both.
  const auto found = look_for_metadata(site);
  if (found && *found != MetadataFound::metadata) return std::unexpected(no_metadata(site, disk));
  auto opened = open_noted(site.disk());
  if (!opened) return std::unexpected(opened.error());
  auto parts = split_disk(ring_.loop(), site, std::move(*opened));
  if (!parts) return std::unexpected(parts.error());
  return replication::BackingStore{.data = std::move(parts->data),
                                   .metadata = std::move(parts->metadata)};
}

Result<replication::BackingStore> FileDisks::open(std::uint32_t volume) {
  const VolumeSite site{resource_, node_, volume};
  const auto disk = inspect_disk(site.disk());
  if (!disk) return std::unexpected(disk.error());
  if (!disk->exists) {
    return failure(
        fmt::format("{} does not exist: make it with batonctl create-md {}, or correct "
                    "disks in {}",
                    site.text(), resource_.name, resource_.file));
  }
  if (auto good = check_disk(site, *disk); !good) return std::unexpected(good.error());
  if (site.internal()) return open_internal(site, *disk);
  const auto meta = inspect_disk(site.meta());
  if (!meta) return std::unexpected(meta.error());
  if (!meta->exists) {
    return failure(
        fmt::format("{} has no metadata: {} does not exist; make it with batonctl "
                    "create-md {}",
                    site.text(), site.meta(), resource_.name));
  }
  replication::BackingStore store;
  for (auto [path, device] :
       {std::pair(&site.disk(), &store.data), std::pair(&site.meta(), &store.metadata)}) {
    auto opened = open_noted(*path);
    if (!opened) return std::unexpected(opened.error());
    *device = std::move(*opened);
  }
  return store;
}

// Beside the metadata, which lies beside the disk unless the configuration says otherwise.
Result<std::unique_ptr<blockdev::BlockDevice>> FileDisks::create_undo(std::uint32_t volume,
                                                                      std::uint64_t generation,
                                                                      std::uint64_t bytes) {
  const VolumeSite site{resource_, node_, volume};
  const std::string path = undo_path(site, generation);
  const auto meta = inspect_disk(site.meta());
  if (!meta) return std::unexpected(meta.error());
  if (meta->block_device) {
    return failure(fmt::format(
        "what only this node has cannot be kept: the metadata of {} is in the block device "
        "{}, and undo files lie beside it; copy the disk if its data may be needed, "
        "then give it up with --no-undo",
        site.text(), site.meta()));
  }
  // One that was begun or not used: the disk still holds what is in it.
  ::unlink(path.c_str());
  const std::string folder = std::filesystem::path(path).parent_path().string();
  struct statvfs space{};
  if (::statvfs(folder.c_str(), &space) == 0 && space.f_bavail * space.f_frsize < bytes) {
    return failure(
        fmt::format("what only this node has of volume {} needs {} in {}, and {} are free there: "
                    "make room, or give it up with --no-undo",
                    volume, size_text(bytes), folder, size_text(space.f_bavail * space.f_frsize)));
  }
  if (auto made = blockdev::create_sparse_file(path, bytes); !made) {
    return std::unexpected(made.error());
  }
  return blockdev::open_file_device(ring_, pool_, path);
}

void FileDisks::remove_undo(std::uint32_t volume, std::uint64_t generation) {
  ::unlink(undo_path({resource_, node_, volume}, generation).c_str());
}

}  // namespace baton::control
