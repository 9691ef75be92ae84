#include "nbd_server/access.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace baton::nbd {
namespace {

constexpr unsigned bits_before_ipv4 = 96;

std::unexpected<ExportRefusal> refuse(ExportRefusal::Kind kind, std::string message) {
  return std::unexpected(ExportRefusal{kind, std::move(message)});
}

}  // namespace

std::optional<IpAddress> parse_ip(std::string_view text) {
  IpAddress address;
  const std::string terminated(text);
  if (inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
  address.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (inet_pton(AF_INET, terminated.c_str(), &address.bytes[12]) == 1) return address;
  return std::nullopt;
}

bool Network::contains(const IpAddress& other) const {
  for (unsigned bit = 0; bit < prefix_bits; bit += 8) {
    const unsigned counting = std::min(prefix_bits - bit, 8U);
    const unsigned mask = 0xff00U >> counting & 0xffU;
    if (((address.bytes[bit / 8] ^ other.bytes[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

std::optional<Network> parse_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = parse_ip(text.substr(0, slash));
  if (!address) return std::nullopt;
  Network network{*address};
  if (slash == std::string_view::npos) return network;

  const bool ipv4 = text.find(':') == std::string_view::npos;
  const std::string_view digits = text.substr(slash + 1);
  unsigned bits = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  const bool number = error == std::errc() && end == digits.data() + digits.size();
  if (!number || bits > (ipv4 ? 32U : 128U)) return std::nullopt;
  network.prefix_bits = ipv4 ? bits_before_ipv4 + bits : bits;
  // 10.0.0.7/24 is a network with a slip in it, or an address with another one.
  for (unsigned bit = network.prefix_bits; bit < 128; ++bit) {
    if ((network.address.bytes[bit / 8] & 0x80U >> bit % 8) != 0) return std::nullopt;
  }
  return network;
}

std::expected<void, ExportRefusal> admit(const Client& client, const Access& access,
                                         std::string_view export_name) {
  using Kind = ExportRefusal::Kind;
  if (!client.address) return {};
  const auto inside = [&](const Network& network) { return network.contains(*client.address); };
  if (!access.networks.empty() && std::ranges::none_of(access.networks, inside))
    return refuse(Kind::policy, fmt::format("export \"{}\" is not for {}: its address is in none "
                                            "of allow-networks",
                                            export_name, client.text));
  if (access.names.empty()) return {};
  if (!client.encrypted)
    return refuse(Kind::tls_required, fmt::format("export \"{}\" is only for clients that prove "
                                                  "their name: connect with nbds://",
                                                  export_name));
  const auto proven = [&](const std::string& name) {
    return std::ranges::find(client.names, name) != client.names.end();
  };
  if (std::ranges::any_of(access.names, proven)) return {};
  return refuse(Kind::policy, fmt::format("export \"{}\" is not for {}: its name is none of "
                                          "allow-names",
                                          export_name, client.text));
}

}  // namespace baton::nbd
