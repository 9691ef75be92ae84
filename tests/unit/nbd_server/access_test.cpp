// Goal: networks are read as they are written and contain what they should; who is let in, and what
// the others are told.
#include "nbd_server/access.h"

#include <gtest/gtest.h>

namespace baton::nbd {
namespace {

struct Row {
  const char* network;
  std::vector<const char*> inside;
  std::vector<const char*> outside;
};

class Networks : public testing::TestWithParam<Row> {};

TEST_P(Networks, contain_their_addresses_and_no_others) {
  const auto network = parse_network(GetParam().network);
  ASSERT_TRUE(network);
  for (const char* text : GetParam().inside) {
    EXPECT_TRUE(network->contains(parse_ip(text).value())) << text;
  }
  for (const char* text : GetParam().outside) {
    EXPECT_FALSE(network->contains(parse_ip(text).value())) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Networks,
    testing::Values(
        Row{"10.0.0.0/24", {"10.0.0.0", "10.0.0.255", "::ffff:10.0.0.7"}, {"10.0.1.0", "fd00::1"}},
        Row{"10.0.0.7", {"10.0.0.7"}, {"10.0.0.6"}},
        Row{"10.0.0.6/31", {"10.0.0.6", "10.0.0.7"}, {"10.0.0.5", "10.0.0.8"}},
        Row{"0.0.0.0/0", {"1.2.3.4"}, {"::1", "fd00::1"}},
        Row{"::/0", {"1.2.3.4", "::1", "fd00::1"}, {}},
        Row{"fd00::/9", {"fd00::1", "fd7f::1"}, {"fd80::1", "10.0.0.1"}},
        Row{"fe80::1", {"fe80::1"}, {"fe80::2"}}),
    [](const auto& info) { return "row_" + std::to_string(info.index); });

TEST(Networks, what_is_none_is_none) {
  for (const char* text : {"", "/", "10.0.0.0/", "10.0.0/24", "10.0.0.0/33", "10.0.0.0/-1",
                           "10.0.0.0/8x", "10.0.0.0/ 8", "10.0.0.1/24", "fd00::/129", "fd00::1/8",
                           "alpha", "10.0.0.0/24/8", "::ffff:10.0.0.0/129"}) {
    EXPECT_FALSE(parse_network(text)) << text;
  }
}

Client from(const char* address, bool encrypted = false, std::vector<std::string> names = {}) {
  return {.text = "who",
          .address = parse_ip(address),
          .encrypted = encrypted,
          .names = std::move(names)};
}

TEST(Admission, is_open_to_everybody_where_nothing_is_said) {
  EXPECT_TRUE(admit(from("10.0.0.1"), {}, "vm1"));
}

TEST(Admission, asks_for_the_network_and_the_name) {
  const Access both{.networks = {*parse_network("10.0.0.0/24")}, .names = {"carol", "dave"}};
  EXPECT_TRUE(admit(from("10.0.0.1", true, {"x", "dave"}), both, "vm1"));

  const auto elsewhere = admit(from("10.0.1.1", true, {"dave"}), both, "vm1");
  EXPECT_EQ(elsewhere.error().kind, ExportRefusal::Kind::policy);
  EXPECT_EQ(elsewhere.error().message,
            "export \"vm1\" is not for who: its address is in none of allow-networks");

  const auto unknown = admit(from("10.0.0.1", true, {"carolina"}), both, "vm1");
  EXPECT_EQ(unknown.error().kind, ExportRefusal::Kind::policy);
  EXPECT_EQ(unknown.error().message,
            "export \"vm1\" is not for who: its name is none of allow-names");

  const auto plain = admit(from("10.0.0.1"), both, "vm1");
  EXPECT_EQ(plain.error().kind, ExportRefusal::Kind::tls_required);
  const auto nameless = admit(from("10.0.0.1", true), both, "vm1");
  EXPECT_EQ(nameless.error().kind, ExportRefusal::Kind::policy);
}

TEST(Admission, leaves_unix_sockets_to_their_mode) {
  const Access both{.networks = {*parse_network("10.0.0.0/24")}, .names = {"carol"}};
  EXPECT_TRUE(admit({.text = "unix client"}, both, "vm1"));
}

TEST(Admission, does_not_take_who_has_gone_for_a_unix_client) {
  Client gone{.text = "a client that has gone", .address = IpAddress{}};
  EXPECT_FALSE(admit(gone, {.networks = {*parse_network("10.0.0.0/24")}}, "vm1"));
}

}  // namespace
}  // namespace baton::nbd
