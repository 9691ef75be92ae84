#include "replication/core/states.h"

namespace baton::replication {

std::string_view name_of(Role role) {
  switch (role) {
    case Role::unknown:
      return "Unknown";
    case Role::secondary:
      return "Secondary";
    case Role::primary:
      return "Primary";
  }
  return "?";
}

std::string_view name_of(DiskState state) {
  switch (state) {
    case DiskState::diskless:
      return "Diskless";
    case DiskState::attaching:
      return "Attaching";
    case DiskState::failed:
      return "Failed";
    case DiskState::inconsistent:
      return "Inconsistent";
    case DiskState::outdated:
      return "Outdated";
    case DiskState::unknown:
      return "DUnknown";
    case DiskState::consistent:
      return "Consistent";
    case DiskState::up_to_date:
      return "UpToDate";
  }
  return "?";
}

std::string_view name_of(ConnectionState state) {
  switch (state) {
    case ConnectionState::stand_alone:
      return "StandAlone";
    case ConnectionState::connecting:
      return "Connecting";
    case ConnectionState::connected:
      return "Connected";
  }
  return "?";
}

std::string_view name_of(ReplicationState state) {
  switch (state) {
    case ReplicationState::off:
      return "Off";
    case ReplicationState::established:
      return "Established";
    case ReplicationState::sync_source:
      return "SyncSource";
    case ReplicationState::sync_target:
      return "SyncTarget";
    case ReplicationState::paused_sync_s:
      return "PausedSyncS";
    case ReplicationState::paused_sync_t:
      return "PausedSyncT";
    case ReplicationState::verify_s:
      return "VerifyS";
    case ReplicationState::verify_t:
      return "VerifyT";
    case ReplicationState::ahead:
      return "Ahead";
    case ReplicationState::behind:
      return "Behind";
  }
  return "?";
}

std::string_view name_of(Protocol protocol) {
  switch (protocol) {
    case Protocol::a:
      return "A";
    case Protocol::b:
      return "B";
    case Protocol::c:
      return "C";
  }
  return "?";
}

}  // namespace baton::replication
