// Goal: a good file is read whole; every wrong one is answered with file, line, key and what to do.
// Method: one good text, and texts that differ from it in one place.
#include "control/config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::control {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view pair_text = R"([resource]
name = "vm1"
protocol = "C"
secret = "s"

[[volume]]
size = "8GiB"

[node.alpha]
address = "10.0.0.1:7789"
nbd     = ["unix:/run/baton/vm1.sock", "tcp:10.0.0.1:10809"]
disks   = ["/var/lib/baton/vm1.img"]

[node.beta]
address = "10.0.0.2:7789"
nbd     = ["unix:/run/baton/vm1.sock"]
disks   = ["/var/lib/baton/vm1.img"]
)";

constexpr std::string_view single_text = R"([resource]
name = "vm1"
[[volume]]
[node.solo]
disks = ["vm1.img"]
)";

Result<ResourceSpec> parse(std::string_view text) {
  return parse_resource(text, "vm1.toml", "/etc/baton");
}

std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
  std::string out(text);
  const std::size_t at = out.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return out.replace(at, what.size(), with);
}

// The message of a file that is wrong in one place.
std::string error_of(std::string_view text) {
  const auto spec = parse(text);
  EXPECT_FALSE(spec.has_value());
  if (spec) return {};
  EXPECT_EQ(spec.error().exit_code, ExitCode::configuration);
  return spec.error().message;
}
std::string error_with(std::string_view what, std::string_view with) {
  return error_of(replaced(pair_text, what, with));
}

TEST(Config, reads_a_pair) {
  const auto spec = parse(pair_text);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->name, "vm1");
  EXPECT_EQ(spec->protocol, replication::Protocol::c);
  ASSERT_EQ(spec->volumes.size(), 1U);
  EXPECT_EQ(spec->volumes[0].size, std::uint64_t{8} << 30U);
  ASSERT_EQ(spec->nodes.size(), 2U);
  const NodeSpec& alpha = spec->nodes[0];
  EXPECT_EQ(alpha.name, "alpha");
  EXPECT_EQ(alpha.address->text(), "10.0.0.1:7789");
  ASSERT_EQ(alpha.nbd.size(), 2U);
  EXPECT_EQ(alpha.nbd[0].text(), "unix:/run/baton/vm1.sock");
  EXPECT_EQ(alpha.nbd[1].text(), "tcp:10.0.0.1:10809");
  EXPECT_EQ(alpha.disks, std::vector<std::string>{"/var/lib/baton/vm1.img"});
  EXPECT_EQ(alpha.meta, std::vector<std::string>{"/var/lib/baton/vm1.img.baton"});
  EXPECT_FALSE(alpha.meta_given);
  EXPECT_EQ(spec->node("beta")->address->port, 7789);
  EXPECT_EQ(spec->node("gamma"), nullptr);
}

TEST(Config, nodes_keep_the_order_of_the_file) {
  std::string text(pair_text);
  for (std::size_t at = text.find("alpha"); at != std::string::npos; at = text.find("alpha")) {
    text.replace(at, 5, "zeta");
  }
  const auto spec = parse(text);
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->nodes[0].name, "zeta");
  EXPECT_EQ(spec->nodes[1].name, "beta");
}

TEST(Config, a_single_node_needs_no_address_and_no_listener_and_paths_are_relative_to_the_file) {
  const auto spec = parse(single_text);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->nodes[0].disks[0], "/etc/baton/vm1.img");
  EXPECT_EQ(spec->nodes[0].meta[0], "/etc/baton/vm1.img.baton");
  EXPECT_EQ(spec->volumes[0].size, 0U);
  EXPECT_FALSE(spec->nodes[0].address);
}

