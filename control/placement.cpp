#include "control/placement.h"

#include <algorithm>

namespace baton::control {
namespace {

bool share_listener(const NodeSpec& a, const NodeSpec& b) {
  return std::any_of(a.nbd.begin(), a.nbd.end(), [&](const Endpoint& endpoint) {
    return std::find(b.nbd.begin(), b.nbd.end(), endpoint) != b.nbd.end();
  });
}

bool belongs_to(const Group& group, const NodeSpec& node) {
  return std::any_of(group.begin(), group.end(), [&](const ResourceSpec* member) {
    return share_listener(*member->node(node.name), node);
  });
}

}  // namespace

std::vector<Group> groups_of(const Configuration& configuration, std::string_view node) {
  std::vector<Group> groups;
  for (const ResourceSpec& resource : configuration.resources) {
    const NodeSpec* here = resource.node(node);
    if (here == nullptr) continue;
    // A resource with two listeners can join groups that were apart so far.
    Group joined;
    std::vector<Group> others;
    for (Group& group : groups) {
      if (belongs_to(group, *here)) {
        joined.insert(joined.end(), group.begin(), group.end());
      } else {
        others.push_back(std::move(group));
      }
    }
    joined.push_back(&resource);
    others.push_back(std::move(joined));
    groups = std::move(others);
  }
  return groups;
}

std::vector<Group> place(const std::vector<Group>& groups, unsigned cores) {
  std::vector<Group> shards(std::min<std::size_t>(groups.size(), std::max(1U, cores)));
  for (std::size_t i = 0; i < groups.size(); ++i) {
    Group& shard = shards[i % shards.size()];
    shard.insert(shard.end(), groups[i].begin(), groups[i].end());
  }
  return shards;
}

}  // namespace baton::control
