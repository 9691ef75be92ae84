#include "control/config_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace baton::control {
namespace {

std::unexpected<Error> wrong(const ResourceSpec& resource, int line, std::string_view message) {
  return failure(fmt::format("{}:{}: {}", resource.file, line, message), ExitCode::configuration);
}

Result<> check_node(const ResourceSpec& resource, const NodeSpec& node) {
  if (node.disks.size() != resource.volumes.size()) {
    return wrong(resource, node.line,
                 fmt::format("node {} names {} disk{}, but the resource has {} volume{}: one disk "
                             "for each volume",
                             node.name, node.disks.size(), node.disks.size() == 1 ? "" : "s",
                             resource.volumes.size(), resource.volumes.size() == 1 ? "" : "s"));
  }
  if (resource.nodes.size() == 1) return {};
  if (!node.address) {
    return wrong(resource, node.line,
                 fmt::format("node {} has no address: with two nodes each needs one, such as "
                             "address = \"10.0.0.1:7789\"",
                             node.name));
  }
  if (!node.address->loopback() && !resource.authenticated()) {
    return wrong(
        resource, node.line,
        fmt::format("node {} has address {}, which others can reach, and [resource] has no "
                    "secret: add secret-file = \"PATH\", or replication = \"x509\" in [tls] "
                    "(without either only loopback addresses are allowed)",
                    node.name, node.address->text()));
  }
  return {};
}

// Who uses a thing already on a node: the key names node and thing.
struct Use {
  const ResourceSpec* resource;
  std::string what;
};
using Uses = std::map<std::pair<std::string, std::string>, Use>;

Result<> claim(Uses& uses, const ResourceSpec& resource, const NodeSpec& node,
               const std::string& thing, std::string what) {
  const auto [place, fresh] = uses.try_emplace({node.name, thing}, Use{&resource, what});
  if (fresh) return {};
  const Use& other = place->second;
  const bool same = other.resource == &resource;
  return wrong(resource, node.line,
               fmt::format("node {} uses {} as {} and as {}{}: each needs its own", node.name,
                           thing, other.what, what,
                           same ? ""
                                : fmt::format(" (resource {} in {})", other.resource->name,
                                              other.resource->file)));
}

// Everything that only one resource of a node may use. NBD listeners may be shared (design §8).
Result<> claim_all(Uses& uses, const ResourceSpec& resource, const NodeSpec& node) {
  for (std::size_t volume = 0; volume < node.disks.size(); ++volume) {
    const std::string disk = fmt::format("the disk of {} volume {}", resource.name, volume);
    const std::string meta = fmt::format("the metadata of {} volume {}", resource.name, volume);
    if (auto good = claim(uses, resource, node, node.disks[volume], disk); !good) return good;
    if (node.meta[volume] == internal_metadata) continue;  // on the disk, which is claimed
    if (auto good = claim(uses, resource, node, node.meta[volume], meta); !good) return good;
  }
  if (node.address) {
    const std::string what = fmt::format("the replication address of {}", resource.name);
    if (auto good = claim(uses, resource, node, node.address->text(), what); !good) return good;
  }
  if (!node.qmp.empty()) {
    const std::string what = fmt::format("the QMP socket of {}", resource.name);
    if (auto good = claim(uses, resource, node, node.qmp, what); !good) return good;
  }
  return {};
}

// A listener may be shared, but not with something that is no NBD listener.
Result<> check_listeners(const Uses& uses, const ResourceSpec& resource, const NodeSpec& node) {
  for (const Endpoint& endpoint : node.nbd) {
    const std::string thing = endpoint.is_unix() ? endpoint.unix_path : endpoint.tcp.text();
    const auto other = uses.find({node.name, thing});
    if (other == uses.end()) continue;
    return wrong(resource, node.line,
                 fmt::format("node {} uses {} as an nbd listener and as {}: each needs its own",
                             node.name, thing, other->second.what));
  }
  return {};
}

// Clients meet a listener before they say which export they want.
Result<> check_shared_listeners(const std::vector<ResourceSpec>& resources) {
  std::map<std::pair<std::string, std::string>, const ResourceSpec*> first;
  for (const ResourceSpec& resource : resources) {
    for (const NodeSpec& node : resource.nodes) {
      for (const Endpoint& endpoint : node.nbd) {
        const auto [place, fresh] = first.try_emplace({node.name, endpoint.text()}, &resource);
        const ResourceSpec& other = *place->second;
        if (fresh || other.tls.same_for_clients(resource.tls)) continue;
        return wrong(resource, std::max(node.line, resource.tls.line),
                     fmt::format("resources {} and {} share the listener {} and say different "
                                 "things of NBD clients in [tls] ({}): write the same in both",
                                 resource.name, other.name, endpoint.text(), other.file));
      }
    }
  }
  return {};
}

// Who names a unix listener first: the key names node and path.
using SocketFiles =
    std::map<std::pair<std::string, std::string>, std::pair<const ResourceSpec*, const NodeSpec*>>;

// Resources that share a socket file share its owner, its group and its mode.
Result<> check_socket_files(SocketFiles& files, const ResourceSpec& resource,
                            const NodeSpec& node) {
  for (const Endpoint& endpoint : node.nbd) {
    if (!endpoint.is_unix()) continue;
    const auto [place, fresh] =
        files.try_emplace({node.name, endpoint.unix_path}, &resource, &node);
    const auto& [other, its_node] = place->second;
    if (fresh || its_node->nbd_access == node.nbd_access) continue;
    return wrong(resource, node.line,
                 fmt::format("{} and {} (in {}) share {} on node {} and differ in nbd-owner, "
                             "nbd-group or nbd-mode: write the same in both",
                             resource.name, other->name, other->file, endpoint.text(), node.name));
  }
  return {};
}

}  // namespace

