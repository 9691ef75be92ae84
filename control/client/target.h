// The resource that a verb names, in the configuration, and this node's part of it.
#pragma once

#include "control/client/arguments.h"
#include "control/config.h"

namespace baton::control {

struct Target {
  Configuration configuration;
  const ResourceSpec* resource = nullptr;  // in `configuration`
  const NodeSpec* node = nullptr;
};

Result<Target> find_target(const Arguments& arguments);

}  // namespace baton::control
