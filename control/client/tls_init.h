// tls-init: a private CA, and certificates for the nodes of the configuration (docs/tls.md).
#pragma once

#include "base/result.h"
#include "control/client/arguments.h"

namespace baton::control {

// Makes what is missing in the folder and prints it; what is there is kept, and named where it does
// not serve any more. When it refuses a name, the configuration or the CA, nothing was changed;
// after another error some of it may be made, and the next one makes the rest.
Result<> tls_init(const Arguments& arguments);

}  // namespace baton::control
