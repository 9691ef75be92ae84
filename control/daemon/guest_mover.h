// The verb migrate of one resource, on its shard: which node the guest leaves, who carries that out
// (always the daemon of that node, docs/migration-coordinator.md "When the coordinator dies"), and
// what this node does for a migration that the other one carries out.
#pragma once

#include <boost/json/value.hpp>
#include <memory>
#include <string>

#include "control/daemon/guest_migration.h"
#include "control/daemon/migration_mark.h"
#include "control/daemon/migration_wish.h"
#include "control/daemon/peer_tunnel.h"

namespace baton::control {

struct MigrationRoute {
  std::string source;  // node names
  std::string destination;
};
// Where a guest is to go from where; `to` empty: to the node that is not Primary. Pure.
Result<MigrationRoute> migration_route(const replication::ResourceStatus& status,
                                       const std::string& self, const std::string& to);

class GuestMover {
 public:
  // Everything outlives this, and `resource` calls nothing of it any more when it ends.
  GuestMover(Shard& shard, replication::Resource& resource, replication::Journal& journal,
             const ResourceSpec& spec, const NodeSpec& node, const std::string& run_directory);
  GuestMover(const GuestMover&) = delete;
  GuestMover& operator=(const GuestMover&) = delete;

  // Its value is a MigrationResult.
  Task<Result<boost::json::value>> migrate(std::shared_ptr<MigrationWish> wish);
  // A guest is on its way, from here or to here.
  bool busy() const { return migration_ != nullptr || served_ > 0; }
  // The resource is up: what an earlier daemon has left of a migration from here is finished or
  // undone, as soon as it is known who has the baton.
  void take_up();
  // The resource's status may have changed.
  void status_changed();
  // Cancels what can be cancelled, waits for the end of what cannot.
  Task<> stop();

 private:
  class Relay;
  Task<Result<boost::json::value>> migrate_from_here(MigrationWish& wish,
                                                     const std::string& destination);
  void over(migration::State outcome);
  Task<> finish_what_was_left();
  Task<migration::State> finish_now(const std::string& destination);
  Task<bool> knows_who_has_it();
  Task<Result<boost::json::value>> ask_peer(MigrationWish& wish, const MigrationRoute& route);
  void serve(PeerService service, std::unique_ptr<PeerConversation> conversation);
  Task<> serve_qmp(std::unique_ptr<PeerConversation> conversation);
  Task<> serve_migrate(std::shared_ptr<PeerConversation> conversation);
  Task<> watch_asker(std::shared_ptr<PeerConversation> conversation,
                     std::shared_ptr<MigrationWish> wish);

  Shard& shard_;
  replication::Resource& resource_;
  replication::Journal& journal_;
  const ResourceSpec& spec_;
  const NodeSpec& node_;
  MigrationMark mark_;
  PeerTunnel tunnel_;
  Signal changed_;
  Signal ended_;
  GuestMigration* migration_ = nullptr;  // the one under way
  int served_ = 0;                       // conversations with a QEMU of ours
  bool stopping_ = false;
  bool finishing_ = false;  // finish_what_was_left() runs
  Scope verbs_;             // see ResourceStorage
  Scope services_;          // what the other node asked for
};

}  // namespace baton::control
