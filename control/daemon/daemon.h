// batond from start to stop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/runtime/shard.h"
#include "base/task.h"
#include "control/config.h"
#include "control/daemon/control_plane.h"
#include "control/daemon/control_server.h"
#include "control/daemon/run_dir.h"
#include "control/daemon/site.h"
#include "control/daemon/status_board.h"

namespace baton::control {

class Daemon {
 public:
  // `configuration`, `run_directory` and `passed` outlive the daemon.
  // `poll_window`: how long an idle shard looks for news before it blocks
  // (base/runtime/poll_policy.h).
  Daemon(const Configuration& configuration, const RunDirectory& run_directory,
         const PassedSockets& passed, std::string node, Duration poll_window);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Reads the secrets, makes the shards, opens the control socket. Nothing is up yet.
  Result<> prepare();
  // Brings every resource up, serves until SIGTERM or SIGINT or until the one client of --single
  // has left, stops cleanly. SIGHUP: the files of [tls] are read again. A resource that cannot come
  // up stays down with its reason in the log and in `status`; when none can, the daemon ends.
  ExitCode run();

 private:
  struct Signals;
  Task<> live();
  struct BroughtUp {
    std::size_t resources = 0;
    ExitCode if_none = ExitCode::refused;  // the exit code that the failures lead to
  };
  Task<BroughtUp> bring_up();
  Task<> bring_up_one(ControlPlane::Placed placed, BroughtUp& up);
  Task<> serve_client();
  void ask_to_stop(const char* why);
  Task<Result<>> bring_down();
  void end_with_hanging_disks();
  void reload_tls();
  Result<> add_resources(Site& site, const std::vector<const ResourceSpec*>& group);

  const Configuration& configuration_;
  const RunDirectory& run_directory_;
  const PassedSockets& passed_;
  std::string node_;
  Duration poll_window_;
  Shard shard_;  // the control plane's, on the main thread
  StatusBoard board_;
  std::vector<std::unique_ptr<Site>> sites_;
  ControlPlane plane_;
  ControlServer server_;
  std::unique_ptr<Signals> signals_;
  Signal stop_asked_;
  bool stop_ = false;
  ExitCode exit_code_ = ExitCode::done;
  Scope scope_;
};

}  // namespace baton::control
