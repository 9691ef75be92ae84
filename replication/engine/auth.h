// Proof of a shared secret: HMAC-SHA256 over both nonces and both names, each way (design §7).
#pragma once

#include <array>
#include <string>

#include "replication/wire/codec.h"

namespace baton::replication {

using Proof = std::array<std::byte, 32>;

// What the sender of `own` must present to the sender of `other`. Different in the two directions,
// so that a proof cannot be played back to its maker.
Proof prove(const std::string& secret, const wire::Hello& own, const wire::Hello& other);

// Takes the same time wherever the two differ.
bool same_proof(const Proof& a, std::span<const std::byte> b);

}  // namespace baton::replication