TEST(Config, options_have_defaults_and_are_read) {
  const auto defaults = parse(single_text);
  ASSERT_TRUE(defaults);
  EXPECT_EQ(defaults->timeout, Duration(6s));
  EXPECT_EQ(defaults->ping_interval, Duration(2s));
  EXPECT_EQ(defaults->disk_timeout, Duration::zero()) << "DRBD's default: a disk is waited for";
  EXPECT_TRUE(defaults->auto_resume);
  EXPECT_FALSE(defaults->checksum_based);
  EXPECT_EQ(defaults->resync_rate, 0U);
  EXPECT_EQ(defaults->verify_rate, 64U << 20U);
  EXPECT_EQ(defaults->verify_interval, Duration::zero());
  EXPECT_TRUE(defaults->handover_on_silence);
  const auto spec = parse(replaced(pair_text, "protocol = \"C\"", R"(protocol = "A"
timeout = "1500ms"
fence-hold = "1min"
disk-timeout = "30s"
auto-resume = false
checksum-based = true
resync-rate = "20MiB"
verify-rate = "0"
verify-interval = "168h"
handover-on-silence = false
on-io-error = "detach"
on-peer-lost = "continue"
after-sb-0pri = "disconnect"
allow-two-primaries = false)"));
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->protocol, replication::Protocol::a);
  EXPECT_EQ(spec->timeout, Duration(1500ms));
  EXPECT_EQ(spec->ping_interval, Duration(500ms)) << "follows a shorter timeout";
  EXPECT_EQ(spec->fence_hold, Duration(1min));
  EXPECT_EQ(spec->disk_timeout, Duration(30s));
  EXPECT_FALSE(spec->auto_resume);
  EXPECT_TRUE(spec->checksum_based);
  EXPECT_EQ(spec->resync_rate, 20U << 20U);
  EXPECT_EQ(spec->verify_rate, 0U);
  EXPECT_EQ(spec->verify_interval, Duration(168h));
  EXPECT_FALSE(spec->handover_on_silence);
}

TEST(Config, a_disk_gets_a_second_at_least_or_all_the_time) {
  const auto off = parse(replaced(pair_text, "protocol = \"C\"", "disk-timeout = \"0s\""));
  ASSERT_TRUE(off) << off.error().message;
  EXPECT_EQ(off->disk_timeout, Duration::zero());
  EXPECT_THAT(error_with("protocol = \"C\"", "disk-timeout = \"500ms\""),
              testing::HasSubstr("disk-timeout = 500 ms is out of range: choose 1 s to 10 min"));
}

TEST(Config, rates_that_never_end_and_intervals_of_no_time_are_refused) {
  EXPECT_THAT(error_with("protocol = \"C\"", "verify-rate = \"4KiB\""),
              testing::HasSubstr("verify-rate = 4KiB is too slow: choose 64KiB a second or more"));
  EXPECT_THAT(error_with("protocol = \"C\"", "resync-rate = \"1\""),
              testing::HasSubstr("or 0 for as fast as it goes"));
  EXPECT_THAT(error_with("protocol = \"C\"", "verify-interval = \"10ms\""),
              testing::HasSubstr("verify-interval = 10 ms is out of range"));
}

TEST(Config, metadata_places_and_qmp_are_read) {
  const auto spec = parse(replaced(single_text, "disks = [\"vm1.img\"]",
                                   "disks = [\"/dev/vg/vm1\"]\nmeta = [\"vm1.md\"]\nqmp = \"q\""));
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->nodes[0].meta[0], "/etc/baton/vm1.md");
  EXPECT_TRUE(spec->nodes[0].meta_given);
  EXPECT_EQ(spec->nodes[0].qmp, "/etc/baton/q");
}

TEST(Config, unknown_keys_name_line_and_nearest) {
  EXPECT_EQ(error_with("protocol =", "protocoll ="),
            "vm1.toml:3: unknown key \"protocoll\" in [resource]: did you mean \"protocol\"?");
  EXPECT_EQ(error_with("size =", "sice ="),
            "vm1.toml:7: unknown key \"sice\" in [[volume]]: did you mean \"size\"?");
  EXPECT_EQ(error_with("address =", "adress ="),
            "vm1.toml:10: unknown key \"adress\" in [node.alpha]: did you mean \"address\"?");
  EXPECT_EQ(error_with("[[volume]]", "[[volumes]]"),
            "vm1.toml:6: unknown key \"volumes\" in the file: did you mean \"volume\"?");
}

TEST(Config, the_first_unknown_key_of_the_file_is_named_not_of_the_alphabet) {
  EXPECT_THAT(error_with("protocol = \"C\"", "zz = 1\naa = 2"), StartsWith("vm1.toml:3: "));
}

TEST(Config, a_key_in_the_wrong_section_is_sent_to_the_right_one) {
  EXPECT_EQ(error_with("protocol = \"C\"", "disks = []"),
            "vm1.toml:3: key \"disks\" does not belong in [resource]: move it to [node.NAME]");
  EXPECT_EQ(error_with("size = \"8GiB\"", "protocol = \"C\""),
            "vm1.toml:7: key \"protocol\" does not belong in [[volume]]: move it to [resource]");
}

