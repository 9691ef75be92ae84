#include "control/client/certificate_parties.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/config_checks.h"

namespace baton::control {
namespace {

// What the client of a node's own host is called: its QEMU.
std::string client_of(const std::string& node) {
  return node + "-client";
}

// Connections come to an address, never to a wildcard.
void add_address(Party& party, const TcpAddress& address) {
  const bool wildcard = address.host == "0.0.0.0" || address.host == "::";
  const bool known = std::ranges::find(party.addresses, address.host) != party.addresses.end();
  if (!wildcard && !known) party.addresses.push_back(address.host);
}

void add_node(std::vector<Party>& parties, const NodeSpec& node) {
  auto party = std::ranges::find(parties, node.name, &Party::name);
  if (party == parties.end()) {
    party = parties.insert(party, Party{.name = node.name, .node = true, .addresses = {}});
  }
  if (node.address) add_address(*party, *node.address);
  for (const Endpoint& endpoint : node.nbd) {
    if (!endpoint.is_unix()) add_address(*party, endpoint.tcp);
  }
}

Result<> check_node(const Party& node) {
  if (client_of(node.name).size() <= common_name_max) return {};
  return failure(
      fmt::format("the name of node {} is too long for the certificate of its client, "
                  "{}: rename the node, {} characters are the most",
                  node.name, client_of(node.name), common_name_max - client_of("").size()));
}

Result<> check_client(const std::string& name, const std::vector<Party>& nodes) {
  if (auto good = check_name(name, "client"); !good) {
    return failure(good.error().message, ExitCode::usage);
  }
  for (const Party& node : nodes) {
    if (name == node.name) {
      return failure(
          fmt::format("{} is a node, so it cannot be a --client, too: leave that out, "
                      "the folder of a node has a client's certificate as well",
                      name));
    }
    if (name == client_of(node.name)) {
      return failure(
          fmt::format("{} is what the client on node {} is called: choose another name "
                      "for --client",
                      name, node.name));
    }
  }
  return {};
}

}  // namespace

Result<std::vector<Party>> parties_of(const Configuration& configuration,
                                      const std::vector<std::string>& clients) {
  std::vector<Party> nodes;
  for (const ResourceSpec& resource : configuration.resources) {
    for (const NodeSpec& node : resource.nodes) add_node(nodes, node);
  }
  if (nodes.empty()) {
    return failure(
        fmt::format("{} has no resource, so there is no node to make certificates for: "
                    "write the file of a resource first",
                    configuration.path));
  }
  for (const Party& node : nodes) {
    if (auto good = check_node(node); !good) return std::unexpected(good.error());
  }
  std::vector<Party> parties = nodes;
  for (const std::string& name : clients) {
    if (auto good = check_client(name, nodes); !good) return std::unexpected(good.error());
    if (std::ranges::find(parties, name, &Party::name) != parties.end()) continue;  // named twice
    parties.push_back({.name = name, .node = false, .addresses = {}});
  }
  return parties;
}

std::vector<Role> roles_of(const Party& party) {
  const auto client = [](std::string name) {
    return Role{"client",
                {.name = std::move(name), .addresses = {}, .use = CertificateUse::client}};
  };
  if (!party.node) return {client(party.name)};
  return {
      {"server", {.name = party.name, .addresses = party.addresses, .use = CertificateUse::node}},
      client(client_of(party.name))};
}

}  // namespace baton::control
