// The control socket: several clients at once, each with requests of its own (control/protocol.h).
#pragma once

#include <list>
#include <memory>
#include <string>

#include "base/runtime/shard.h"
#include "base/task.h"
#include "control/daemon/acceptor.h"
#include "control/daemon/control_plane.h"
#include "control/daemon/control_session.h"

namespace baton::control {

class ControlServer {
 public:
  ControlServer(Shard& shard, ControlPlane& plane)
      : shard_(shard), plane_(plane), sessions_(shard.loop()) {}
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Only the user who runs the daemon may connect: whoever can has the disks. Call before other
  // threads run (it sets the umask for a moment). Replaces a stale socket file.
  Result<> open(const std::string& path);
  // Takes no more clients and ends those that are there, each after what it is still owed.
  Task<> stop();

 private:
  void accepted(std::unique_ptr<Stream> stream);
  Task<> serve(std::list<ControlSession>::iterator session);

  Shard& shard_;
  ControlPlane& plane_;
  std::unique_ptr<Acceptor> acceptor_;
  std::list<ControlSession> clients_;
  bool full_ = false;  // and that was logged
  Scope sessions_;
};

}  // namespace baton::control
