#include "control/daemon/service_notify.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "control/daemon/log.h"

namespace baton::control {

void notify_service_manager(std::string_view state) {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || *path == '\0') return;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length >= sizeof name.sun_path) {
    log_line(LogLevel::warning, "NOTIFY_SOCKET is too long: the service manager is not told");
    return;
  }
  std::memcpy(name.sun_path, path, length);
  if (*path == '@') name.sun_path[0] = '\0';  // an abstract socket, sd_notify(3)
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool sent = fd >= 0 && sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                                      reinterpret_cast<const sockaddr*>(&name), size) >= 0;
  if (!sent) {
    log_line(LogLevel::warning,
             fmt::format("the service manager was not told {}: {}", state, std::strerror(errno)));
  }
  if (fd >= 0) close(fd);
}

}  // namespace baton::control
