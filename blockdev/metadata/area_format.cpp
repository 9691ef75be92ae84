// Metadata::format: a new, empty metadata area.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "blockdev/metadata/cells.h"
#include "blockdev/metadata/device_io.h"
#include "blockdev/metadata/superblock.h"

namespace baton::blockdev {
namespace {

constexpr std::uint64_t pages_per_write = 256;  // 1 MiB at a time

Task<IoError> write_empty_pages(BlockDevice& device, PageIdentity identity, std::uint64_t at,
                                std::uint64_t count) {
  std::vector<BitPage> buffer(std::min(pages_per_write, count));
  for (std::uint64_t first = 0; first < count; first += buffer.size()) {
    const auto chunk = std::span(buffer).first(std::min(buffer.size(), count - first));
    for (BitPage& page : chunk) seal(page, identity, 0), ++identity.page;
    const IoError error = co_await write_at(device, at + first * page_bytes, std::as_bytes(chunk));
    if (error != IoError::none) co_return error;
  }
  co_return IoError::none;
}

Task<IoError> write_superblocks(BlockDevice& device, const SuperblockPage& copy0,
                                const SuperblockPage& copy1) {
  IoError error = co_await write_at(device, Geometry().superblock_at(0), bytes_of(copy0));
  if (error != IoError::none) co_return error;
  error = co_await write_at(device, Geometry().superblock_at(1), bytes_of(copy1));
  if (error != IoError::none) co_return error;
  co_return co_await flush(device);
}

// What was there before goes first: a format cut short must not leave an old superblock over empty
// bitmaps.
Task<IoError> write_area(BlockDevice& device, const Superblock& initial, const Geometry& geometry) {
  const auto copies = std::make_unique<std::array<SuperblockPage, 2>>();
  IoError error = co_await write_superblocks(device, (*copies)[0], (*copies)[1]);
  if (error != IoError::none) co_return error;
  PageIdentity identity;
  error = co_await write_empty_pages(device, identity, geometry.activity_at(0),
                                     geometry.activity_pages);
  identity.kind = CellKind::bitmap;
  for (std::uint32_t slot = 0; slot < geometry.slots && error == IoError::none; ++slot) {
    identity.slot = static_cast<std::uint16_t>(slot);
    error = co_await write_empty_pages(device, identity, geometry.bitmap_at(slot, 0),
                                       geometry.bitmap_pages);
  }
  if (error != IoError::none) co_return error;
  error = co_await flush(device);
  if (error != IoError::none) co_return error;
  for (std::uint32_t copy = 0; copy < 2; ++copy) {
    encode((*copies)[copy], initial, geometry, 1, copy);
  }
  co_return co_await write_superblocks(device, (*copies)[0], (*copies)[1]);
}

}  // namespace

Task<Result<>> Metadata::format(Loop& /*loop*/, BlockDevice& device, Superblock initial,
                                std::uint32_t slots) {
  const Result<> encodable = check_encodable(initial);
  if (!encodable) co_return encodable;
  if (slots > peer_slots_max) {
    co_return failure(fmt::format("resource {} has {} peers, at most {} are possible",
                                  initial.resource, slots, peer_slots_max));
  }
  const Geometry geometry = Geometry::of(initial.size, slots);
  if (device.limits().size < geometry.bytes()) {
    co_return failure(
        fmt::format("{} has {} bytes; the metadata of a volume of {} bytes with {} peers takes {}",
                    device.name(), device.limits().size, initial.size, slots, geometry.bytes()));
  }
  const IoError error = co_await write_area(device, initial, geometry);
  if (error != IoError::none) {
    co_return failure(
        fmt::format("writing new metadata to {} failed: {}", device.name(), name_of(error)));
  }
  co_return Result<>();
}

}  // namespace baton::blockdev