TEST(Config, values_of_the_wrong_kind_name_the_right_one) {
  EXPECT_EQ(error_with("protocol = \"C\"", "timeout = 6"),
            "vm1.toml:3: timeout in [resource] wants a duration in quotes, such as \"500ms\", "
            "\"6s\" or \"2min\"");
  EXPECT_EQ(error_with("\"8GiB\"", "\"8GB\""),
            "vm1.toml:7: size in [[volume]] wants a size in quotes, such as \"8GiB\" or "
            "\"512MiB\"");
  EXPECT_THAT(error_with("protocol = \"C\"", "auto-resume = \"no\""),
              HasSubstr("vm1.toml:3: auto-resume in [resource] wants true or false"));
  EXPECT_THAT(error_with("[\"/var/lib/baton/vm1.img\"]", "\"/var/lib/baton/vm1.img\""),
              HasSubstr("vm1.toml:12: disks in [node.alpha] wants a list of texts"));
  EXPECT_THAT(error_with("protocol = \"C\"", "protocol = \"D\""),
              HasSubstr("vm1.toml:3: protocol = \"D\" is unknown: choose"));
  EXPECT_THAT(error_with("name = \"vm1\"", "name = 1"), HasSubstr("wants text in quotes"));
  EXPECT_THAT(error_with("\"8GiB\"", "\"1000\""), HasSubstr("not a multiple of 512"));
}

TEST(Config, toml_mistakes_name_their_line) {
  EXPECT_THAT(error_with("name = \"vm1\"", "name = \"vm1"), StartsWith("vm1.toml:2: "));
  EXPECT_THAT(error_with("protocol = \"C\"", "name = \"vm2\""), StartsWith("vm1.toml:3: "));
}

TEST(Config, missing_parts_are_named) {
  EXPECT_THAT(error_of(""), HasSubstr("there is no [resource] section"));
  EXPECT_THAT(error_of("resource = 1"), HasSubstr("there is no [resource] section"));
  EXPECT_THAT(error_of("[resource]\n"), HasSubstr("vm1.toml:1: [resource] has no name"));
  EXPECT_THAT(error_of("[resource]\nname=\"a\"\n"), HasSubstr("there is no [[volume]]"));
  EXPECT_THAT(error_of("[resource]\nname=\"a\"\n[volume]\n"), HasSubstr("with two brackets"));
  EXPECT_THAT(error_of("[resource]\nname=\"a\"\n[[volume]]\n"), HasSubstr("no [node.NAME]"));
  EXPECT_THAT(error_of("[resource]\nname=\"a\"\n[[volume]]\n[node]\nb=1"),
              HasSubstr("node.b is no section"));
  EXPECT_EQ(error_of("[resource]\nname=\"a\"\n[[volume]]\n[node.b]\n"),
            "vm1.toml:4: [node.b] has no disks");
}

TEST(Config, timing_is_kept_within_sense) {
  EXPECT_THAT(error_with("protocol = \"C\"", "timeout = \"100ms\""),
              HasSubstr("timeout = 100 ms is out of range: choose 500 ms to 10 min"));
  EXPECT_THAT(error_with("protocol = \"C\"", "ping-int = \"4s\""),
              HasSubstr("vm1.toml:3: ping-int = 4 s is too long for timeout = 6 s"));
}

TEST(Config, an_unknown_way_to_meet_a_failed_disk_is_refused) {
  EXPECT_THAT(error_with("protocol = \"C\"", "on-io-error = \"panic\""),
              HasSubstr("vm1.toml:3: on-io-error = \"panic\" is unknown: choose \"detach\""));
  const auto spec = parse(replaced(pair_text, "protocol = \"C\"", "on-io-error = \"pass-on\""));
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->on_io_error, replication::OnIoError::pass_on);
}

TEST(Config, two_primaries_need_protocol_C) {
  const auto spec = parse(replaced(pair_text, "protocol = \"C\"", "allow-two-primaries = true"));
  ASSERT_TRUE(spec);
  EXPECT_TRUE(spec->two_primaries);
  const std::string message =
      error_with("protocol = \"C\"", "protocol = \"A\"\nallow-two-primaries = true");
  EXPECT_THAT(message, StartsWith("vm1.toml:4: "));
  EXPECT_THAT(message, HasSubstr("needs protocol = \"C\""));
}

