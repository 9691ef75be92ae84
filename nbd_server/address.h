// Where a listener waits: "unix:/run/baton/vm1.sock" or "tcp:10.0.0.1:10809".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace baton::nbd {

struct Address {
  enum class Kind : std::uint8_t { unix_socket, tcp };
  Kind kind = Kind::unix_socket;
  std::string path;        // unix_socket
  std::string host;        // tcp; a name or number, an IPv6 number without its brackets
  std::uint16_t port = 0;  // tcp; 0 lets the kernel choose

  // As it is written in a configuration.
  std::string text() const;
  friend bool operator==(const Address&, const Address&) = default;
};

// Looks at the text only. "tcp:HOST" means the port of NBD, 10809; "tcp:[::1]:10809" is IPv6; an
// empty host or "*" means every address of this machine.
Result<Address> parse_address(std::string_view text);

}  // namespace baton::nbd