Result<> check_name(std::string_view name, std::string_view what) {
  constexpr std::size_t length_max =
      63;  // node names in the metadata (blockdev/metadata/metadata.h)
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const auto allowed = [&](char c) {
    return letter_or_digit(c) || c == '-' || c == '_' || c == '.';
  };
  const bool good = !name.empty() && name.size() <= length_max && letter_or_digit(name.front()) &&
                    std::all_of(name.begin(), name.end(), allowed);
  if (good) return {};
  return failure(fmt::format("\"{}\" is no {} name: use letters, digits, '-', '_' and '.', a "
                             "letter or digit first, at most {} characters",
                             name, what, length_max),
                 ExitCode::configuration);
}

Result<> check_alone(const ResourceSpec& resource) {
  constexpr std::size_t nodes_max = 2;  // design §7: two are the first to ship
  if (resource.nodes.size() > nodes_max) {
    return wrong(resource, resource.nodes[nodes_max].line,
                 fmt::format("resource {} has {} nodes: more than two are not available yet",
                             resource.name, resource.nodes.size()));
  }
  for (const NodeSpec& node : resource.nodes) {
    if (auto good = check_node(resource, node); !good) return good;
  }
  const replication::AfterSplitBrain& after = resource.after_sb;
  if (after.zero == replication::AfterSb0::discard_node && resource.node(after.node) == nullptr) {
    return wrong(resource, resource.line,
                 fmt::format("after-sb-0pri = \"discard-node-{}\" names no node of {}: the part "
                             "after discard-node- is the NAME of a [node.NAME]",
                             after.node, resource.name));
  }
  const auto& nodes = resource.nodes;
  if (nodes.size() == 2) {
    const auto& first = nodes[0].address;
    const auto& second = nodes[1].address;
    if (first && second && *first == *second) {
      return wrong(resource, nodes[1].line,
                   fmt::format("nodes {} and {} have the same address {}: each needs its own",
                               nodes[0].name, nodes[1].name, first->text()));
    }
  }
  return check_together({resource});
}

Result<> check_together(const std::vector<ResourceSpec>& resources) {
  std::map<std::string, const ResourceSpec*> by_name;
  for (const ResourceSpec& resource : resources) {
    const auto [place, fresh] = by_name.try_emplace(resource.name, &resource);
    if (fresh) continue;
    return wrong(resource, resource.line,
                 fmt::format("resource {} is also in {}:{}: choose another name or remove one file",
                             resource.name, place->second->file, place->second->line));
  }
  Uses uses;
  for (const ResourceSpec& resource : resources) {
    for (const NodeSpec& node : resource.nodes) {
      if (auto good = claim_all(uses, resource, node); !good) return good;
    }
  }
  SocketFiles files;
  for (const ResourceSpec& resource : resources) {
    for (const NodeSpec& node : resource.nodes) {
      if (auto good = check_listeners(uses, resource, node); !good) return good;
      if (auto good = check_socket_files(files, resource, node); !good) return good;
    }
  }
  return check_shared_listeners(resources);
}

}  // namespace baton::control
