// Verbs that batond carries out.
#pragma once

#include "base/result.h"
#include "control/client/arguments.h"

namespace baton::control {

// Sends the request, shows progress, prints the answer on stdout. Where the daemon names a risk and
// there is a terminal, asks and sends it again.
Result<> ask_daemon(const Arguments& arguments);

}  // namespace baton::control
