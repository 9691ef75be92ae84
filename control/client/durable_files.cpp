#include "control/client/durable_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace baton::control {
namespace {

namespace fs = std::filesystem;

// With errno as the reason.
std::unexpected<Error> failed(const std::string& path, std::string_view what) {
  return failure(fmt::format("{} {}: {}", path, what, std::strerror(errno)));
}

// Of a path with or without a folder in it.
std::string folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

bool write_whole(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool write_new(const std::string& path, std::string_view content, mode_t mode) {
  // Of one that was killed: it may have another mode.
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return false;
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  return file && write_whole(file.fd(), content) && ::fchmod(file.fd(), mode) == 0 &&
         ::fsync(file.fd()) == 0;
}

// What was made or renamed in it is there after a loss of power.
Result<> sync_folder(const std::string& path) {
  const Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.fd()) != 0) return failed(path, "cannot be synced");
  return {};
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Result<> replace_file(const std::string& path, std::string_view content, mode_t mode) {
  const std::string fresh = path + ".new";
  if (!write_new(fresh, content, mode) || ::rename(fresh.c_str(), path.c_str()) != 0) {
    auto error = failed(path, "cannot be written");
    ::unlink(fresh.c_str());  // best effort: the next one removes it, too
    return error;
  }
  return sync_folder(folder_of(path));
}

Result<> make_folder(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return {};
  fs::create_directories(folder_of(path), error);
  if (error) {
    return failure(fmt::format("{} cannot be made: {}", folder_of(path), error.message()));
  }
  if (::mkdir(path.c_str(), 0700) != 0) return failed(path, "cannot be made");
  return sync_folder(folder_of(path));
}

Result<std::string> read_if_there(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno == ENOENT) return std::string();
  if (!file) return failed(path, "cannot be read");
  constexpr std::size_t bytes_max = 1U << 20U;  // a bundle of certificates is some kilobytes
  std::string text;
  std::array<char, 16384> part;
  for (;;) {
    const ssize_t count = ::read(file.fd(), part.data(), part.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed(path, "cannot be read");
    if (count == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(count));
    if (text.size() > bytes_max) return failure(fmt::format("{} is larger than 1 MiB", path));
  }
}

Result<Descriptor> lock_folder(const std::string& path, std::string_view what) {
  Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return failed(path, "cannot be opened");
  if (::flock(folder.fd(), LOCK_EX | LOCK_NB) == 0) return folder;
  if (errno != EWOULDBLOCK) return failed(path, "cannot be locked");
  return failure(fmt::format("{} works in {}: wait until it has ended", what, path));
}

}  // namespace baton::control
