// Goal: every node gets a certificate for the names under which others reach it, and nobody else
// gets one that could be taken for a node's.
#include "control/client/certificate_parties.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

NodeSpec node(std::string name, const std::string& address,
              const std::vector<std::string>& listeners = {}) {
  NodeSpec spec{.name = std::move(name)};
  if (!address.empty()) spec.address = *parse_tcp_address(address);
  for (const std::string& each : listeners) spec.nbd.push_back(*parse_endpoint(each, "/run"));
  return spec;
}

Configuration configuration(std::vector<std::vector<NodeSpec>> resources) {
  Configuration made{.path = "/etc/baton"};
  for (auto& nodes : resources) {
    made.resources.emplace_back();
    made.resources.back().nodes = std::move(nodes);
  }
  return made;
}

Configuration pair() {
  return configuration({{node("alpha", "10.0.0.1:7789"), node("beta", "10.0.0.2:7789")}});
}

Error refusal(const Configuration& nodes, const std::vector<std::string>& clients) {
  const auto parties = parties_of(nodes, clients);
  EXPECT_FALSE(parties);
  return parties ? Error{} : parties.error();
}

TEST(CertificateParties, a_node_has_the_addresses_of_all_its_resources_once) {
  const auto parties = parties_of(
      configuration({{node("alpha", "10.0.0.1:7789", {"unix:vm1.sock", "tcp:192.168.0.1:10809"}),
                      node("beta", "10.0.0.2:7789")},
                     {node("beta", "[fe80::2]:7790", {"tcp:10.0.0.2:10809"}),
                      node("alpha", "10.0.0.1:7790", {"tcp:192.168.0.1:10810"})}}),
      {});
  ASSERT_TRUE(parties) << parties.error().message;
  ASSERT_EQ(parties->size(), 2U);
  EXPECT_EQ(parties->at(0).name, "alpha");
  EXPECT_TRUE(parties->at(0).node);
  EXPECT_THAT(parties->at(0).addresses, ElementsAre("10.0.0.1", "192.168.0.1"));
  EXPECT_EQ(parties->at(1).name, "beta");
  EXPECT_THAT(parties->at(1).addresses, ElementsAre("10.0.0.2", "fe80::2"));
}

TEST(CertificateParties, nobody_connects_to_a_wildcard) {
  const auto parties = parties_of(
      configuration({{node("alpha", "10.0.0.1:7789", {"tcp:0.0.0.0:10809", "tcp:[::]:10810"})}}),
      {});
  ASSERT_TRUE(parties);
  EXPECT_THAT(parties->at(0).addresses, ElementsAre("10.0.0.1"));
}

TEST(CertificateParties, the_loopback_is_there_only_where_the_configuration_names_it) {
  const auto parties = parties_of(
      configuration({{node("alpha", "127.0.0.1:7789"), node("beta", "", {"unix:vm1.sock"})}}), {});
  ASSERT_TRUE(parties);
  EXPECT_THAT(parties->at(0).addresses, ElementsAre("127.0.0.1"));
  EXPECT_THAT(parties->at(1).addresses, ElementsAre());
}

TEST(CertificateParties, clients_come_after_the_nodes_each_once) {
  const auto parties = parties_of(pair(), {"gamma", "delta", "gamma"});
  ASSERT_TRUE(parties) << parties.error().message;
  ASSERT_EQ(parties->size(), 4U);
  EXPECT_EQ(parties->at(2).name, "gamma");
  EXPECT_FALSE(parties->at(2).node);
  EXPECT_EQ(parties->at(3).name, "delta");
}

TEST(CertificateParties, no_client_is_called_like_a_node_or_the_client_on_it) {
  const Error as_node = refusal(pair(), {"gamma", "beta"});
  EXPECT_EQ(as_node.exit_code, ExitCode::refused);
  EXPECT_THAT(as_node.message, HasSubstr("beta is a node"));
  const Error as_its_client = refusal(pair(), {"alpha-client"});
  EXPECT_EQ(as_its_client.exit_code, ExitCode::refused);
  EXPECT_THAT(as_its_client.message, HasSubstr("the client on node alpha"));
}

TEST(CertificateParties, a_client_cannot_be_a_path) {
  for (const char* name : {"", "..", "a/b", "../alpha", ".hidden", "a b"}) {
    const Error error = refusal(pair(), {name});
    EXPECT_EQ(error.exit_code, ExitCode::usage) << name;
    EXPECT_THAT(error.message, HasSubstr("is no client name"));
  }
}

TEST(CertificateParties, without_nodes_and_for_names_without_room_there_are_none) {
  EXPECT_THAT(refusal(configuration({}), {"gamma"}).message,
              HasSubstr("/etc/baton has no resource"));
  EXPECT_TRUE(parties_of(configuration({{node(std::string(57, 'a'), "")}}), {}));
  EXPECT_THAT(refusal(configuration({{node(std::string(58, 'a'), "")}}), {}).message,
              HasSubstr("57 characters are the most"));
}

TEST(CertificateParties, a_node_is_a_server_and_its_qemu_a_client_of_another_name) {
  const auto roles = roles_of({.name = "alpha", .node = true, .addresses = {"10.0.0.1"}});
  ASSERT_EQ(roles.size(), 2U);
  EXPECT_EQ(roles[0].name, "server");
  EXPECT_EQ(roles[0].subject.name, "alpha");
  EXPECT_EQ(roles[0].subject.use, CertificateUse::node);
  EXPECT_THAT(roles[0].subject.addresses, ElementsAre("10.0.0.1"));
  EXPECT_EQ(roles[1].name, "client");
  EXPECT_EQ(roles[1].subject.name, "alpha-client");
  EXPECT_EQ(roles[1].subject.use, CertificateUse::client);
  EXPECT_THAT(roles[1].subject.addresses, ElementsAre());
}

TEST(CertificateParties, a_client_has_one_certificate_for_its_name) {
  const auto roles = roles_of({.name = "gamma", .node = false, .addresses = {}});
  ASSERT_EQ(roles.size(), 1U);
  EXPECT_EQ(roles[0].name, "client");
  EXPECT_EQ(roles[0].subject.name, "gamma");
  EXPECT_EQ(roles[0].subject.use, CertificateUse::client);
}

}  // namespace
}  // namespace baton::control
