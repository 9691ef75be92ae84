// Which requests are refused before a device sees them. Pure.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "nbd_server/wire/codec.h"

namespace baton::nbd {

// What was agreed on during the handshake.
struct Terms {
  std::uint64_t size = 0;
  std::uint16_t transmission_flags = 0;
  bool structured_replies = false;
  bool base_allocation = false;  // the client selected this metadata context
};

// How a request ended, or why it was refused.
struct RequestOutcome {
  IoError error = IoError::none;
  const char* message = nullptr;  // static, one sentence; may be null
};

// `error` is none when the request may go to the device. Not for Command::disconnect.
RequestOutcome validate_request(const ClientRequest& request, const Terms& terms);

}  // namespace baton::nbd
