#include "tests/crash/marks_on_disk.h"

#include <algorithm>

#include "tests/crash/host.h"

namespace baton::crash {
namespace {

Task<Result<std::unique_ptr<blockdev::Metadata>>> load(Loop& loop, blockdev::BlockDevice& device,
                                                       std::vector<std::string>& warnings) {
  co_return co_await blockdev::Metadata::read(loop, device, warnings);
}

}  // namespace

bool MarksOnDisk::marked(std::uint64_t offset) const {
  return bits.test(offset / blockdev::block_bytes) ||
         std::ranges::find(regions, offset / blockdev::region_bytes) != regions.end();
}

Result<MarksOnDisk> marks_on_disk(FileBay& bay, const std::string& path) {
  auto device = bay.open(path);
  if (!device) return std::unexpected(device.error());
  std::vector<std::string> warnings;
  auto loaded = bay.run(load(bay.loop(), **device, warnings));
  if (!loaded) return std::unexpected(loaded.error());
  // What the promises cover damages no cell: a sector is written whole or not at all.
  for (const std::string& warning : warnings) {
    if (warning.find("bitmap") != std::string::npos ||
        warning.find("activity log") != std::string::npos) {
      return failure(warning);
    }
  }
  MarksOnDisk marks;
  marks.has_history = !(*loaded)->superblock().lineage.empty();
  marks.regions = (*loaded)->recovered_regions();
  marks.bits = (*loaded)->bitmap(0);
  return marks;
}

}  // namespace baton::crash
