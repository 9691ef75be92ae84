#include "nbd_server/address.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <charconv>

namespace baton::nbd {
namespace {

constexpr std::uint16_t iana_port = 10809;
// The kernel wants the terminating NUL inside.
constexpr std::size_t path_limit_bytes = sizeof(sockaddr_un::sun_path) - 1;

Result<Address> parse_unix(std::string_view path) {
  if (path.empty()) return failure("\"unix:\" wants the path of a socket behind it");
  if (path.size() > path_limit_bytes)
    return failure(
        fmt::format("the socket path \"{}\" has {} bytes and the kernel takes {}: choose "
                    "a shorter one",
                    path, path.size(), path_limit_bytes));
  return Address{.kind = Address::Kind::unix_socket, .path = std::string(path)};
}

// Cuts "host", "host:port", "[v6]" or "[v6]:port" in two; the port is empty where there is none.
bool cut(std::string_view rest, std::string_view& host, std::string_view& port) {
  std::size_t host_end = rest.rfind(':');
  if (rest.starts_with('[')) {
    const std::size_t bracket = rest.find(']');
    if (bracket == std::string_view::npos) return false;
    host = rest.substr(1, bracket - 1);
    host_end = bracket + 1;
  } else {
    host = rest.substr(0, host_end);
    if (host.find(':') != std::string_view::npos) return false;  // IPv6 without brackets
  }
  if (host_end >= rest.size()) return true;
  if (rest[host_end] != ':' || host_end + 1 == rest.size()) return false;
  port = rest.substr(host_end + 1);
  return true;
}

Result<Address> parse_tcp(std::string_view text, std::string_view rest) {
  std::string_view host;
  std::string_view port_text;
  std::uint16_t port = iana_port;
  bool good = cut(rest, host, port_text);
  if (good && !port_text.empty()) {
    const char* const end = port_text.data() + port_text.size();
    const auto [stop, error] = std::from_chars(port_text.data(), end, port);
    good = error == std::errc() && stop == end;
  }
  if (!good)
    return failure(
        fmt::format("\"{}\" is no address: write tcp:HOST:PORT, an IPv6 number in "
                    "brackets, the port from 0 to 65535",
                    text));
  if (host == "*") host = {};
  return Address{.kind = Address::Kind::tcp, .host = std::string(host), .port = port};
}

}  // namespace

std::string Address::text() const {
  if (kind == Kind::unix_socket) return "unix:" + path;
  if (host.find(':') != std::string::npos) return fmt::format("tcp:[{}]:{}", host, port);
  return fmt::format("tcp:{}:{}", host.empty() ? "*" : host, port);
}

Result<Address> parse_address(std::string_view text) {
  constexpr std::string_view unix_prefix = "unix:";
  constexpr std::string_view tcp_prefix = "tcp:";
  if (text.starts_with(unix_prefix)) return parse_unix(text.substr(unix_prefix.size()));
  if (text.starts_with(tcp_prefix)) return parse_tcp(text, text.substr(tcp_prefix.size()));
  return failure(fmt::format("\"{}\" is no address: write unix:/PATH or tcp:HOST:PORT", text));
}

}  // namespace baton::nbd
