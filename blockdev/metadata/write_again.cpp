#include "blockdev/metadata/write_again.h"

#include <algorithm>

#include "base/mutant.h"
#include "blockdev/metadata/cells.h"
#include "blockdev/metadata/device_io.h"

namespace baton::blockdev {
namespace {

constexpr std::uint64_t pages_at_once = 256;  // 1 MiB

// As create-md made it, and flushed it: sequence 0 everywhere.
bool untouched(const BitPage& page) {
  return std::ranges::all_of(page.cells, [](const Cell& cell) { return cell.sequence == 0; });
}

Task<IoError> copy_onto_itself(BlockDevice& device, std::uint64_t offset,
                               std::span<std::byte> buffer) {
  const IoError error = co_await read_at(device, offset, buffer);
  if (error == IoError::io) co_return IoError::none;
  if (error != IoError::none) co_return error;
  co_return co_await write_at(device, offset, buffer);
}

// Runs of pages that are not as they were made.
Task<IoError> write_touched(BlockDevice& device, std::uint64_t offset, std::span<BitPage> pages) {
  for (auto first = pages.begin(); first != pages.end();) {
    first = std::find_if_not(first, pages.end(), untouched);
    const auto end = std::find_if(first, pages.end(), untouched);
    if (first == end) break;
    const auto at = offset + static_cast<std::uint64_t>(first - pages.begin()) * page_bytes;
    const IoError error = co_await write_at(device, at, std::as_bytes(std::span(first, end)));
    if (error != IoError::none) co_return error;
    first = end;
  }
  co_return IoError::none;
}

Task<IoError> write_bits_again(BlockDevice& device, const Geometry& geometry) {
  std::vector<BitPage> buffer(pages_at_once);
  for (std::uint64_t at = activity_log_offset; at < geometry.bytes();) {
    const std::uint64_t count = std::min(pages_at_once, (geometry.bytes() - at) / page_bytes);
    const auto chunk = std::span(buffer).first(count);
    const IoError read = co_await read_at(device, at, std::as_writable_bytes(chunk));
    // Page by page, so that one bad spot costs one page.
    for (std::uint64_t i = 0; read == IoError::io && i < count; ++i) {
      const auto page = std::as_writable_bytes(chunk.subspan(i, 1));
      const IoError error = co_await copy_onto_itself(device, at + i * page_bytes, page);
      if (error != IoError::none) co_return error;
    }
    if (read != IoError::none && read != IoError::io) co_return read;
    if (read == IoError::none) {
      const IoError error = co_await write_touched(device, at, chunk);
      if (error != IoError::none) co_return error;
    }
    at += count * page_bytes;
  }
  co_return IoError::none;
}

}  // namespace

Task<IoError> write_again(BlockDevice& device, const MetadataArea& area) {
  const auto page = std::make_unique<SuperblockPage>();
  const auto bytes = std::as_writable_bytes(std::span(page.get(), 1));
  for (std::uint32_t copy = 0; copy < 2 && !mutant("metadata-read-is-durable"); ++copy) {
    const IoError error = co_await copy_onto_itself(device, Geometry().superblock_at(copy), bytes);
    if (error != IoError::none) co_return error;
  }
  if (!area.superblock.content.clean) {
    const IoError error = co_await write_bits_again(device, area.superblock.geometry);
    if (error != IoError::none) co_return error;
  }
  co_return co_await flush(device);
}

}  // namespace baton::blockdev
