// Error types: IoError on the data path, Error (with a sentence for a person) everywhere else.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace baton {

// What can go wrong with one request to a block device. The values are those that the NBD
// specification allows on the wire (doc/proto.md "Error values"), so that the server maps nothing.
enum class IoError : std::uint8_t {
  none = 0,
  not_permitted = 1,  // EPERM: this node must not write
  io = 5,             // EIO: the medium failed; a written range holds old or new data per sector
  no_memory = 12,     // ENOMEM: nothing was done
  invalid = 22,       // EINVAL: nothing was done
  no_space = 28,      // ENOSPC: a written range holds old or new data per sector
  overflow = 75,      // EOVERFLOW: the reply would not fit; nothing was done
  unsupported = 95,   // ENOTSUP: this device cannot, or (fast) cannot fast; nothing was done
  shutdown = 108,     // ESHUTDOWN: the daemon is going down; nothing was done
};

// The specification's name, e.g. "EIO".
const char* name_of(IoError error) noexcept;

// Maps an errno of this machine to the nearest value above; unknown ones become io.
IoError io_error_from_errno(int error) noexcept;

// Exit codes of the programs (design §8). An Error carries the one it leads to.
enum class ExitCode : std::uint8_t { done = 0, refused = 1, usage = 2, configuration = 10 };

// One clear sentence: the thing, the reason, and what to do about it.
struct Error {
  std::string message;
  ExitCode exit_code = ExitCode::refused;
  // The sentence names a risk; the same call with the operator's confirmation would go ahead.
  bool needs_confirmation = false;
  // What stands in the way goes away by itself, as a rule within a second.
  bool try_again = false;
};

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> failure(std::string message, ExitCode code = ExitCode::refused) {
  return std::unexpected(Error{std::move(message), code, false});
}

inline std::unexpected<Error> needs_confirmation(std::string risk) {
  return std::unexpected(Error{std::move(risk), ExitCode::refused, true});
}

}  // namespace baton