TEST(Config, a_size_is_a_whole_number_of_sectors_and_one_that_a_volume_can_have) {
  EXPECT_THAT(error_with("8GiB", "1000"), HasSubstr("is not a multiple of 512 bytes"));
  EXPECT_THAT(error_with("8GiB", "300000TiB"),
              HasSubstr("300000TiB is too large: a volume has at"));
}

TEST(Config, metadata_may_be_internal_for_each_volume_by_itself) {
  constexpr std::string_view text = R"([resource]
name = "vm1"
[[volume]]
[[volume]]
[[volume]]
[node.alpha]
disks = ["/dev/a", "/dev/b", "/dev/c"]
meta = ["internal", "b.md", "internal"]
)";
  const auto spec = parse(std::string(text));
  ASSERT_TRUE(spec) << spec.error().message;
  const NodeSpec& node = spec->nodes[0];
  EXPECT_TRUE(node.meta_given);
  EXPECT_EQ(node.meta, (std::vector<std::string>{"internal", "/etc/baton/b.md", "internal"}));
  EXPECT_EQ(parse(replaced(std::string(text), "\"b.md\"", "\"./internal\""))->nodes[0].meta[1],
            "/etc/baton/internal")
      << "a file of that name is written with a folder";
  EXPECT_THAT(
      error_of(replaced(std::string(text), "\"b.md\"", "\"/dev/a\"")),
      HasSubstr("uses /dev/a as the disk of vm1 volume 0 and as the metadata of vm1 volume 1"));
  EXPECT_THAT(error_of(replaced(std::string(text), "[\"internal\", ", "[")),
              HasSubstr("meta of node alpha names 2 and disks 3: one each"));
}

TEST(Config, what_happens_when_the_peer_is_lost) {
  using replication::OnPeerLost;
  EXPECT_EQ(parse(pair_text)->on_peer_lost, OnPeerLost::go_on);
  for (const OnPeerLost each : {OnPeerLost::go_on, OnPeerLost::suspend, OnPeerLost::fail}) {
    const auto spec = parse(replaced(
        pair_text, "protocol = \"C\"",
        fmt::format("protocol = \"C\"\non-peer-lost = \"{}\"", replication::name_of(each))));
    ASSERT_TRUE(spec) << spec.error().message;
    EXPECT_EQ(spec->on_peer_lost, each);
  }
  const std::string message = error_with("protocol = \"C\"", "on-peer-lost = \"freeze\"");
  EXPECT_THAT(message, HasSubstr("choose \"continue\", \"suspend\" or \"fail\""));
}

TEST(Config, who_can_have_the_other_node_fenced_waits_for_it) {
  const std::string handlers = "\n[handlers]\nfence-peer = \"/bin/fence vm1\"\n";
  const auto spec = parse(std::string(pair_text) + handlers);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->on_peer_lost, replication::OnPeerLost::suspend);
  EXPECT_EQ(spec->handlers[static_cast<std::size_t>(replication::Handler::fence_peer)],
            "/bin/fence vm1");
  const auto told = parse(
      replaced(pair_text, "protocol = \"C\"", "protocol = \"C\"\non-peer-lost = \"continue\"") +
      handlers);
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_EQ(told->on_peer_lost, replication::OnPeerLost::go_on);
  EXPECT_THAT(error_of(replaced(pair_text, "protocol = \"C\"", "protocol = \"A\"") + handlers),
              HasSubstr("fence-peer needs protocol = \"B\" or \"C\""));
}

TEST(Config, handlers_have_drbds_names_and_a_command) {
  const std::string begin = std::string(pair_text) + "\n[handlers]\n";
  EXPECT_THAT(error_of(begin + "fence-pear = \"x\""), HasSubstr("fence-peer"));
  EXPECT_THAT(error_of(begin + "split-brain = \"\""),
              HasSubstr("split-brain in [handlers] is empty"));
  EXPECT_THAT(error_of("handlers = 3\n" + std::string(pair_text)), HasSubstr("write [handlers]"));
  EXPECT_THAT(error_with("protocol = \"C\"", "on-io-error = \"call-local-io-error\""),
              HasSubstr("needs local-io-error in [handlers]"));
  EXPECT_TRUE(parse(replaced(begin + "local-io-error = \"mail\"", "protocol = \"C\"",
                             "on-io-error = \"call-local-io-error\"")));
}

