#include "control/daemon/guest_mover.h"

#include <fmt/format.h>

#include <utility>

#include "control/protocol.h"

namespace baton::control {
namespace {

namespace json = boost::json;
using namespace replication;

// For the other node, after a start, before a migration that was left is settled without it.
constexpr Duration link_patience = std::chrono::seconds(10);

bool is_connected(const ResourceStatus& status) {
  for (const ConnectionStatus& connection : status.connections) {
    if (connection.connection_state == ConnectionState::connected) return true;
  }
  return false;
}

}  // namespace

Result<MigrationRoute> migration_route(const ResourceStatus& status, const std::string& self,
                                       const std::string& to) {
  const std::string& name = status.name;
  if (!status.up) return failure(fmt::format("{} is down: run batonctl up {}", name, name));
  if (status.connections.empty()) {
    return failure(fmt::format("{} has no other node to migrate to", name));
  }
  const ConnectionStatus& peer = status.connections.front();
  if (!to.empty() && to != self && to != peer.name) {
    return failure(fmt::format("{} has no node {}; it has {} and {}", name, to, self, peer.name));
  }
  if (peer.connection_state != ConnectionState::connected) {
    const std::string why = peer.last_error.empty() ? "" : fmt::format(" ({})", peer.last_error);
    return failure(
        fmt::format("{} cannot be migrated: {} is not connected to {}{}; run batonctl "
                    "wait-connect {}",
                    name, self, peer.name, why, name));
  }
  const bool here = status.role == Role::primary;
  if (!here && peer.peer_role != Role::primary) {
    return failure(
        fmt::format("{} cannot be migrated: it is Primary on neither node, so no guest runs on it; "
                    "run batonctl primary {} where it is to run",
                    name, name));
  }
  MigrationRoute route{.source = here ? self : peer.name, .destination = here ? peer.name : self};
  if (!to.empty() && to != route.destination) {
    return failure(fmt::format("{} is Primary on {} already", name, to));
  }
  return route;
}

GuestMover::GuestMover(Shard& shard, Resource& resource, Journal& journal, const ResourceSpec& spec,
                       const NodeSpec& node, const std::string& run_directory)
    : shard_(shard),
      resource_(resource),
      journal_(journal),
      spec_(spec),
      node_(node),
      mark_(run_directory, spec.name),
      tunnel_(
          shard.loop(), shard,
          [&resource](std::span<const std::byte> bytes) { return resource.tunnel(bytes); },
          [this](PeerService service, std::unique_ptr<PeerConversation> conversation) {
            serve(service, std::move(conversation));
          }),
      changed_(shard.loop()),
      ended_(shard.loop()),
      verbs_(shard.loop()),
      services_(shard.loop()) {
  resource_.on_tunnel([this](std::span<const std::byte> bytes) { tunnel_.receive(bytes); });
}

void GuestMover::status_changed() {
  // A new session begins with new conversations.
  if (!is_connected(resource_.status())) tunnel_.close_all("the nodes lost their connection");
  changed_.notify_all();
}

Task<> GuestMover::stop() {
  stopping_ = true;
  changed_.notify_all();
  while (migration_ != nullptr) {
    migration_->cancel();
    co_await ended_.wait();
  }
  tunnel_.close_all(fmt::format("batond on {} is stopping", node_.name));
  co_await services_.join();
  co_await verbs_.join();
  stopping_ = false;
}

Task<Result<json::value>> GuestMover::migrate(std::shared_ptr<MigrationWish> wish) {
  const auto route = migration_route(resource_.status(), node_.name, wish->options().to);
  if (!route) co_return std::unexpected(route.error());
  if (route->source == node_.name) co_return co_await migrate_from_here(*wish, route->destination);
  co_return co_await ask_peer(*wish, *route);
}

Task<Result<json::value>> GuestMover::migrate_from_here(MigrationWish& wish,
                                                        const std::string& destination) {
  if (migration_ != nullptr || stopping_) {
    co_return failure(
        fmt::format("{} is being migrated already: wait for the outcome", spec_.name));
  }
  if (finishing_) {
    co_return failure(
        fmt::format("an earlier migration of {} is being finished first: batond's log says how it "
                    "ends; try again then",
                    spec_.name));
  }
  if (!wish.options().dry_run) {
    if (auto marked = mark_.set(destination); !marked) co_return std::unexpected(marked.error());
  }
  const MigrationPlace place{shard_, resource_, journal_, changed_, verbs_, tunnel_, spec_, node_};
  GuestMigration migration(place, *spec_.node(destination), wish);
  migration_ = &migration;
  wish.on_cancel([&migration] { migration.cancel(); });
  const Result<MigrationResult> result = co_await migration.run();
  wish.on_cancel(nullptr);
  migration_ = nullptr;
  over(migration.outcome());
  ended_.notify_all();
  if (!result) co_return std::unexpected(result.error());
  co_return to_json(*result);
}

// Nothing is left of it, but where nobody knows yet which of the two guests goes on.
void GuestMover::over(migration::State outcome) {
  if (outcome == migration::State::undecided) return take_up();
  if (auto cleared = mark_.clear(); !cleared) {
    journal_.line(replication::Journal::Level::warning, cleared.error().message);
  }
}

void GuestMover::take_up() {
  if (finishing_ || stopping_ || !mark_.destination()) return;
  finishing_ = true;
  services_.spawn(finish_what_was_left());
}

Task<> GuestMover::finish_what_was_left() {
  while (!stopping_) {
    const auto destination = mark_.destination();
    if (!destination) break;
    if (spec_.node(*destination) == nullptr) {
      journal_.line(
          replication::Journal::Level::error,
          fmt::format("{}: an earlier batond was migrating its guest to {}, which is not in the "
                      "configuration any more: see that the guest runs on one node; if the QEMU of "
                      "this node is paused and the other one is gone, say cont to it",
                      spec_.name, *destination));
      over(migration::State::idle);
      break;
    }
    const bool known = co_await knows_who_has_it();
    if (!known) break;
    const migration::State outcome = co_await finish_now(*destination);
    if (outcome != migration::State::undecided) {
      over(outcome);
      break;
    }
    if (!stopping_) co_await changed_.wait();
  }
  finishing_ = false;
}

// False: this is stopping. The other node's QEMU is spoken to by the link; where there is none for
// a while, this one's guest is not kept waiting for it.
Task<bool> GuestMover::knows_who_has_it() {
  const TimePoint enough = shard_.now() + link_patience;
  while (!stopping_) {
    const auto status = resource_.status();
    const bool decided = baton_at(status, node_.name) != migration::BatonAt::undecided;
    const bool late = shard_.now() >= enough;
    if (decided && (late || is_connected(status))) break;
    if (late) {
      co_await changed_.wait();
    } else {
      co_await changed_.wait_until(shard_, enough);
    }
  }
  co_return !stopping_;
}

Task<migration::State> GuestMover::finish_now(const std::string& destination) {
  MigrationWish wish({}, [](const std::string&, double) {});
  const MigrationPlace place{shard_, resource_, journal_, changed_, verbs_, tunnel_, spec_, node_};
  GuestMigration migration(place, *spec_.node(destination), wish);
  migration_ = &migration;
  const migration::State outcome = co_await migration.recover();
  migration_ = nullptr;
  ended_.notify_all();
  co_return outcome;
}

// The guest runs on the other node: its daemon does it, and we pass on what it says.
Task<Result<json::value>> GuestMover::ask_peer(MigrationWish& wish, const MigrationRoute& route) {
  auto opened = tunnel_.open(PeerService::migrate);
  if (!opened) co_return std::unexpected(opened.error());
  PeerConversation& conversation = **opened;
  Request request{.id = 1, .verb = "migrate", .resource = spec_.name, .options = wish.options()};
  request.options.to = route.destination;
  conversation.send_line(encode(request));
  wish.on_cancel([&conversation] { conversation.close_with("cancelled"); });
  Result<json::value> answer = failure("");
  while (true) {
    const auto line = co_await conversation.receive();
    if (!line) {
      answer =
          failure(fmt::format("{}: {}; it is the node that carries the migration out: batonctl "
                              "status {} shows where the guest may write",
                              route.source, line.error().message, spec_.name));
      break;
    }
    auto reply = decode_reply(*line);
    if (!reply) {
      answer = std::unexpected(reply.error());
      break;
    }
    if (reply->kind == Reply::Kind::progress) {
      const auto progress = progress_of(*reply);
      wish.progress(progress.text, progress.fraction);
    }
    if (!reply->last()) continue;
    if (reply->kind == Reply::Kind::error) answer = std::unexpected(error_of(*reply));
    if (reply->kind == Reply::Kind::result) answer = std::move(reply->body);
    break;
  }
  wish.on_cancel(nullptr);
  conversation.close();
  co_return answer;
}

}  // namespace baton::control
