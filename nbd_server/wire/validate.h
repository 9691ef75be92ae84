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
  Style style = Style::simple;
  Contexts contexts = 0;  // that the client selected
};

// How a request ended, or why it was refused.
struct RequestOutcome {
  IoError error = IoError::none;
  const char* message = nullptr;  // static, one sentence; may be null
};

// `error` is none when the request may go to the device, or its payload be looked at. Not for
// Command::disconnect.
RequestOutcome validate_request(const ClientRequest& request, const Terms& terms);

// The payload of a block status that names the contexts it asks for. Sets the length of the effect
// in `request`, and `asked`.
RequestOutcome validate_status_payload(std::span<const std::byte> payload, const Terms& terms,
                                       ClientRequest& request, Contexts& asked);

}  // namespace baton::nbd
