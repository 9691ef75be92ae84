// For whoever listens on a replication address that several resources share.
#pragma once

#include <string>
#include <vector>

#include "replication/engine/environment.h"

namespace baton::replication {

struct Greeting {
  std::string resource;          // as the dialler wrote it; not proven
  std::vector<std::byte> bytes;  // what was read, for Resource::accept
};

// Reads the first message of a link. Fails with a sentence for the log when it is no Baton
// greeting; reads at most 4 KiB and one header. The caller bounds the time by closing the link.
Task<Result<Greeting>> read_greeting(Stream& stream);

}  // namespace baton::replication
