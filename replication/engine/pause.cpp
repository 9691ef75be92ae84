// Resync is held and goes on at an operator's word (docs/replication.md "A resync is held").
//
// Each node has a word of its own; blocks are copied while neither holds them. It is told with the
// status, so it comes to the other node in every session anew and outlives any of them; a restart
// of the resource forgets it, as DRBD does.
#include <fmt/format.h>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {

bool Engine::sync_paused() const {
  const bool there = session_ != nullptr && session_->peer_pauses_sync;
  if (mutant("either-node-resumes")) return pauses_sync_ && there;
  return pauses_sync_ || there;
}

// Copying stops or goes on in this moment.
void Engine::sync_pause_changed() {
  if (session_ != nullptr) session_->bulk_received().notify_all();
  for (auto& volume : volumes_) volume->sync_estimate.forget();
  changed();
}

Task<Result<>> Engine::pause_sync() {
  if (!up_) co_return failure(fmt::format("{} is not up on this node", config_.name));
  if (!has_peer()) {
    co_return failure(
        fmt::format("{} has no other node, so there is no resync to hold", config_.name));
  }
  if (pauses_sync_) co_return Result<>{};
  pauses_sync_ = true;
  log(Journal::Level::notice, "resync is held by the operator");
  tell_status();
  sync_pause_changed();
  co_return Result<>{};
}

Task<Result<>> Engine::resume_sync() {
  if (!up_) co_return failure(fmt::format("{} is not up on this node", config_.name));
  if (!pauses_sync_) co_return Result<>{};
  pauses_sync_ = false;
  const bool there = sync_paused();
  log(Journal::Level::notice,
      there ? fmt::format("resync is still held by {}: run resume-sync there, too", peer_name_)
            : std::string("resync may go on"));
  tell_status();
  sync_pause_changed();
  co_return Result<>{};
}

}  // namespace baton::replication