TEST(Config, names_are_ones_that_fit_everywhere) {
  for (const char* name : {"a/b", "", ".hidden", "-x", "a b", "ä"}) {
    const auto spec = parse(replaced(pair_text, "\"vm1\"", std::string("\"") + name + "\""));
    ASSERT_FALSE(spec) << name;
    EXPECT_THAT(spec.error().message, StartsWith("vm1.toml:2: ")) << name;
  }
  EXPECT_TRUE(parse(replaced(pair_text, "\"vm1\"", "\"web-01_data.v2\"")));
  EXPECT_EQ(error_of(replaced(single_text, "[node.solo]", "[node.db1.example]")),
            "vm1.toml:4: write [node.\"db1.example\"] if the node's name is db1.example: a name "
            "with dots stands in quotes");
  EXPECT_TRUE(parse(replaced(single_text, "[node.solo]", "[node.\"db1.example\"]")));
}

TEST(Config, addresses_are_numbers_with_a_port) {
  EXPECT_THAT(error_with("10.0.0.1:7789", "10.0.0.1"), HasSubstr("has no port"));
  EXPECT_THAT(error_with("10.0.0.1:7789", "10.0.0.1:0"), HasSubstr("no usable port"));
  EXPECT_THAT(error_with("10.0.0.1:7789", "10.0.0.1:77890"), HasSubstr("no usable port"));
  EXPECT_THAT(error_with("10.0.0.1:7789", "alpha:7789"), HasSubstr("names no IP address"));
  EXPECT_THAT(error_with("10.0.0.1:7789", "fe80::1:7789"), HasSubstr("put an IPv6 address in"));
  EXPECT_TRUE(parse(replaced(pair_text, "10.0.0.1:7789", "[fe80::1]:7789")));
  EXPECT_THAT(error_with("\"unix:/run/baton/vm1.sock\", ", "\"/run/baton/vm1.sock\", "),
              HasSubstr("vm1.toml:11: nbd listener \"/run/baton/vm1.sock\" is no listener"));
}

TEST(Config, paths_of_sockets_are_bounded) {
  const std::string longest = "/" + std::string(unix_path_limit - 1, 'x');
  EXPECT_TRUE(parse(replaced(pair_text, "/run/baton/vm1.sock", longest)));
  EXPECT_THAT(error_with("/run/baton/vm1.sock", longest + "x"), HasSubstr("is 108 bytes long"));
  EXPECT_THAT(error_of(replaced(single_text, "disks", "qmp = \"" + longest + "x\"\ndisks")),
              HasSubstr("qmp \"" + longest + "x\" is 108 bytes long"));
}

TEST(Config, sockets_have_an_owner_a_group_and_a_mode_where_they_are_given) {
  const auto with = [](const std::string& lines) {
    return replaced(pair_text, "disks   =", lines + "\ndisks   =");
  };
  const auto spec =
      parse(with("nbd-owner = \"libvirt-qemu\"\nnbd-group = \"36\"\nnbd-mode = \"0660\""));
  ASSERT_TRUE(spec) << spec.error().message;
  const nbd::SocketAccess given{.owner = "libvirt-qemu", .group = "36", .mode = 0660};
  EXPECT_EQ(spec->nodes[0].nbd_access, given);
  EXPECT_EQ(spec->nodes[1].nbd_access, nbd::SocketAccess());
  EXPECT_EQ(parse(with("nbd-mode = \"777\""))->nodes[0].nbd_access.mode, 0777U);
  for (const char* mode : {"66", "00660", "1660", "0680", "rw-", "-77", "066 "}) {
    EXPECT_EQ(error_of(with(fmt::format("nbd-mode = \"{}\"", mode))),
              fmt::format("vm1.toml:12: nbd-mode = \"{}\" is no mode: write it as 3 or 4 octal "
                          "digits, at most \"0777\", such as \"0660\"",
                          mode));
  }
  EXPECT_THAT(error_of(with("nbd-mode = 660")), HasSubstr("nbd-mode in [node.alpha] wants text"));
  EXPECT_EQ(error_with("protocol = \"C\"", "nbd-owner = \"root\""),
            "vm1.toml:3: key \"nbd-owner\" does not belong in [resource]: move it to [node.NAME]");
}

