// Goal: addresses are read as they are written in a configuration, and what is none is told so.
#include "nbd_server/address.h"

#include <gtest/gtest.h>

#include <vector>

namespace baton::nbd {
namespace {

Address tcp(std::string host, std::uint16_t port) {
  return {.kind = Address::Kind::tcp, .host = std::move(host), .port = port};
}

TEST(Address, every_form_is_understood) {
  const std::vector<std::pair<const char*, Address>> rows{
      {"unix:/run/baton/vm1.sock",
       {.kind = Address::Kind::unix_socket, .path = "/run/baton/vm1.sock"}},
      {"unix:relative.sock", {.kind = Address::Kind::unix_socket, .path = "relative.sock"}},
      {"tcp:10.0.0.1:7000", tcp("10.0.0.1", 7000)},
      {"tcp:10.0.0.1", tcp("10.0.0.1", 10809)},
      {"tcp:host.example:0", tcp("host.example", 0)},
      {"tcp:[::1]:7000", tcp("::1", 7000)},
      {"tcp:[::1]", tcp("::1", 10809)},
      {"tcp:*:7000", tcp("", 7000)},
      {"tcp::7000", tcp("", 7000)},
  };
  for (const auto& [text, expected] : rows) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(*address, expected) << text;
    EXPECT_EQ(parse_address(address->text()), expected) << text;
  }
}

TEST(Address, what_is_none_is_refused_with_the_form_it_should_have) {
  const std::string long_path = "unix:/" + std::string(108, 'x');
  for (const char* text :
       {"", "vm1.sock", "unix:", "udp:host:1", "tcp:host:", "tcp:host:x", "tcp:host:65536",
        "tcp:host:-1", "tcp:::1:7000", "tcp:[::1", "tcp:[::1]x", long_path.c_str()}) {
    const auto address = parse_address(text);
    ASSERT_FALSE(address) << text;
    EXPECT_FALSE(address.error().message.empty());
  }
}

}  // namespace
}  // namespace baton::nbd
