// When a wait is over: what wait-connect and wait-sync look for in a status. Pure.
#pragma once

#include <string>

#include "base/result.h"
#include "replication/engine/resource.h"

namespace baton::control {

struct WaitProgress {
  bool done = false;
  std::string text;      // what is still missing, for a person who waits
  double fraction = -1;  // 0 to 1; < 0: not known
};

// An error: what is waited for cannot come by itself (the resource is down, nobody dials).
Result<WaitProgress> connect_progress(const replication::ResourceStatus& status);
// Every copy is UpToDate, and so is this one.
Result<WaitProgress> sync_progress(const replication::ResourceStatus& status);

}  // namespace baton::control
