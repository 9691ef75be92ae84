// Goal: [tls], allow-networks and allow-names are read, and what cannot work is refused with what
// to do.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/config.h"

namespace baton::control {
namespace {

using testing::HasSubstr;

std::string text_of(std::string_view resource, std::string_view sections,
                    std::string_view volume = "", std::string_view name = "vm1") {
  return fmt::format(R"([resource]
name = "{3}"
{0}
{1}
[[volume]]
{2}
[node.alpha]
address = "10.0.0.1:7789"
nbd = ["tcp:10.0.0.1:10809"]
disks = ["{3}.img"]
[node.beta]
address = "10.0.0.2:7789"
disks = ["{3}.img"]
)",
                     resource, sections, volume, name);
}

Result<ResourceSpec> parse(const std::string& text) {
  return parse_resource(text, "vm1.toml", "/etc/baton");
}

std::string error_of(const std::string& text) {
  const auto spec = parse(text);
  if (spec) return "";
  EXPECT_EQ(spec.error().exit_code, ExitCode::configuration);
  return spec.error().message;
}

TEST(ConfigTls, is_off_without_a_section) {
  const TlsSpec tls = parse(text_of("secret = \"s\"", ""))->tls;
  EXPECT_EQ(tls.nbd, NbdTls::off);
  EXPECT_EQ(tls.replication, LinkTls::off);
}

TEST(ConfigTls, with_a_folder_everything_is_required) {
  // And certificates are enough: no secret.
  const auto spec = parse(text_of("", "[tls]\ndir = \"tls\""));
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->tls.folder, "/etc/baton/tls");
  EXPECT_EQ(spec->tls.nbd, NbdTls::required);
  EXPECT_EQ(spec->tls.replication, LinkTls::x509);
  EXPECT_EQ(spec->tls.oldest, tls::Version::v1_3);
}

TEST(ConfigTls, is_a_section) {
  EXPECT_THAT(error_of("tls = true\n" + text_of("secret = \"s\"", "")),
              HasSubstr("vm1.toml:1: tls is no section: write [tls]"));
}

TEST(ConfigTls, every_key_is_read) {
  const auto spec = parse(text_of("secret = \"s\"",
                                  "[tls]\npsk-file = \"/k.psk\"\nnbd = \"optional\"\n"
                                  "replication = \"psk\"\nmin-version = \"1.2\""));
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->tls.psk_file, "/k.psk");
  EXPECT_EQ(spec->tls.nbd, NbdTls::optional);
  EXPECT_EQ(spec->tls.replication, LinkTls::psk);
  EXPECT_EQ(spec->tls.oldest, tls::Version::v1_2);
}

TEST(ConfigTls, keys_for_clients_alone_leave_the_link_as_it_is) {
  EXPECT_EQ(parse(text_of("secret = \"s\"", "[tls]\npsk-file = \"k\""))->tls.replication,
            LinkTls::off);
}

struct Wrong {
  const char* name;
  const char* resource;
  const char* sections;
  const char* why;
};

class ConfigTlsWrong : public testing::TestWithParam<Wrong> {};

TEST_P(ConfigTlsWrong, is_refused_with_what_to_do) {
  EXPECT_THAT(error_of(text_of(GetParam().resource, GetParam().sections)),
              HasSubstr(GetParam().why));
}

INSTANTIATE_TEST_SUITE_P(
    All, ConfigTlsWrong,
    testing::Values(
        Wrong{"unknown_key", "secret=\"s\"", "[tls]\ndirr = \"x\"", "did you mean \"dir\"?"},
        Wrong{
            "nothing_to_show", "secret=\"s\"", "[tls]",
            "vm1.toml:4: NBD over TLS needs certificates or keys: add dir = \"PATH\" or psk-file = "
            "\"PATH\", or nbd = \"off\""},
        Wrong{"unknown_mode", "", "[tls]\ndir=\"t\"\nnbd = \"yes\"",
              "choose \"required\", \"optional\" or \"off\""},
        Wrong{"unknown_link", "", "[tls]\ndir=\"t\"\nreplication = \"yes\"",
              "choose \"x509\", \"psk\" or \"off\""},
        Wrong{"unknown_version", "", "[tls]\ndir=\"t\"\nmin-version = \"1.1\"",
              "choose \"1.3\" or \"1.2\""},
        Wrong{"link_without_certificates", "secret=\"s\"",
              "[tls]\npsk-file=\"k\"\nreplication = \"x509\"",
              "replication = \"x509\" needs certificates: add dir"},
        Wrong{"link_without_secret", "", "[tls]\ndir=\"t\"\nreplication = \"psk\"",
              "makes its key from the secret: add secret-file"},
        Wrong{"no_proof_for_others", "", "[tls]\ndir=\"t\"\nreplication = \"off\"",
              "has no secret: add secret-file = \"PATH\", or replication = \"x509\" in [tls]"},
        Wrong{"names_without_tls", "secret=\"s\"\nallow-names = [\"carol\"]", "",
              "allow-names needs TLS"},
        Wrong{"no_network", "secret=\"s\"\nallow-networks = [\"10.0.0.1/24\"]", "",
              "allow-networks \"10.0.0.1/24\" is no network"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ConfigAccess, of_the_resource_is_that_of_a_volume_that_says_nothing) {
  const std::string resource =
      "secret=\"s\"\nallow-networks = [\"10.0.0.0/24\", \"fd00::/8\"]\nallow-names = [\"carol\"]";
  const auto plain = parse(text_of(resource, "[tls]\ndir=\"t\""));
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->volumes[0].access.networks.size(), 2U);
  EXPECT_EQ(plain->volumes[0].access.names, std::vector<std::string>{"carol"});
  const auto own =
      parse(text_of(resource, "[tls]\ndir=\"t\"", "allow-names = [\"dave\", \"eve\"]"));
  ASSERT_TRUE(own) << own.error().message;
  EXPECT_EQ(own->volumes[0].access.networks.size(), 2U);
  EXPECT_EQ(own->volumes[0].access.names, (std::vector<std::string>{"dave", "eve"}));
}

TEST(ConfigTls, a_shared_listener_has_one_way_of_tls) {
  const auto first = parse(text_of("secret=\"s\"", "[tls]\ndir=\"t\"")).value();
  auto second = parse(text_of("secret=\"s\"", "[tls]\ndir=\"t\"\nnbd=\"optional\"", "", "vm2"));
  for (NodeSpec& node : second->nodes) ++node.address->port;
  EXPECT_THAT(check_together({first, *second}).error().message,
              HasSubstr("share the listener tcp:10.0.0.1:10809 and say different things"));
  second->tls.nbd = NbdTls::required;
  second->tls.replication = LinkTls::psk;  // no matter for clients
  EXPECT_TRUE(check_together({first, *second}));
}

}  // namespace
}  // namespace baton::control
