// One resource of this daemon, on its shard: the engine, the doors it needs, its exports, and the
// link listener. Joins replication and NBD, which do not know each other (design §2).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "blockdev/uring/ring.h"
#include "control/config.h"
#include "control/daemon/acceptor.h"
#include "control/daemon/file_disks.h"
#include "control/daemon/guest_mover.h"
#include "control/daemon/handler_programs.h"
#include "control/daemon/nbd_doors.h"
#include "control/daemon/role_mark.h"
#include "control/daemon/status_board.h"
#include "control/daemon/tcp_links.h"
#include "control/daemon/tls_sources.h"
#include "control/daemon/volume_export.h"
#include "control/protocol.h"
#include "replication/engine/resource.h"

namespace baton::control {

// What a resource finds on its shard. All of it outlives the resource.
struct ShardPlace {
  Shard& shard;
  blockdev::Ring& ring;
  NbdDoors& doors;
  Random& random;
  StatusBoard& board;
  const std::string& run_directory;
};

class HostedResource final : replication::ResourceObserver, Runnable {
 public:
  // `spec` names `node` and outlives this. `secret` may be empty, see read_secret().
  HostedResource(const ShardPlace& place, const ResourceSpec& spec, const NodeSpec& node,
                 std::string secret, TlsSources tls, std::uint64_t boot_id);

  const std::string& name() const { return spec_.name; }
  // New connections use what the files of [tls] hold now. From any thread.
  void reload_tls() const { tls_.reload(spec_); }

  // Opens the listeners, brings the engine up, offers the exports: all or nothing. The reason of a
  // failure also stays in status().
  Task<Result<>> up(VerbOptions options);
  // Refuses while clients are attached, unless forced: then they are ended first.
  Task<Result<>> down(VerbOptions options);
  // The daemon stops: like down, whoever is attached. The next daemon takes the role again if this
  // node was Primary and in use (unless auto-resume is off): its clients come back then.
  Task<Result<>> stop(VerbOptions options);

  Task<Result<>> primary(VerbOptions options);
  Task<Result<>> secondary(VerbOptions options);
  Task<Result<>> connect(VerbOptions options);
  Task<Result<>> disconnect(VerbOptions options);
  Task<Result<>> attach(VerbOptions options);
  Task<Result<>> detach(VerbOptions options);
  Task<Result<>> invalidate(VerbOptions options);
  Task<Result<>> invalidate_remote(VerbOptions options);
  Task<Result<>> pause_sync(VerbOptions options);
  Task<Result<>> resume_sync(VerbOptions options);
  Task<Result<>> handover(VerbOptions options);
  Task<Result<>> resolve(VerbOptions options);
  Task<Result<>> resume_io(VerbOptions options);
  Task<Result<>> outdate(VerbOptions options);
  Task<Result<>> verify(VerbOptions options);

  // Its value is a MigrationResult.
  Task<Result<boost::json::value>> migrate(std::shared_ptr<MigrationWish> wish) {
    return mover_.migrate(std::move(wish));
  }

  StatusEntry status() const;

 private:
  // The engine's journal, for the log and for `events`.
  struct BoardJournal final : replication::Journal {
    BoardJournal(StatusBoard& its_board, std::string its_resource)
        : board(its_board), resource(std::move(its_resource)) {}
    void line(Level level, std::string text) override {
      board.note(level, resource, std::move(text));
    }
    StatusBoard& board;
    std::string resource;
  };

  Result<> open_listeners();
  Task<> let_peer_in(std::unique_ptr<Stream> connection);
  Task<> close_listeners(Duration patience);
  Task<Result<>> go_down(Duration patience);
  Task<bool> is_in_use();
  Task<> take_role_again();
  bool may_take_role(const replication::ResourceStatus& status) const;
  Result<> begin(std::string_view verb);
  void ended(std::string error);
  Result<> must_be_up() const;
  void resource_changed(const std::string& resource) override;
  void publish();

  ShardPlace place_;
  const ResourceSpec& spec_;
  const NodeSpec& node_;
  BoardJournal journal_;
  FileDisks disks_;
  TlsSources tls_;
  TcpLinks links_;
  HandlerPrograms handlers_;
  std::unique_ptr<replication::Resource> engine_;  // never null
  GuestMover mover_;
  RoleMark role_mark_;
  bool wants_role_ = false;  // take_role_again() is on
  Signal engine_changed_;
  std::vector<std::unique_ptr<VolumeExport>> exports_;
  std::vector<nbd::Export*> offered_;
  std::unique_ptr<Acceptor> link_listener_;
  std::string turned_away_;  // the last one that was no peer, and why
  Scope arriving_;           // connections that may become links
  std::string switching_;    // "up" or "down" while that is under way
  Signal switched_;
  bool listening_ = false;  // the NBD listeners are open
  std::string error_;       // why it is not up
  StatusEntry published_;
  TimePoint published_at_;
  Timer progress_pause_;
  Scope tasks_;
};

}  // namespace baton::control
