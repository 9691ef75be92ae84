// What makes sections that read well still wrong together. Pure.
#pragma once

#include <string_view>

#include "base/result.h"
#include "control/config.h"

namespace baton::control {

// Names stand in file names, export names, JSON and log lines. The error is without file and line.
Result<> check_name(std::string_view name, std::string_view what);

// Of one resource: numbers of nodes and disks, addresses, the secret rule, paths used twice.
Result<> check_alone(const ResourceSpec& resource);

}  // namespace baton::control
