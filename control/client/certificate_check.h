// Whether a certificate that was made earlier still serves (docs/tls.md). Touches no file and no
// clock.
#pragma once

#include <cstdint>
#include <string>

#include "control/client/certificate_maker.h"

namespace baton::control {

// "2036-02-03", in UTC. `seconds` since 1970.
std::string date_text(std::int64_t seconds);

// Why `pair` does not serve `subject` at `now`, as what follows its file's name: "does not name
// 10.0.0.9". Empty where it does; that it has more names is no fault.
std::string fault_of(const KeyPair& pair, const Subject& subject, const std::string& ca_certificate,
                     std::int64_t now);

}  // namespace baton::control
