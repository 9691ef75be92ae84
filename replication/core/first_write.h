// Whether the first write at the other node brings it the role (design §4 "Who asks" (c)): decided
// at the node that has the role, where no coordinator says anything. docs/handover.md "The first
// write decides" prints the table. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "base/clock.h"

namespace baton::replication {

// Of whoever watches the guest here, and is told when it stops and goes on (packaging/libvirt).
enum class GuestWord : std::uint8_t { unknown, stopped, running };

// So long nothing must have come from a client whose last request was a flush that was answered.
inline constexpr Duration silence_that_counts = std::chrono::milliseconds(20);

struct SourceFacts {
  bool clients =
      false;  // somebody who has ever written or flushed has an export of this Primary open
  bool spoke = false;    // since the question came: a request that is not a flush
  bool resumed = false;  // since the question came: the word "running"
  GuestWord word = GuestWord::unknown;
  bool silent = false;     // each client's last request is a flush, answered that long ago
  bool may_guess = false;  // `handover-on-silence`
};

enum class FirstWriteAction : std::uint8_t {
  grant,
  wait,    // until a client leaves or says something, or the question is taken back
  refuse,  // for good: the window is closed
};

struct FirstWriteVerdict {
  std::string_view row;
  FirstWriteAction action = FirstWriteAction::wait;
  std::string_view sentence;  // why it is not granted
};

FirstWriteVerdict decide_first_write(const SourceFacts& facts);

}  // namespace baton::replication
