// The section [tls], and who may have an export: their keys and checks.
#pragma once

#include "control/config.h"
#include "control/toml_section.h"

namespace baton::control {

// After the secret was read.
void read_tls(const TomlSection& section, const std::string& folder, ResourceSpec& spec);

// allow-networks and allow-names; what is not given is that of `standard`.
nbd::Access read_access(const TomlSection& section, const nbd::Access& standard);

// After everything was read: what is allowed must be possible to prove.
void check_access(const TomlSection& section, const ResourceSpec& spec, const nbd::Access& access);

}  // namespace baton::control
