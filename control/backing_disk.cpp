#include "control/backing_disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "blockdev/metadata/bitmap.h"
#include "blockdev/metadata/internal_area.h"
#include "control/units.h"

namespace baton::control {
namespace {

Result<std::uint64_t> block_device_size(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failure(fmt::format("{} cannot be opened: {}", path, std::strerror(errno)));
  std::uint64_t size = 0;
  const int answer = ioctl(fd, BLKGETSIZE64, &size);
  const int error = errno;
  close(fd);
  if (answer != 0) {
    return failure(fmt::format("the size of {} cannot be read: {}", path, std::strerror(error)));
  }
  return size;
}

}  // namespace

std::string VolumeSite::text() const {
  return fmt::format("disk {} of {} volume {}", disk(), resource.name, volume);
}

std::string VolumeSite::meta_text() const {
  return internal() ? "the end of " + disk() : meta();
}

std::string undo_path_begin(const VolumeSite& site) {
  return site.internal() ? site.disk() + ".baton.undo-" : site.meta() + ".undo-";
}

std::string undo_path(const VolumeSite& site, std::uint64_t generation) {
  return fmt::format("{}{:016x}", undo_path_begin(site), generation);
}

Result<DiskFacts> inspect_disk(const std::string& path) {
  struct stat found{};
  if (stat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return DiskFacts{};
    return failure(fmt::format("{} cannot be looked at: {}", path, std::strerror(errno)));
  }
  if (S_ISREG(found.st_mode)) {
    return DiskFacts{.exists = true, .size = static_cast<std::uint64_t>(found.st_size)};
  }
  if (!S_ISBLK(found.st_mode)) {
    return failure(
        fmt::format("{} is neither a file nor a block device: name a disk image or a "
                    "block device in disks",
                    path));
  }
  const auto size = block_device_size(path);
  if (!size) return std::unexpected(size.error());
  return DiskFacts{.exists = true, .block_device = true, .size = *size};
}

namespace {

Result<> check_room_for_internal(const VolumeSite& site, const DiskFacts& facts) {
  const auto area = blockdev::internal_area(facts.size);
  if (!area) {
    return failure(
        fmt::format("{} has {} bytes, too few for a volume and internal metadata: use a disk of at "
                    "least {} bytes, or name a file for the metadata with meta = [\"PATH\"]",
                    site.text(), facts.size, blockdev::disk_bytes_for(blockdev::block_bytes)));
  }
  if (site.configured_size() <= area->offset) return {};
  return failure(
      fmt::format("{} has {} bytes, internal metadata takes the last {} and leaves {}, but {} says "
                  "size = \"{}\" ({} bytes): lower size, make the disk {} bytes long, or name a "
                  "file for the metadata with meta = [\"PATH\"]",
                  site.text(), facts.size, facts.size - area->offset, area->offset,
                  site.resource.file, size_literal(site.configured_size()), site.configured_size(),
                  blockdev::disk_bytes_for(site.configured_size())));
}

}  // namespace

Result<> check_disk(const VolumeSite& site, const DiskFacts& facts) {
  const ResourceSpec& resource = site.resource;
  if (facts.block_device && !site.node.meta_given) {
    return failure(fmt::format("{} is a block device, and {} does not say where its metadata is: "
                               "add meta = [\"internal\"] (at its end) or meta = [\"PATH\"] to "
                               "[node.{}]",
                               site.text(), resource.file, site.node.name),
                   ExitCode::configuration);
  }
  if (facts.size == 0 || facts.size % 512 != 0) {
    return failure(
        fmt::format("{} has {}, which is no whole number of 512-byte sectors: is it a "
                    "raw image? Pad it with truncate --size=%512 {}",
                    site.text(), size_text(facts.size), site.disk()));
  }
  if (site.internal()) return check_room_for_internal(site, facts);
  if (site.configured_size() == 0 || site.configured_size() == facts.size) return {};
  // Devices come in sizes of their own (extents, cylinders), and the peer's may be smaller.
  if (facts.block_device && site.configured_size() < facts.size) return {};
  return failure(
      fmt::format("{} has {} ({} bytes), but {} says size = \"{}\" ({} bytes): correct "
                  "size or leave it out, or give the disk that size",
                  site.text(), size_text(facts.size), facts.size, resource.file,
                  size_literal(site.configured_size()), site.configured_size()));
}

std::uint64_t volume_size(const VolumeSite& site, const DiskFacts& facts) {
  if (site.configured_size() != 0) return site.configured_size();
  return site.internal() ? blockdev::internal_area(facts.size)->offset : facts.size;
}

}  // namespace baton::control
