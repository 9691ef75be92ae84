// Goal: resources that share a listener end on one shard, all others are spread.
#include "control/placement.h"

#include <gtest/gtest.h>

namespace baton::control {
namespace {

ResourceSpec resource(std::string name, std::vector<std::string> listeners) {
  ResourceSpec spec{.name = std::move(name)};
  NodeSpec node{.name = "alpha"};
  for (const std::string& text : listeners) node.nbd.push_back(*parse_endpoint(text, "/"));
  spec.nodes = {node};
  return spec;
}

std::vector<std::string> names(const std::vector<Group>& groups) {
  std::vector<std::string> out;
  for (const Group& group : groups) {
    std::string& text = out.emplace_back();
    for (const ResourceSpec* member : group) text += member->name;
  }
  return out;
}

using Names = std::vector<std::string>;

TEST(Placement, resources_that_share_a_listener_live_together) {
  Configuration configuration;
  configuration.resources = {resource("a", {"unix:/a"}), resource("b", {"tcp:127.0.0.1:1"}),
                             resource("c", {"unix:/c", "tcp:127.0.0.1:1"}), resource("d", {})};
  EXPECT_EQ(names(groups_of(configuration, "alpha")), (Names{"a", "bc", "d"}));
  EXPECT_EQ(names(groups_of(configuration, "beta")), Names{});
}

TEST(Placement, a_resource_can_join_two_groups) {
  Configuration configuration;
  configuration.resources = {resource("a", {"unix:/a"}), resource("b", {"unix:/b"}),
                             resource("c", {"unix:/b", "unix:/a"})};
  EXPECT_EQ(names(groups_of(configuration, "alpha")), (Names{"abc"}));
}

TEST(Placement, there_are_as_many_shards_as_cores_or_groups) {
  Configuration configuration;
  configuration.resources = {resource("a", {}), resource("b", {}), resource("c", {})};
  const auto groups = groups_of(configuration, "alpha");
  EXPECT_EQ(names(place(groups, 2)), (Names{"ac", "b"}));
  EXPECT_EQ(names(place(groups, 8)), (Names{"a", "b", "c"}));
  EXPECT_EQ(names(place(groups, 0)), (Names{"abc"})) << "an unknown number of cores is one";
  EXPECT_EQ(names(place({}, 2)), Names{});
}

}  // namespace
}  // namespace baton::control
