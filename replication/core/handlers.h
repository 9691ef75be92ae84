// Programs of the operator's that are run when something happens ([handlers] in the configuration),
// under DRBD's names. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace baton::replication {

enum class Handler : std::uint8_t {
  fence_peer,         // asked whether the lost peer is out; its exit code is its answer (fencing.h)
  unfence_peer,       // the peer that was fenced is whole again
  split_brain,        // both nodes have written since they parted
  local_io_error,     // a disk of this node's has failed
  pri_lost_after_sb,  // Primary, and after-sb-0pri would take this node's data
};
constexpr std::size_t handler_count = 5;
constexpr std::array<std::string_view, handler_count> handler_names{
    "fence-peer", "unfence-peer", "split-brain", "local-io-error", "pri-lost-after-sb"};

constexpr std::string_view name_of(Handler handler) {
  return handler_names[static_cast<std::size_t>(handler)];
}

}  // namespace baton::replication
