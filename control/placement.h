// Which resources live on one shard (design §2 "One thread owns one shard"). Pure.
#pragma once

#include <string_view>
#include <vector>

#include "control/config.h"

namespace baton::control {

// Resources of `node` that share an NBD listener must live together, because a listener, its
// connections and the volumes behind it belong to one thread. Every resource that names the node
// appears exactly once; groups and their members are in the order of the configuration.
using Group = std::vector<const ResourceSpec*>;
std::vector<Group> groups_of(const Configuration& configuration, std::string_view node);

// Spreads the groups over min(cores, groups) shards, in turn.
std::vector<Group> place(const std::vector<Group>& groups, unsigned cores);

}  // namespace baton::control
