// Looks at disks before anything is written to them.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "blockdev/metadata/cells.h"
#include "control/client/metadata_access.h"

namespace baton::control {
namespace {

class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

std::unexpected<Error> unreadable(const std::string& path) {
  return failure(fmt::format("{} cannot be read: {}", path, std::strerror(errno)));
}

bool all_zero(const char* bytes, std::size_t count) {
  return count == 0 || (bytes[0] == 0 && std::memcmp(bytes, bytes + 1, count - 1) == 0);
}

// Start and end of the next allocated part at or after `offset`; an end of 0 means there is none.
struct Part {
  off_t start = 0;
  off_t end = 0;
};
Result<Part> next_data(int fd, off_t offset, off_t limit, const std::string& path) {
  if (offset >= limit) return Part{};
  const off_t start = lseek(fd, offset, SEEK_DATA);
  if (start < 0 && errno == ENXIO) return Part{};
  // No SEEK_DATA here (a block device, some network filesystems): all of it counts as data.
  if (start < 0) return Part{offset, limit};
  if (start >= limit) return Part{};
  const off_t end = lseek(fd, start, SEEK_HOLE);
  if (end < 0) return unreadable(path);
  return Part{start, std::min(end, limit)};
}

// Whether `fits` says so of every piece of [begin, end) that is no hole. Pieces begin and end on
// sectors if the range does.
template <class Fits>
Result<bool> all_data(const std::string& path, std::uint64_t begin, std::uint64_t end, Fits fits) {
  const OpenFile file(path);
  if (file.fd() < 0) return unreadable(path);
  std::vector<char> buffer(std::size_t{1} << 20U);
  const auto limit = static_cast<off_t>(end);
  for (auto at = static_cast<off_t>(begin);;) {
    const auto part = next_data(file.fd(), at, limit, path);
    if (!part) return std::unexpected(part.error());
    if (part->end == 0) return true;
    for (at = part->start; at < part->end;) {
      const auto wanted = std::min(buffer.size(), static_cast<std::size_t>(part->end - at));
      const ssize_t count = pread(file.fd(), buffer.data(), wanted, at);
      if (count < 0) return unreadable(path);
      if (count == 0) return true;  // the file became shorter
      if (!fits(buffer.data(), static_cast<std::size_t>(count))) return false;
      at += count;
    }
  }
}

bool zeroes_or_cells(const char* bytes, std::size_t count) {
  for (std::size_t at = 0; at < count; at += blockdev::cell_bytes) {
    blockdev::Cell cell;
    const std::size_t length = std::min(blockdev::cell_bytes, count - at);
    if (all_zero(bytes + at, length)) continue;
    if (length < sizeof cell) return false;
    std::memcpy(&cell, bytes + at, sizeof cell);
    if (!blockdev::sealed(cell)) return false;
  }
  return true;
}

}  // namespace

Result<bool> disk_is_blank(const std::string& path, std::uint64_t bytes) {
  return all_data(path, 0, bytes, all_zero);
}

Result<bool> internal_area_is_free(const std::string& path, const blockdev::InternalArea& area) {
  return all_data(path, area.offset, area.offset + area.bytes, zeroes_or_cells);
}

}  // namespace baton::control
