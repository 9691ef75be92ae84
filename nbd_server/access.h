// Who may have an export: by the network they come from, and by the name they have proven. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nbd_server/wire/exports.h"

namespace baton::nbd {

// IPv6, or IPv4 as ::ffff:a.b.c.d.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

// "10.0.0.2" or "fd00::2".
std::optional<IpAddress> parse_ip(std::string_view text);

struct Network {
  IpAddress address;
  unsigned prefix_bits = 128;  // that count, of 128

  bool contains(const IpAddress& other) const;
  friend bool operator==(const Network&, const Network&) = default;
};

// "10.0.0.0/24", "fd00::/8", or one address. Nothing when it is none, or has bits behind its
// prefix.
std::optional<Network> parse_network(std::string_view text);

// What is empty does not matter; what is not has to be met.
struct Access {
  std::vector<Network> networks;
  std::vector<std::string> names;
  friend bool operator==(const Access&, const Access&) = default;
};

struct Client {
  std::string text;                  // for people
  std::optional<IpAddress> address;  // absent: it came by a unix socket
  bool encrypted = false;
  std::vector<std::string> names;  // proven by TLS
};

// Who comes by a unix socket was let in by the owner and mode of its file, and may have everything.
std::expected<void, ExportRefusal> admit(const Client& client, const Access& access,
                                         std::string_view export_name);

}  // namespace baton::nbd
