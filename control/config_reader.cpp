// TOML text to ResourceSpec: one function per section.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>
#include <utility>

#include "blockdev/metadata/format.h"
#include "control/config.h"
#include "control/config_checks.h"
#include "control/config_policies.h"
#include "control/config_tls.h"
#include "control/nearest.h"
#include "control/toml_section.h"
#include "control/units.h"

namespace baton::control {
namespace {

using namespace std::chrono_literals;

constexpr std::array<std::string_view, 5> top_keys{"resource", "volume", "node", "handlers", "tls"};
constexpr std::array<std::string_view, 22> resource_keys{
    "name",           "protocol",      "timeout",       "ping-int",        "fence-hold",
    "secret",         "secret-file",   "auto-resume",   "on-io-error",     "on-peer-lost",
    "disk-timeout",   "after-sb-0pri", "after-sb-1pri", "after-sb-2pri",   "allow-two-primaries",
    "checksum-based", "resync-rate",   "verify-rate",   "verify-interval", "handover-on-silence",
    "allow-networks", "allow-names"};
constexpr std::array<std::string_view, 3> volume_keys{"size", "allow-networks", "allow-names"};
constexpr std::array<std::string_view, 3> access_keys{"nbd-owner", "nbd-group", "nbd-mode"};
constexpr std::array<std::string_view, 8> node_keys{
    "address", "nbd", "disks", "meta", "qmp", access_keys[0], access_keys[1], access_keys[2]};

constexpr std::array<TomlSection::Elsewhere, 9> belongs_elsewhere{{{"size", "[[volume]]"},
                                                                   {"address", "[node.NAME]"},
                                                                   {"nbd", "[node.NAME]"},
                                                                   {"nbd-owner", "[node.NAME]"},
                                                                   {"nbd-group", "[node.NAME]"},
                                                                   {"nbd-mode", "[node.NAME]"},
                                                                   {"disks", "[node.NAME]"},
                                                                   {"meta", "[node.NAME]"},
                                                                   {"qmp", "[node.NAME]"}}};
constexpr std::array<TomlSection::Elsewhere, 6> resource_elsewhere{{{"name", "[resource]"},
                                                                    {"protocol", "[resource]"},
                                                                    {"timeout", "[resource]"},
                                                                    {"secret", "[resource]"},
                                                                    {"ping-int", "[resource]"},
                                                                    {"auto-resume", "[resource]"}}};

Duration bounded(const TomlSection& section, std::string_view key, Duration standard, Duration low,
                 Duration high) {
  const Duration value = section.duration(key).value_or(standard);
  if (value < low || value > high) {
    section.fail(key, fmt::format("{} = {} is out of range: choose {} to {}", key,
                                  duration_text(value), duration_text(low), duration_text(high)));
  }
  return value;
}

// After the protocol: under A and B what one node has been answered the other one may not have.
void read_two_primaries(const TomlSection& section, ResourceSpec& spec) {
  spec.two_primaries = section.boolean("allow-two-primaries").value_or(false);
  if (spec.two_primaries && spec.protocol != replication::Protocol::c) {
    section.fail("allow-two-primaries",
                 "allow-two-primaries = true needs protocol = \"C\": choose one of the two");
  }
}

replication::Protocol read_protocol(const TomlSection& section) {
  const std::string written = section.text("protocol").value_or("C");
  if (written == "A") return replication::Protocol::a;
  if (written == "B") return replication::Protocol::b;
  if (written == "C") return replication::Protocol::c;
  section.fail("protocol",
               fmt::format("protocol = \"{}\" is unknown: choose \"A\", \"B\" or \"C\"", written));
}

void read_timing(const TomlSection& section, ResourceSpec& spec) {
  spec.timeout = bounded(section, "timeout", 6s, 500ms, 10min);
  // Two pings must fit into the time after which silence counts as loss.
  const Duration standard = std::min<Duration>(2s, spec.timeout / 3);
  spec.ping_interval = bounded(section, "ping-int", standard, 50ms, 10min);
  if (spec.ping_interval * 2 > spec.timeout) {
    section.fail("ping-int",
                 fmt::format("ping-int = {} is too long for timeout = {}: choose at "
                             "most half of it",
                             duration_text(spec.ping_interval), duration_text(spec.timeout)));
  }
  spec.fence_hold = bounded(section, "fence-hold", 20s, 1s, 10min);
  // Shorter than a second would take a busy disk for a broken one.
  const Duration patience = section.duration("disk-timeout").value_or(0s);
  if (patience != 0s) spec.disk_timeout = bounded(section, "disk-timeout", 0s, 1s, 10min);
}

std::uint64_t read_rate(const TomlSection& section, std::string_view key, std::uint64_t standard,
                        bool may_be_unlimited) {
  constexpr std::uint64_t lowest = 64U << 10U;  // slower than this nothing ends in a lifetime
  const auto rate = section.size(key);
  if (!rate) return standard;
  if (*rate >= lowest || (*rate == 0 && may_be_unlimited)) return *rate;
  section.fail(key, fmt::format("{} = {} is too slow: choose {} a second or more{}", key,
                                size_literal(*rate), size_literal(lowest),
                                may_be_unlimited ? ", or 0 for as fast as it goes" : ""));
}

void read_copying(const TomlSection& section, ResourceSpec& spec) {
  spec.checksum_based = section.boolean("checksum-based").value_or(false);
  spec.resync_rate = read_rate(section, "resync-rate", spec.resync_rate, true);
  spec.verify_rate = read_rate(section, "verify-rate", spec.verify_rate, true);
  if (section.find("verify-interval") != nullptr) {
    spec.verify_interval = bounded(section, "verify-interval", 0s, 1s, 366 * 24h);
  }
  spec.handover_on_silence = section.boolean("handover-on-silence").value_or(true);
}

void read_secret_options(const TomlSection& section, const std::string& folder,
                         ResourceSpec& spec) {
  spec.secret = section.text("secret").value_or("");
  if (const auto path = section.text("secret-file")) {
    if (!spec.secret.empty()) {
      section.fail("secret-file", "secret and secret-file are both given: keep one of them");
    }
    spec.secret_file = resolve_path(*path, folder);
  }
}

void read_resource(const TomlSection& section, const std::string& folder, ResourceSpec& spec) {
  section.only(resource_keys, belongs_elsewhere);
  const auto name = section.text("name");
  if (!name) section.fail("[resource] has no name: add a line such as name = \"vm1\"");
  spec.name = *name;
  spec.line = section.line_of("name");
  if (auto good = check_name(spec.name, "resource"); !good) {
    section.fail("name", good.error().message);
  }
  spec.protocol = read_protocol(section);
  read_timing(section, spec);
  read_secret_options(section, folder, spec);
  spec.auto_resume = section.boolean("auto-resume").value_or(true);
  read_copying(section, spec);
  read_two_primaries(section, spec);
}

VolumeSpec read_volume(const TomlSection& section, const nbd::Access& standard) {
  section.only(volume_keys, resource_elsewhere);
  VolumeSpec volume;
  volume.access = read_access(section, standard);
  volume.size = section.size("size").value_or(0);
  if (section.find("size") != nullptr && (volume.size == 0 || volume.size % 512 != 0)) {
    section.fail("size", fmt::format("size = {} is not a multiple of 512 bytes (one sector)",
                                     size_literal(volume.size)));
  }
  if (volume.size > blockdev::volume_size_max) {
    section.fail("size", fmt::format("size = {} is too large: a volume has at most {} bytes",
                                     size_literal(volume.size), blockdev::volume_size_max));
  }
  return volume;
}

void read_listeners(const TomlSection& section, const std::string& folder, NodeSpec& node) {
  for (const std::string& written : section.texts("nbd").value_or(std::vector<std::string>{})) {
    auto endpoint = parse_endpoint(written, folder);
    if (!endpoint) {
      section.fail("nbd", fmt::format("nbd listener \"{}\" {}", written, endpoint.error().message));
    }
    if (std::find(node.nbd.begin(), node.nbd.end(), *endpoint) != node.nbd.end()) {
      section.fail("nbd", fmt::format("nbd listener \"{}\" is listed twice", written));
    }
    node.nbd.push_back(std::move(*endpoint));
  }
}

std::optional<mode_t> read_mode(const TomlSection& section) {
  const auto written = section.text("nbd-mode");
  if (!written) return std::nullopt;
  mode_t mode = 0;
  const char* const end = written->data() + written->size();
  const auto [stop, error] = std::from_chars(written->data(), end, mode, 8);
  const bool good = (written->size() == 3 || written->size() == 4) && error == std::errc() &&
                    stop == end && mode <= 0777;
  if (good) return mode;
  section.fail("nbd-mode",
               fmt::format("nbd-mode = \"{}\" is no mode: write it as 3 or 4 octal digits, at most "
                           "\"0777\", such as \"0660\"",
                           *written));
}

// After the listeners, whose files it is about.
void read_access(const TomlSection& section, NodeSpec& node) {
  node.nbd_access.owner = section.text("nbd-owner").value_or("");
  node.nbd_access.group = section.text("nbd-group").value_or("");
  node.nbd_access.mode = read_mode(section);
  if (std::ranges::any_of(node.nbd, &Endpoint::is_unix)) return;
  for (const std::string_view key : access_keys) {
    if (section.find(key) == nullptr) continue;
    section.fail(key, fmt::format("{} is about unix: listeners, and nbd of node {} names none: "
                                  "add one or remove {}",
                                  key, node.name, key));
  }
}

void read_metadata_places(const TomlSection& section, const std::string& folder, NodeSpec& node) {
  const auto written = section.texts("meta");
  node.meta_given = written.has_value();
  if (!written) {
    for (const std::string& disk : node.disks) node.meta.push_back(disk + ".baton");
    return;
  }
  if (written->size() != node.disks.size()) {
    section.fail("meta", fmt::format("meta of node {} names {} and disks {}: one each", node.name,
                                     written->size(), node.disks.size()));
  }
  for (const std::string& place : *written) {
    node.meta.push_back(place == internal_metadata ? place : resolve_path(place, folder));
  }
}

// [node.db1.example] is a table in a table for TOML; host names have dots.
void refuse_dotted_name(const TomlSection& section, const toml::table& table,
                        std::string_view name) {
  for (const auto& [key, value] : table) {
    if (!value.is_table()) continue;
    section.fail(key.str(), fmt::format("write [node.\"{0}.{1}\"] if the node's name is {0}.{1}: "
                                        "a name with dots stands in quotes",
                                        name, key.str()));
  }
}

NodeSpec read_node(const TomlSection& section, std::string name, const std::string& folder) {
  section.only(node_keys, resource_elsewhere);
  NodeSpec node;
  node.name = std::move(name);
  node.line = section.line();
  if (auto good = check_name(node.name, "node"); !good) section.fail(good.error().message);
  if (const auto written = section.text("address")) {
    auto address = parse_tcp_address(*written);
    if (!address) {
      section.fail("address", fmt::format("address \"{}\" {}", *written, address.error().message));
    }
    node.address = std::move(*address);
  }
  const auto disks = section.texts("disks");
  if (!disks) section.fail(fmt::format("[node.{}] has no disks", node.name));
  for (const std::string& disk : *disks) node.disks.push_back(resolve_path(disk, folder));
  read_metadata_places(section, folder, node);
  read_listeners(section, folder, node);
  read_access(section, node);
  if (const auto path = section.text("qmp")) {
    node.qmp = resolve_path(*path, folder);
    if (auto fits = check_socket_path(node.qmp); !fits) {
      section.fail("qmp", fmt::format("qmp \"{}\" {}", *path, fits.error().message));
    }
  }
  return node;
}

void read_volumes(const TomlSection& top, const std::string& file, const nbd::Access& standard,
                  ResourceSpec& spec) {
  const toml::node* node = top.find("volume");
  if (node == nullptr) top.fail("there is no [[volume]]: a resource has at least one");
  const toml::array* volumes = node->as_array();
  if (volumes == nullptr || volumes->empty() || !volumes->is_homogeneous<toml::table>()) {
    top.fail("volume", "volumes are written as [[volume]], with two brackets, once for each");
  }
  constexpr std::size_t volumes_max = 64;  // a guest's disks; bounds what one resource can hold
  if (volumes->size() > volumes_max) {
    top.fail("volume", fmt::format("there are {} volumes, and {} are the most", volumes->size(),
                                   volumes_max));
  }
  for (const toml::node& volume : *volumes) {
    const TomlSection section(*volume.as_table(), file, "[[volume]]");
    spec.volumes.push_back(read_volume(section, standard));
    check_access(section, spec, spec.volumes.back().access);
  }
}

void read_nodes(const TomlSection& top, const std::string& file, const std::string& folder,
                ResourceSpec& spec) {
  const toml::node* node = top.find("node");
  const toml::table* nodes = node == nullptr ? nullptr : node->as_table();
  if (nodes == nullptr || nodes->empty()) {
    top.fail("node", "there is no [node.NAME]: add one for every host that keeps a copy");
  }
  for (const auto& [name, value] : *nodes) {
    const toml::table* table = value.as_table();
    if (table == nullptr) {
      top.fail("node", fmt::format("node.{} is no section: write [node.NAME], where NAME is the "
                                   "node's name",
                                   name.str()));
    }
    const TomlSection section(*table, file, fmt::format("[node.{}]", name.str()));
    refuse_dotted_name(section, *table, name.str());
    spec.nodes.push_back(read_node(section, std::string(name.str()), folder));
  }
  std::sort(spec.nodes.begin(), spec.nodes.end(), [](const NodeSpec& a, const NodeSpec& b) {
    return std::tie(a.line, a.name) < std::tie(b.line, b.name);
  });
}

// Null when it is not there.
const toml::node* section_of(const TomlSection& top, std::string_view name) {
  const toml::node* const found = top.find(name);
  if (found != nullptr && found->as_table() == nullptr) {
    top.fail(name, fmt::format("{0} is no section: write [{0}]", name));
  }
  return found;
}

}  // namespace

Result<ResourceSpec> parse_resource(std::string_view toml, const std::string& file,
                                    const std::string& folder) {
  try {
    const toml::table table = toml::parse(toml, std::string_view(file));
    ResourceSpec spec;
    spec.file = file;
    const TomlSection top(table, file, "the file");
    top.only(top_keys, {});
    const toml::node* resource = top.find("resource");
    if (resource == nullptr || resource->as_table() == nullptr) {
      top.fail("resource", "there is no [resource] section");
    }
    const TomlSection section(*resource->as_table(), file, "[resource]");
    read_resource(section, folder, spec);
    const toml::node* handlers = section_of(top, "handlers");
    if (const toml::node* tls = section_of(top, "tls")) {
      read_tls(TomlSection(*tls->as_table(), file, "[tls]"), folder, spec);
    }
    if (handlers == nullptr) {
      read_policies(section, nullptr, spec);
    } else {
      const TomlSection programs(*handlers->as_table(), file, "[handlers]");
      read_policies(section, &programs, spec);
    }
    read_volumes(top, file, read_access(section, {}), spec);
    read_nodes(top, file, folder, spec);
    if (auto good = check_alone(spec); !good) return std::unexpected(good.error());
    return spec;
  } catch (const toml::parse_error& error) {
    return failure(fmt::format("{}:{}: {}", file, error.source().begin.line, error.description()),
                   ExitCode::configuration);
  } catch (const Error& error) {
    return std::unexpected(error);
  }
}

}  // namespace baton::control
