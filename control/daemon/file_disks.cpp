#include "control/daemon/file_disks.h"

#include <fmt/format.h>

#include <utility>

#include "blockdev/file_device.h"
#include "control/backing_disk.h"

namespace baton::control {

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
    std::string note;
    auto opened = blockdev::open_file_device(ring_, pool_, *path, {.note = &note});
    if (!opened) return std::unexpected(opened.error());
    if (!note.empty()) journal_.line(replication::Journal::Level::notice, note);
    *device = std::move(*opened);
  }
  return store;
}

}  // namespace baton::control
