#include "control/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/un.h>

#include <array>
#include <charconv>
#include <filesystem>

namespace baton::control {

static_assert(unix_path_limit + 1 == sizeof(sockaddr_un::sun_path), "see unix(7)");

namespace {

std::unexpected<Error> wrong(std::string message) {
  return failure(std::move(message), ExitCode::configuration);
}

// The canonical spelling, or empty.
std::string canonical_host(const std::string& host) {
  if (host == "localhost") return "127.0.0.1";
  std::array<unsigned char, sizeof(in6_addr)> binary{};
  std::array<char, INET6_ADDRSTRLEN> text{};
  for (const int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, host.c_str(), binary.data()) != 1) continue;
    return inet_ntop(family, binary.data(), text.data(), text.size());
  }
  return {};
}

}  // namespace

bool TcpAddress::loopback() const {
  return host.starts_with("127.") || host == "::1" || host.starts_with("::ffff:127.");
}

std::string TcpAddress::text() const {
  if (host.find(':') != std::string::npos) return fmt::format("[{}]:{}", host, port);
  return fmt::format("{}:{}", host, port);
}

std::string Endpoint::text() const {
  if (standard_input) return "standard input";
  return is_unix() ? "unix:" + unix_path : "tcp:" + tcp.text();
}

Result<TcpAddress> parse_tcp_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return wrong("has no port: write it as \"10.0.0.1:7789\"");
  }
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return wrong("is ambiguous: put an IPv6 address in brackets, as in \"[fe80::1]:7789\"");
  }
  TcpAddress address{.host = canonical_host(std::string(host))};
  if (address.host.empty()) {
    return wrong(
        fmt::format("names no IP address: \"{}\" is none (names are not looked up)", host));
  }
  const auto [rest, error] = std::from_chars(port_text.begin(), port_text.end(), address.port);
  if (error != std::errc() || rest != port_text.end() || address.port == 0) {
    return wrong(fmt::format("has no usable port: \"{}\" is not between 1 and 65535", port_text));
  }
  return address;
}

Result<Endpoint> parse_endpoint(std::string_view text, const std::string& folder) {
  if (text.starts_with("unix:")) {
    if (text.size() == 5) return wrong("has no path: write it as \"unix:/run/baton/vm1.sock\"");
    Endpoint endpoint{.unix_path = resolve_path(text.substr(5), folder)};
    if (auto fits = check_socket_path(endpoint.unix_path); !fits) {
      return std::unexpected(fits.error());
    }
    return endpoint;
  }
  if (text.starts_with("tcp:")) {
    auto address = parse_tcp_address(text.substr(4));
    if (!address) return std::unexpected(address.error());
    return Endpoint{.tcp = std::move(*address)};
  }
  return wrong("is no listener: write \"unix:/run/baton/vm1.sock\" or \"tcp:10.0.0.1:10809\"");
}

Result<> check_socket_path(const std::string& path) {
  if (path.size() <= unix_path_limit) return {};
  return wrong(
      fmt::format("is {} bytes long as {}, and the path of a unix socket has room for {}: "
                  "choose a shorter one",
                  path.size(), path, unix_path_limit));
}

std::string resolve_path(std::string_view path, const std::string& folder) {
  return (std::filesystem::path(folder) / path).lexically_normal().string();
}

}  // namespace baton::control
