// Who gets certificates, and for which names (docs/tls.md).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/client/certificate_maker.h"
#include "control/config.h"

namespace baton::control {

// A node of the configuration, or a client that is none.
struct Party {
  std::string name;
  bool node = false;
  std::vector<std::string> addresses;  // of a node: where it listens, without wildcards
};

// The nodes first. Refused: a configuration without nodes, and clients whose names are no names, or
// those of a node or of the client on its host.
Result<std::vector<Party>> parties_of(const Configuration& configuration,
                                      const std::vector<std::string>& clients);

// A certificate of a party.
struct Role {
  std::string_view name;  // what its files are called: "server" has server-cert.pem, server-key.pem
  Subject subject;
};

// Of a node: what it is known by to everybody, and that of the QEMU on its host, which is a client
// as any other. Of a client: its own.
std::vector<Role> roles_of(const Party& party);

}  // namespace baton::control
