// One shard of the daemon: its thread, its ring, its NBD listeners and the resources placed on it.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/runtime/shard.h"
#include "base/task.h"
#include "blockdev/uring/ring.h"
#include "control/daemon/hosted_resource.h"
#include "control/daemon/nbd_doors.h"

namespace baton::control {

class Site {
 public:
  // The thread does not run yet. `board`, `run_directory` and `passed` outlive this.
  static Result<std::unique_ptr<Site>> open(StatusBoard& board, const std::string& run_directory,
                                            const PassedSockets& passed, Duration poll_window);
  // After stop_and_join(), or without ever having started.
  ~Site();
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  // Before start().
  HostedResource& add(const ResourceSpec& spec, const NodeSpec& node, std::string secret,
                      TlsSources tls, std::uint64_t boot_id);
  void start();
  // On the shard; see NbdDoors.
  Task<Result<>> serve_client() { return doors_.serve_client(); }
  // Everything that was up has been stopped before.
  void stop_and_join();

  Shard& shard() { return shard_; }
  // Given to a disk that does not answer, and given up. After stop_and_join().
  std::uint64_t disk_requests_left() const { return ring_->in_flight(); }
  // Owns the work that others have carried out here (shard_call.h).
  Scope& scope() { return scope_; }

 private:
  Site(StatusBoard& board, const std::string& run_directory, const PassedSockets& passed,
       Duration poll_window)
      : board_(board),
        run_directory_(run_directory),
        shard_({.poll_window = poll_window}),
        doors_(shard_, passed),
        scope_(shard_.loop()) {}

  StatusBoard& board_;
  const std::string& run_directory_;
  SystemRandom random_;
  Shard shard_;
  std::unique_ptr<blockdev::Ring> ring_;
  NbdDoors doors_;
  std::vector<std::unique_ptr<HostedResource>> resources_;
  Scope scope_;
  std::thread thread_;
};

}  // namespace baton::control
