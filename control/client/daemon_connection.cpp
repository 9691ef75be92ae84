#include "control/client/daemon_connection.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "control/control_socket.h"
#include "control/endpoint.h"

namespace baton::control {
namespace {

std::unexpected<Error> no_daemon(const std::string& path, int error, const std::string& start) {
  if (error == EACCES || error == EPERM) {
    return failure(
        fmt::format("{} may not be opened by this user: run batonctl as the user who "
                    "runs batond",
                    path));
  }
  return failure(
      fmt::format("no batond answers at {} ({}): start it with {}, or name its run "
                  "directory with --run-dir",
                  path, std::strerror(error), start));
}

}  // namespace

Result<DaemonConnection> DaemonConnection::open(const std::string& run_directory,
                                                const std::string& how_to_start) {
  const std::string path = control_socket_in(run_directory);
  if (auto fits = check_socket_path(path); !fits) {
    return failure(fmt::format("the control socket {} {}", path, fits.error().message),
                   ExitCode::usage);
  }
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, unix_path_limit);
  DaemonConnection connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connection.fd_ < 0 ||
      ::connect(connection.fd_, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
    return no_daemon(path, errno, how_to_start);
  }
  return connection;
}

DaemonConnection::DaemonConnection(DaemonConnection&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), lines_(std::move(other.lines_)) {}

DaemonConnection::~DaemonConnection() {
  if (fd_ >= 0) close(fd_);
}

Result<> DaemonConnection::send(const Request& request) {
  const std::string line = encode(request) + '\n';
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t count = ::send(fd_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    // It closed the connection; what it said before that is still to be read.
    if (count < 0 && errno == EPIPE) return {};
    if (count < 0) {
      return failure(fmt::format("batond does not take the request: {}: look at its log",
                                 std::strerror(errno)));
    }
    sent += static_cast<std::size_t>(count);
  }
  return {};
}

Result<Reply> DaemonConnection::receive() {
  while (true) {
    if (const auto line = lines_.next()) return decode_reply(*line);
    if (lines_.overflown()) return failure("batond's answer is too long to be one");
    std::array<char, 65536> buffer;
    const ssize_t count = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failure(fmt::format("batond is gone: {}", std::strerror(errno)));
    if (count == 0) return failure("batond ended before it answered: look at its log");
    lines_.feed(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
  }
}

}  // namespace baton::control
