#include "control/daemon/run_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "control/control_socket.h"
#include "control/endpoint.h"

namespace baton::control {
namespace {

std::string holder_of(int lock) {
  std::array<char, 32> text{};
  const ssize_t length = pread(lock, text.data(), text.size() - 1, 0);
  std::string pid(text.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "another batond" : fmt::format("another batond (pid {})", pid);
}

// The pid is for people; the lock is what counts, so a failure to write it is told and no more.
Result<> write_pid(int lock, const std::string& path) {
  const std::string pid = fmt::format("{}\n", getpid());
  const bool written = ftruncate(lock, 0) == 0 &&
                       pwrite(lock, pid.data(), pid.size(), 0) == static_cast<ssize_t>(pid.size());
  if (written) return {};
  return failure(fmt::format("{} cannot be written: {}", path, std::strerror(errno)));
}

}  // namespace

Result<RunDirectory> RunDirectory::claim(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return failure(fmt::format("run directory {} cannot be made: {}: choose another with --run-dir",
                               path, error.message()));
  }
  if (auto fits = check_socket_path(control_socket_in(path)); !fits) {
    return failure(
        fmt::format("run directory {}: its control socket {}", path, fits.error().message));
  }
  const std::string file = path + "/batond.lock";
  const int lock = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) {
    return failure(
        fmt::format("{} cannot be opened: {}: choose another run directory with "
                    "--run-dir, or run as a user who may write there",
                    file, std::strerror(errno)));
  }
  RunDirectory claimed(path, lock);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return failure(
        fmt::format("{} already uses run directory {}: stop it, or give this one its "
                    "own with --run-dir",
                    holder_of(lock), path));
  }
  if (auto written = write_pid(lock, file); !written) return std::unexpected(written.error());
  return claimed;
}

RunDirectory::RunDirectory(RunDirectory&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) close(lock_);
}

std::string RunDirectory::control_socket() const {
  return control_socket_in(path_);
}

}  // namespace baton::control
