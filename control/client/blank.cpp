// Looks at disks and metadata files before anything is written to them.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "blockdev/metadata/format.h"
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
Result<Part> next_data(int fd, off_t offset, const std::string& path) {
  const off_t start = lseek(fd, offset, SEEK_DATA);
  if (start < 0 && errno == ENXIO) return Part{};
  if (start < 0) {
    // No SEEK_DATA here (a block device, some network filesystems): all of it counts as data.
    const off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0) return unreadable(path);
    return offset < end ? Part{offset, end} : Part{};
  }
  const off_t end = lseek(fd, start, SEEK_HOLE);
  if (end < 0) return unreadable(path);
  return Part{start, end};
}

Result<bool> part_is_zero(int fd, const Part& part, const std::string& path) {
  std::vector<char> buffer(std::size_t{1} << 20U);
  for (off_t at = part.start; at < part.end;) {
    const auto wanted = std::min(buffer.size(), static_cast<std::size_t>(part.end - at));
    const ssize_t count = pread(fd, buffer.data(), wanted, at);
    if (count < 0) return unreadable(path);
    if (count == 0) return true;
    if (!all_zero(buffer.data(), static_cast<std::size_t>(count))) return false;
    at += count;
  }
  return true;
}

}  // namespace

Result<bool> disk_is_blank(const std::string& path) {
  const OpenFile file(path);
  if (file.fd() < 0) return unreadable(path);
  for (off_t at = 0;;) {
    const auto part = next_data(file.fd(), at, path);
    if (!part) return std::unexpected(part.error());
    if (part->end == 0) return true;
    const auto zero = part_is_zero(file.fd(), *part, path);
    if (!zero || !*zero) return zero;
    at = part->end;
  }
}

Result<MetadataFound> look_for_metadata(const std::string& path) {
  const auto facts = inspect_disk(path);
  if (!facts) return std::unexpected(facts.error());
  if (!facts->exists) return MetadataFound::nothing;
  const OpenFile file(path);
  if (file.fd() < 0) return unreadable(path);
  auto found = MetadataFound::nothing;
  for (const std::uint64_t at : {std::uint64_t{0}, blockdev::superblock_distance_bytes}) {
    std::array<char, page_bytes> page{};
    const ssize_t count = pread(file.fd(), page.data(), page.size(), static_cast<off_t>(at));
    if (count < 0) return unreadable(path);
    const auto& magic = blockdev::superblock_magic;
    // The magic stands near the start of a superblock page; where exactly is the format's affair.
    const std::string_view content(page.data(), static_cast<std::size_t>(count));
    if (content.find(std::string_view(magic.data(), magic.size())) != std::string_view::npos) {
      return MetadataFound::metadata;
    }
    if (!all_zero(page.data(), static_cast<std::size_t>(count))) {
      found = MetadataFound::something_else;
    }
  }
  return found;
}

}  // namespace baton::control