TEST(Config, the_owner_of_no_socket_is_a_mistake) {
  for (const char* line : {"nbd-owner = \"root\"", "nbd-group = \"kvm\"", "nbd-mode = \"0600\""}) {
    const std::string key(line, std::string_view(line).find(' '));
    const std::string text = replaced(pair_text, "\"unix:/run/baton/vm1.sock\", ", "");
    EXPECT_EQ(error_of(replaced(text, "disks   =", std::string(line) + "\ndisks   =")),
              fmt::format("vm1.toml:12: {0} is about unix: listeners, and nbd of node alpha names "
                          "none: add one or remove {0}",
                          key));
    EXPECT_THAT(error_of(replaced(single_text, "disks", std::string(line) + "\ndisks")),
                StartsWith("vm1.toml:5: "))
        << "no listener at all";
  }
}

TEST(Config, every_volume_has_one_disk_on_every_node) {
  EXPECT_EQ(error_with("[[volume]]", "[[volume]]\n[[volume]]"),
            "vm1.toml:10: node alpha names 1 disk, but the resource has 2 volumes: one disk for "
            "each volume");
  EXPECT_THAT(error_of(replaced(single_text, "disks", "meta = []\ndisks")),
              HasSubstr("vm1.toml:5: meta of node solo names 0 and disks 1: one each"));
}

TEST(Config, two_nodes_need_addresses_and_a_secret_or_loopback) {
  EXPECT_EQ(error_with("address = \"10.0.0.2:7789\"\n", ""),
            "vm1.toml:14: node beta has no address: with two nodes each needs one, such as "
            "address = \"10.0.0.1:7789\"");
  EXPECT_THAT(error_with("secret = \"s\"\n", ""),
              HasSubstr("10.0.0.1:7789, which others can reach, and [resource] has no secret"));
  const std::string local = replaced(
      replaced(replaced(pair_text, "secret = \"s\"\n", ""), "10.0.0.1:7789", "127.0.0.1:1"),
      "10.0.0.2:7789", "[::1]:1");
  EXPECT_TRUE(parse(local));
  EXPECT_THAT(error_with("10.0.0.2:7789", "10.0.0.1:7789"), HasSubstr("have the same address"));
  EXPECT_THAT(error_with("secret = \"s\"", "secret = \"s\"\nsecret-file = \"f\""),
              HasSubstr("vm1.toml:5: secret and secret-file are both given"));
}

TEST(Config, policies_after_split_brain_are_those_of_drbd_that_can_be_kept) {
  const auto with = [](const std::string& lines) {
    return replaced(pair_text, "secret = \"s\"", "secret = \"s\"\n" + lines);
  };
  const auto spec =
      parse(with("after-sb-0pri = \"discard-node-beta\"\n"
                 "after-sb-1pri = \"discard-secondary\""));
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(text_of(spec->after_sb), "discard-node-beta discard-secondary");
  EXPECT_EQ(text_of(parse(pair_text)->after_sb), "disconnect disconnect");
  EXPECT_THAT(error_of(with("after-sb-0pri = \"discard-yunger-primary\"")),
              HasSubstr("did you mean \"discard-younger-primary\"?"));
  EXPECT_THAT(error_of(with("after-sb-0pri = \"discard-node-gamma\"")),
              HasSubstr("names no node of vm1"));
  EXPECT_THAT(error_of(with("after-sb-1pri = \"violently-as0p\"")),
              HasSubstr("a Primary never yields"));
  EXPECT_THAT(error_of(with("after-sb-2pri = \"violently-as0p\"")),
              HasSubstr("a Primary never yields"));
  EXPECT_THAT(error_of(with("after-sb-2pri = \"consensus\"")), HasSubstr("is unknown"));
  const std::string lost = with(
      "after-sb-1pri = \"call-pri-lost-after-sb\"\nafter-sb-2pri = \"call-pri-lost-after-sb\"");
  EXPECT_THAT(error_of(lost), HasSubstr("needs pri-lost-after-sb in [handlers]"));
  const auto called = parse(lost + "\n[handlers]\npri-lost-after-sb = \"reboot -f\"\n");
  ASSERT_TRUE(called) << called.error().message;
  EXPECT_EQ(text_of(called->after_sb), "disconnect call-pri-lost-after-sb call-pri-lost-after-sb");
}

