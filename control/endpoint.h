// Where something listens: the spelling of addresses in the configuration. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace baton::control {

// A numeric IPv4 or IPv6 address and a port; names are not looked up, so that starting does not
// depend on a name server ("localhost" is read as 127.0.0.1).
struct TcpAddress {
  std::string host;  // canonical: "10.0.0.1", "::1"
  std::uint16_t port = 0;

  bool loopback() const;
  std::string text() const;  // "10.0.0.1:7789", "[::1]:7789"
  friend bool operator==(const TcpAddress&, const TcpAddress&) = default;
};

// Where NBD clients connect: exactly one of the three is set.
struct Endpoint {
  std::string unix_path;
  TcpAddress tcp;
  bool standard_input = false;  // the client of batond --single; in no configuration

  bool is_unix() const { return !unix_path.empty(); }
  std::string text() const;  // as in the configuration: "unix:/run/baton/vm1.sock", "tcp:..."
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// What fits into sockaddr_un::sun_path with its terminating zero.
inline constexpr std::size_t unix_path_limit = 107;

// "10.0.0.1:7789" or "[fe80::1]:7789". The error is the part of a sentence after the value.
Result<TcpAddress> parse_tcp_address(std::string_view text);

// "unix:PATH" or "tcp:HOST:PORT". A relative path is taken relative to `folder`.
Result<Endpoint> parse_endpoint(std::string_view text, const std::string& folder);

// An error when `path` cannot be the address of a unix socket.
Result<> check_socket_path(const std::string& path);

// `path` as it is when absolute, else below `folder`; "." and ".." are folded away.
std::string resolve_path(std::string_view path, const std::string& folder);

}  // namespace baton::control
