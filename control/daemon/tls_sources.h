// The certificates and keys of one resource on this node, which a reload replaces.
#pragma once

#include <memory>
#include <string>

#include "base/tls/credentials.h"
#include "control/config.h"

namespace baton::control {

struct TlsSources {
  std::shared_ptr<tls::Source> clients;  // null: no TLS for NBD
  std::shared_ptr<tls::Source> peers;    // null: none for replication

  // Reads the files that [tls] of `spec` names; an error names the file and [tls].
  static Result<TlsSources> open(const ResourceSpec& spec, const std::string& secret);

  // Reads them again, for connections made from now on. What cannot be read leaves what is in use;
  // the log says which. From any thread.
  void reload(const ResourceSpec& spec) const;
};

}  // namespace baton::control