TEST(Config, more_than_two_nodes_come_later) {
  EXPECT_THAT(error_of(std::string(pair_text) + "[node.c]\naddress=\"10.0.0.3:1\"\ndisks=[\"c\"]"),
              HasSubstr("vm1.toml:18: resource vm1 has 3 nodes: more than two are not available"));
}

TEST(Config, nothing_of_a_node_is_used_twice) {
  EXPECT_THAT(error_of(replaced(replaced(single_text, "[[volume]]", "[[volume]]\n[[volume]]"),
                                "[\"vm1.img\"]", "[\"vm1.img\", \"./vm1.img\"]")),
              HasSubstr("node solo uses /etc/baton/vm1.img as the disk of vm1 volume 0 and as the "
                        "disk of vm1 volume 1: each needs its own"));
  EXPECT_THAT(error_of(replaced(single_text, "disks", "meta = [\"vm1.img\"]\ndisks")),
              HasSubstr("as the disk of vm1 volume 0 and as the metadata of vm1 volume 0"));
  EXPECT_THAT(error_with("tcp:10.0.0.1:10809", "tcp:10.0.0.1:7789"),
              HasSubstr("as an nbd listener and as the replication address of vm1"));
  EXPECT_THAT(error_with("tcp:10.0.0.1:10809", "unix:/run/baton/vm1.sock"),
              HasSubstr("is listed twice"));
}

class ConfigTogether : public testing::Test {
 protected:
  ResourceSpec first = *parse(single_text);
  ResourceSpec second =
      *parse_resource(replaced(replaced(single_text, "\"vm1\"", "\"vm2\""), "vm1.img", "vm2.img"),
                      "vm2.toml", "/etc/baton");
  std::string error() {
    const auto good = check_together({first, second});
    return good ? "" : good.error().message;
  }
};

TEST_F(ConfigTogether, resources_may_share_a_listener_but_no_name) {
  first.nodes[0].nbd = {*parse_endpoint("tcp:127.0.0.1:10809", "/")};
  second.nodes[0].nbd = first.nodes[0].nbd;
  EXPECT_EQ(error(), "");
  second.name = "vm1";
  EXPECT_EQ(error(),
            "vm2.toml:2: resource vm1 is also in vm1.toml:2: choose another name or remove one "
            "file");
}

TEST_F(ConfigTogether, a_shared_socket_has_one_owner_group_and_mode) {
  first.nodes[0].nbd = {*parse_endpoint("unix:/run/s", "/"), *parse_endpoint("tcp:[::1]:9", "/")};
  second.nodes[0].nbd = first.nodes[0].nbd;
  const nbd::SocketAccess access{.owner = "root", .group = "kvm", .mode = 0660};
  first.nodes[0].nbd_access = access;
  second.nodes[0].nbd_access = access;
  EXPECT_EQ(error(), "");
  const nbd::SocketAccess others[] = {{.owner = "qemu", .group = "kvm", .mode = 0660},
                                      {.owner = "root", .group = "", .mode = 0660},
                                      {.owner = "root", .group = "kvm", .mode = 0600},
                                      {}};
  for (const nbd::SocketAccess& other : others) {
    second.nodes[0].nbd_access = other;
    EXPECT_EQ(error(),
              "vm2.toml:4: vm2 and vm1 (in vm1.toml) share unix:/run/s on node solo and differ in "
              "nbd-owner, nbd-group or nbd-mode: write the same in both");
  }
  second.nodes[0].nbd.erase(second.nodes[0].nbd.begin());
  EXPECT_EQ(error(), "") << "only the TCP listener is shared";
}

TEST_F(ConfigTogether, a_disk_or_a_port_belongs_to_one_resource_per_node) {
  second.nodes[0].disks = first.nodes[0].disks;
  EXPECT_THAT(error(), HasSubstr("vm2.toml:4: node solo uses /etc/baton/vm1.img as"));
  EXPECT_THAT(error(), HasSubstr("(resource vm1 in vm1.toml)"));
  second.nodes[0].name = "other-host";
  EXPECT_EQ(error(), "") << "the same path on another host is another disk";
  second.nodes[0].name = "solo";
  second.nodes[0].disks = {"/elsewhere"};
  first.nodes[0].address = *parse_tcp_address("127.0.0.1:7789");
  second.nodes[0].address = first.nodes[0].address;
  EXPECT_THAT(error(), HasSubstr("127.0.0.1:7789 as the replication address of vm1"));
}

}  // namespace
}  // namespace baton::control
