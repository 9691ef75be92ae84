#include "control/metadata_place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "blockdev/metadata/format.h"
#include "blockdev/metadata/internal_area.h"
#include "blockdev/part_device.h"

namespace baton::control {
namespace {

using blockdev::internal_area;

Result<std::size_t> read_page(const std::string& path, std::uint64_t at, std::span<char> into) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t count = fd < 0 ? -1 : pread(fd, into.data(), into.size(), static_cast<off_t>(at));
  const int error = errno;
  if (fd >= 0) close(fd);
  if (count >= 0) return static_cast<std::size_t>(count);
  return failure(fmt::format("{} cannot be read: {}", path, std::strerror(error)));
}

// The magic stands near the start of a superblock page; where exactly is the format's affair.
bool has_magic(std::string_view page) {
  const auto& magic = blockdev::superblock_magic;
  return page.find(std::string_view(magic.data(), magic.size())) != std::string_view::npos;
}

}  // namespace

Result<MetadataFound> look_for_metadata(const VolumeSite& site) {
  const auto facts = inspect_disk(site.meta());
  if (!facts) return std::unexpected(facts.error());
  if (!facts->exists) return MetadataFound::nothing;
  const auto area = site.internal() ? internal_area(facts->size) : blockdev::InternalArea{};
  if (!area) return MetadataFound::nothing;
  auto found = MetadataFound::nothing;
  for (const std::uint64_t copy : {0, 1}) {
    std::array<char, page_bytes> page{};
    const auto count =
        read_page(site.meta(), area->offset + copy * blockdev::superblock_distance_bytes, page);
    if (!count) return std::unexpected(count.error());
    const std::string_view content(page.data(), *count);
    if (has_magic(content)) return MetadataFound::metadata;
    const bool blank = std::ranges::all_of(content, [](char byte) { return byte == 0; });
    if (!blank) found = MetadataFound::something_else;
  }
  return found;
}

Error no_metadata(const VolumeSite& site, const DiskFacts& disk) {
  const std::string& resource = site.resource.name;
  if (!site.internal()) {
    return {fmt::format("{} has no metadata in {}: make it with batonctl create-md {}", site.text(),
                        site.meta(), resource)};
  }
  if (!disk.exists) {
    return {
        fmt::format("{} does not exist, nor the metadata at its end: make both with batonctl "
                    "create-md {}",
                    site.text(), resource)};
  }
  // Where it would lie follows from the size, so a disk that has another one now has none there.
  return {fmt::format(
      "{} has no metadata at its end: if it was made larger or smaller than the {} bytes it has "
      "now, "
      "give it its former size back; if it never had any, make it with batonctl create-md {}",
      site.text(), disk.size, resource)};
}

Result<DiskParts> split_disk(Loop& loop, const VolumeSite& site,
                             std::unique_ptr<blockdev::BlockDevice> disk) {
  const auto area = internal_area(disk->limits().size);
  if (!area) {
    return failure(fmt::format("{} has {} bytes, too few for a volume and internal metadata",
                               site.text(), disk->limits().size));
  }
  const std::shared_ptr<blockdev::BlockDevice> whole = std::move(disk);
  return DiskParts{
      .data = blockdev::make_part(loop, whole, 0, area->offset, site.disk()),
      .metadata = blockdev::make_part(loop, whole, area->offset, area->bytes, site.meta_text())};
}

}  // namespace baton::control
