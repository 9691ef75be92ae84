// Two primaries (docs/dual-primary.md): both admit their clients' writes. The baton is with one of
// them, who does the writes of both, in one order; the other one is a Primary that it serves, as in
// service.cpp, though its copy is whole.
#include <fmt/format.h>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {

bool Engine::shares() const {
  return config_.two_primaries && role_ == Role::primary && session_ != nullptr &&
         session_->established() && session_->peer_role == Role::primary;
}

// Beside the holder, who is Primary and stays so.
Task<Result<>> Engine::share_role(Fence fence) {
  if (holding_ || role_ == Role::primary) co_return Result<>{};  // meanwhile
  reached("role-shared");
  role_ = Role::primary;
  served_ = true;
  if (mutant("both-hold")) {
    holding_ = true;
    served_ = false;
    update_gate();
  }
  role_is_here(fence);
  log(Journal::Level::notice, fmt::format("Primary beside {}, which holds the baton", peer_name_));
  tell_status();
  gate_changed_.notify_all();
  changed();
  // For a restart only: who is served may write by the holder's leave.
  co_await commit();
  co_return Result<>{};
}

// After a restart, as soon as the holder is seen to be Primary again itself. And where a holder has
// given its role up while the other one took its own, the baton goes to who has the role.
void Engine::share_again() {
  if (!config_.two_primaries || session_ == nullptr || !session_->established()) return;
  baton_follows_role();
  const bool again = resume_shared_ && role_ == Role::secondary && holder_session() != nullptr &&
                     session_->peer_role == Role::primary && !mutant("shares-once");
  if (!again) return;
  reached("role-shared-again");
  struct Share {
    static Task<> run(Engine& engine) { co_await engine.share_role(Fence::stays); }
  };
  scope_.spawn(Share::run(*this));
}

}  // namespace baton::replication
