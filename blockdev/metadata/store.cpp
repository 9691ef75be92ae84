#include "blockdev/metadata/store.h"

#include <fmt/format.h>

#include <algorithm>

#include "blockdev/metadata/write_again.h"

namespace baton::blockdev {

Store::Store(Loop& loop, BlockDevice& device, MetadataArea area, std::size_t active_regions_limit)
    : superblock_(loop, device, fault_, area.superblock, area.newest),
      activity_(loop, device, fault_, area.superblock.geometry, std::move(area.activity_pages),
                std::move(area.activity.pages_damaged), area.activity.sequence,
                std::min<std::uint64_t>(active_regions_limit, area.superblock.geometry.regions())) {
  const Geometry& geometry = area.superblock.geometry;
  for (std::uint32_t slot = 0; slot < geometry.slots; ++slot) {
    bitmaps_.push_back(std::make_unique<BitmapWriter>(loop, device, fault_, geometry, slot,
                                                      std::move(area.bitmaps[slot]),
                                                      area.bitmap_bits[slot].sequence));
  }
  fault_.set_listener([](void* self) { static_cast<Store*>(self)->activity_.fail_waiters(); },
                      this);
}

Task<Result<std::unique_ptr<Store>>> Store::open(Loop& loop, BlockDevice& device,
                                                 std::vector<std::string>& warnings,
                                                 std::size_t active_regions_limit) {
  Result<MetadataArea> area = co_await read_area(device);
  if (!area) co_return std::unexpected(area.error());
  // What was just read must not vanish after we have built on it: the copy we overwrite next could
  // be the only durable one.
  const IoError error = co_await write_again(device, *area);
  if (error != IoError::none) {
    co_return failure(fmt::format(
        "what {} shows cannot be made durable ({}): check the device, then bring the resource up "
        "again; nothing was changed",
        device.name(), name_of(error)));
  }
  warnings.insert(warnings.end(), area->warnings.begin(), area->warnings.end());
  co_return std::make_unique<Store>(loop, device, std::move(*area), active_regions_limit);
}

Task<Result<std::unique_ptr<Metadata>>> Metadata::open(Loop& loop, BlockDevice& device,
                                                       std::vector<std::string>& warnings,
                                                       std::size_t active_regions_limit) {
  Result<std::unique_ptr<Store>> store =
      co_await Store::open(loop, device, warnings, active_regions_limit);
  if (!store) co_return std::unexpected(store.error());
  co_return std::unique_ptr<Metadata>(std::move(*store));
}

Task<Result<std::unique_ptr<Metadata>>> Metadata::read(Loop& loop, BlockDevice& device,
                                                       std::vector<std::string>& warnings) {
  Result<MetadataArea> area = co_await read_area(device);
  if (!area) co_return std::unexpected(area.error());
  warnings.insert(warnings.end(), area->warnings.begin(), area->warnings.end());
  co_return std::make_unique<Store>(loop, device, std::move(*area), active_regions_default);
}

}  // namespace baton::blockdev
