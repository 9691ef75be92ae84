// The words of design §1, spelled as DRBD spells them. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace baton::replication {

enum class Role : std::uint8_t { unknown, secondary, primary };

// Ordered from worst to best.
enum class DiskState : std::uint8_t {
  diskless,
  attaching,
  failed,
  inconsistent,
  outdated,
  unknown,  // "DUnknown": the peer's disk, while nobody can ask it
  consistent,
  up_to_date,
};

enum class ConnectionState : std::uint8_t { stand_alone, connecting, connected };

enum class ReplicationState : std::uint8_t {
  off,
  established,
  sync_source,
  sync_target,
  paused_sync_s,
  paused_sync_t,
  verify_s,
  verify_t,
  ahead,
  behind,
};

// When a write is acknowledged; see design §1.
enum class Protocol : std::uint8_t { a, b, c };

// What a node does when its disk has failed.
enum class OnIoError : std::uint8_t {
  detach,   // it goes on without, served by the peer, where the peer has a copy to go on with
  pass_on,  // its clients are told
};

// The names that status, events and logs print: "Primary", "UpToDate", "SyncSource", "C".
std::string_view name_of(Role role);
std::string_view name_of(DiskState state);
std::string_view name_of(ConnectionState state);
std::string_view name_of(ReplicationState state);
std::string_view name_of(Protocol protocol);

}  // namespace baton::replication
