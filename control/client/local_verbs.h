// Verbs that work on this node's disks and need no daemon: create-md and dump-md (design §8).
#pragma once

#include "base/result.h"
#include "control/client/arguments.h"

namespace baton::control {

// Prints what was made. When it refuses, nothing was changed on any disk.
Result<> create_md(const Arguments& arguments);
Result<> dump_md(const Arguments& arguments);

}  // namespace baton::control
