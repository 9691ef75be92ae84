// The part of a resource's configuration that says what happens when something goes wrong.
#pragma once

#include "control/config.h"
#include "control/toml_section.h"

namespace baton::control {

// on-io-error, on-peer-lost, after-sb-* of [resource], and [handlers], which may be absent (null).
// Throws the sentence.
void read_policies(const TomlSection& resource, const TomlSection* handlers, ResourceSpec& spec);

}  // namespace baton::control
