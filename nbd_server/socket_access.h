// Who may connect at a unix socket: the owner, the group and the mode of its file.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"

namespace baton::nbd {

// As a person writes it. What is not given stays as bind() makes it.
struct SocketAccess {
  std::string owner;           // a user's name or number, or empty
  std::string group;           // a group's name or number, or empty
  std::optional<mode_t> mode;  // at most 0777; whoever may write may connect

  friend bool operator==(const SocketAccess&, const SocketAccess&) = default;
};

// The same in this host's numbers.
struct SocketIds {
  static constexpr uid_t unchanged = static_cast<uid_t>(-1);  // chown(2)
  uid_t owner = unchanged;
  gid_t group = unchanged;
  std::optional<mode_t> mode;
};

// Errors of both are the part of a sentence after the address, with ExitCode::configuration:
// somebody asked for what this host does not have, or what this process may not do.

// Asks the host's user database and may block.
Result<SocketIds> look_up(const SocketAccess& access);

// Sets what is given on the socket file at `path`; follows no symbolic link. Between bind() and
// listen(), while connecting is still refused.
Result<> set_access(const std::string& path, const SocketIds& ids);

}  // namespace baton::nbd
