#include "control/client/target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace baton::control {

Result<Target> find_target(const Arguments& arguments) {
  auto configuration = load_configuration(arguments.configuration);
  if (!configuration) return std::unexpected(configuration.error());
  Target target{.configuration = std::move(*configuration)};
  target.resource = target.configuration.find(arguments.resource);
  if (target.resource == nullptr) {
    const auto& resources = target.configuration.resources;
    std::vector<std::string> known(resources.size());
    std::ranges::transform(resources, known.begin(), &ResourceSpec::name);
    return failure(fmt::format("no resource {} in {}: there {} {}", arguments.resource,
                               arguments.configuration, known.size() == 1 ? "is" : "are",
                               known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
  }
  target.node = target.resource->node(arguments.node);
  if (target.node == nullptr) {
    std::vector<std::string> nodes(target.resource->nodes.size());
    std::ranges::transform(target.resource->nodes, nodes.begin(), &NodeSpec::name);
    return failure(fmt::format("{} names no node {}, only {}: choose one with --node",
                               target.resource->file, arguments.node, fmt::join(nodes, ", ")),
                   ExitCode::configuration);
  }
  return target;
}

}  // namespace baton::control
