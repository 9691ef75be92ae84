#include "nbd_server/listening_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace baton::nbd {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

Error system_error(const Address& address, const char* what) {
  return {fmt::format("{}: {}: {}", address.text(), what, std::strerror(errno))};
}

int new_socket(int family) {
  return ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

sockaddr_un unix_name(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  return name;
}

template <class Name>
const sockaddr* generic(const Name& name) {
  return reinterpret_cast<const sockaddr*>(&name);
}

// Removes a socket file that a killed daemon left behind.
Result<> clear_path(const Address& address) {
  struct stat file{};
  if (::lstat(address.path.c_str(), &file) != 0) {
    if (errno == ENOENT) return {};
    return std::unexpected(system_error(address, "cannot look at the path"));
  }
  if (!S_ISSOCK(file.st_mode))
    return failure(
        fmt::format("{}: a file that is no socket is in the way: remove it or choose "
                    "another path",
                    address.text()));
  const Descriptor probe(new_socket(AF_UNIX));
  if (probe.get() < 0) return std::unexpected(system_error(address, "cannot make a socket"));
  const sockaddr_un name = unix_name(address.path);
  // EAGAIN: somebody listens and has a full backlog.
  if (::connect(probe.get(), generic(name), sizeof name) == 0 || errno == EAGAIN)
    return failure(
        fmt::format("{}: another server accepts connections there: stop it or choose "
                    "another path",
                    address.text()));
  if (errno != ECONNREFUSED && errno != ENOENT)
    return std::unexpected(system_error(address, "cannot tell whether the socket is in use"));
  if (::unlink(address.path.c_str()) != 0 && errno != ENOENT)
    return std::unexpected(system_error(address, "cannot remove the stale socket file"));
  return {};
}

Error access_error(const Address& address, const Error& error) {
  return {fmt::format("{}: {}", address.text(), error.message), error.exit_code};
}

Result<ListeningSocket> listen_unix(const Address& address, const SocketAccess& access) {
  const auto ids = look_up(access);
  if (!ids) return std::unexpected(access_error(address, ids.error()));
  if (auto cleared = clear_path(address); !cleared) return std::unexpected(cleared.error());
  Descriptor socket(new_socket(AF_UNIX));
  if (socket.get() < 0) return std::unexpected(system_error(address, "cannot make a socket"));
  const sockaddr_un name = unix_name(address.path);
  if (::bind(socket.get(), generic(name), sizeof name) != 0)
    return std::unexpected(system_error(address, "cannot make the socket file"));
  if (auto set = set_access(address.path, *ids); !set) {
    ::unlink(address.path.c_str());
    return std::unexpected(access_error(address, set.error()));
  }
  if (::listen(socket.get(), SOMAXCONN) != 0)
    return std::unexpected(system_error(address, "cannot listen"));
  return ListeningSocket{socket.release(), AF_UNIX, address};
}

using Found = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<Found> look_up(const Address& address) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  const int error = ::getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(),
                                  port.c_str(), &hints, &found);
  if (error != 0)
    return failure(
        fmt::format("{}: the host cannot be looked up: {}", address.text(), ::gai_strerror(error)));
  return Found(found, &::freeaddrinfo);
}

std::uint16_t bound_port(int descriptor) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&name), &size) != 0) return 0;
  // The port lies at the same place in sockaddr_in and sockaddr_in6.
  return ntohs(reinterpret_cast<const sockaddr_in&>(name).sin_port);
}

Result<ListeningSocket> listen_tcp(const Address& address) {
  const auto found = look_up(address);
  if (!found) return std::unexpected(found.error());
  Error last{fmt::format("{}: the host has no address", address.text())};
  for (const addrinfo* entry = found->get(); entry != nullptr; entry = entry->ai_next) {
    Descriptor socket(new_socket(entry->ai_family));
    const int on = 1;
    if (socket.get() < 0 ||
        ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
      last = system_error(address, "cannot make a socket");
    } else if (::bind(socket.get(), entry->ai_addr, entry->ai_addrlen) != 0) {
      last = system_error(address, "cannot bind");
    } else if (::listen(socket.get(), SOMAXCONN) != 0) {
      last = system_error(address, "cannot listen");
    } else {
      ListeningSocket result{socket.release(), entry->ai_family, address};
      result.address.port = bound_port(result.descriptor);
      return result;
    }
  }
  return std::unexpected(std::move(last));
}

}  // namespace

Result<ListeningSocket> listen_at(const Address& address, const SocketAccess& access) {
  if (address.kind == Address::Kind::tcp) return listen_tcp(address);
  return listen_unix(address, access);
}

Result<ListeningSocket> adopt_listening(int descriptor) {
  int listens = 0;
  int type = 0;
  socklen_t size = sizeof listens;
  sockaddr_storage name{};
  socklen_t name_size = sizeof name;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 ||
      ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&name), &name_size) != 0)
    return failure(fmt::format("it is no socket ({})", std::strerror(errno)));
  if (listens == 0 || type != SOCK_STREAM) return failure("it is no stream socket that listens");
  ListeningSocket socket{descriptor, name.ss_family, {}};
  if (name.ss_family == AF_UNIX) {
    socket.address.path = reinterpret_cast<const sockaddr_un&>(name).sun_path;
    if (socket.address.path.empty()) return failure("it is a unix socket without a path");
  } else if (name.ss_family == AF_INET || name.ss_family == AF_INET6) {
    char host[NI_MAXHOST];
    if (::getnameinfo(reinterpret_cast<const sockaddr*>(&name), name_size, host, sizeof host,
                      nullptr, 0, NI_NUMERICHOST) != 0)
      return failure("its address cannot be told");
    socket.address.kind = Address::Kind::tcp;
    socket.address.host = host;
    socket.address.port = bound_port(descriptor);
  } else {
    return failure("it is neither a unix socket nor TCP");
  }
  if (::fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0 ||
      ::fcntl(descriptor, F_SETFL, O_NONBLOCK) != 0)
    return std::unexpected(system_error(socket.address, "cannot be taken over"));
  return socket;
}

std::optional<IpAddress> ip_of_peer(int descriptor) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&name), &size) != 0) return IpAddress{};
  if (name.ss_family == AF_UNIX) return std::nullopt;
  char host[NI_MAXHOST];
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&name), size, host, sizeof host, nullptr, 0,
                    NI_NUMERICHOST) != 0)
    return IpAddress{};
  const std::string_view text(host);
  return parse_ip(text.substr(0, text.find('%'))).value_or(IpAddress{});  // fe80::1%eth0
}

Result<ConnectedSocket> share_connected(int descriptor) {
  int type = 0;
  socklen_t size = sizeof type;
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof peer;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
    return failure(fmt::format("is no socket ({})", std::strerror(errno)));
  if (type != SOCK_STREAM) return failure("is no stream socket");
  if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0)
    return failure(fmt::format("is not connected ({})", std::strerror(errno)));
  const int shared = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (shared < 0) return failure(fmt::format("cannot be taken over ({})", std::strerror(errno)));
  return ConnectedSocket{shared, peer.ss_family};
}

std::string name_of_peer(int descriptor) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&name), &size) != 0)
    return "a client that has gone";
  if (name.ss_family == AF_UNIX) {
    ucred who{};
    socklen_t who_size = sizeof who;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &who, &who_size) != 0)
      return "unix client";
    return fmt::format("unix client, pid {}", who.pid);
  }
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&name), size, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "tcp client";
  if (name.ss_family == AF_INET6) return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

}  // namespace baton::nbd
