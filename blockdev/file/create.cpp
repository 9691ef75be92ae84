#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "blockdev/file_device.h"

namespace baton::blockdev {
namespace {

// The first failing step's errno, or 0.
int give_size_durably(int fd, std::uint64_t size) {
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) return errno;
  return fsync(fd) == 0 ? 0 : errno;
}

int make_name_durable(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  const int fd = open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return error;
}

}  // namespace

Result<> create_sparse_file(const std::string& path, std::uint64_t size) {
  // Readable by its owner alone: it will hold a guest's data.
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST) {
    return failure(
        fmt::format("cannot create the disk {}: it exists already and was not touched", path));
  }
  if (fd < 0) {
    return failure(fmt::format("cannot create the disk {}: {}", path, std::strerror(errno)));
  }
  int error = give_size_durably(fd, size);
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0) error = make_name_durable(path);
  if (error == 0) return {};
  unlink(path.c_str());
  return failure(
      fmt::format("cannot create the disk {} with {} bytes: {}", path, size, std::strerror(error)));
}

}  // namespace baton::blockdev
