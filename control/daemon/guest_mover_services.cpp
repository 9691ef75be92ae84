// What this node does for the other one's migration. Both are lines over the replication link; what
// they may reach is fixed by this node's own configuration.
#include <fmt/format.h>

#include <utility>

#include "control/daemon/guest_mover.h"
#include "control/protocol.h"

namespace baton::control {
namespace {

namespace json = boost::json;

// From the coordinator to the QEMU. Ends with either of them.
Task<> pass_on(PeerConversation& conversation, migration::QmpChannel& qmp) {
  while (true) {
    auto line = co_await conversation.receive();
    if (!line) break;
    std::string text = std::move(*line);
    const Result<> sent = co_await qmp.send(std::move(text));
    if (!sent) break;
  }
  qmp.close();
}

}  // namespace

void GuestMover::serve(PeerService service, std::unique_ptr<PeerConversation> conversation) {
  if (stopping_) return conversation->close_with("batond is stopping");
  switch (service) {
    case PeerService::qmp:
      return services_.spawn(serve_qmp(std::move(conversation)));
    case PeerService::migrate:
      return services_.spawn(serve_migrate(std::move(conversation)));
  }
}

Task<> GuestMover::serve_qmp(std::unique_ptr<PeerConversation> conversation) {
  if (node_.qmp.empty()) {
    conversation->close_with(fmt::format("node {} has no qmp in its configuration", node_.name));
    co_return;
  }
  auto qmp = migration::dial_qmp(shard_, node_.qmp);
  if (!qmp) {
    conversation->close_with(qmp.error().message);
    co_return;
  }
  ++served_;
  conversation->tell_opened();
  Scope other_direction(shard_.loop());
  other_direction.spawn(pass_on(*conversation, **qmp));
  while (true) {
    const auto line = co_await (*qmp)->receive();
    if (!line) {
      conversation->close_with(line.error().message);
      break;
    }
    if (!conversation->send_line(*line)) break;
  }
  (*qmp)->close();
  co_await other_direction.join();
  --served_;
}

// Ends when the asker has gone, or when the conversation is over for another reason.
Task<> GuestMover::watch_asker(std::shared_ptr<PeerConversation> conversation,
                               std::shared_ptr<MigrationWish> wish) {
  while (true) {
    const auto line = co_await conversation->receive();
    if (!line) break;  // there is nothing more to say; the end is what counts
  }
  wish->cancel();
}

Task<> GuestMover::serve_migrate(std::shared_ptr<PeerConversation> conversation) {
  const auto line = co_await conversation->receive();
  if (!line) co_return;
  const auto request = decode_request(*line);
  if (!request || request->verb != "migrate" || request->resource != spec_.name) {
    conversation->close_with("the request makes no sense");
    co_return;
  }
  const std::uint64_t id = request->id;
  auto wish = std::make_shared<MigrationWish>(
      request->options, [conversation, id](const std::string& text, double fraction) {
        conversation->send_line(encode(progress_reply(id, text, fraction)));
      });
  services_.spawn(watch_asker(conversation, wish));
  // Roles may have changed while the request was on its way; it is not sent back.
  const auto route = migration_route(resource_.status(), node_.name, request->options.to);
  Result<json::value> answer = failure("the guest has just moved: look at batonctl status");
  if (!route) answer = std::unexpected(route.error());
  if (route && route->source == node_.name) {
    answer = co_await migrate_from_here(*wish, route->destination);
  }
  const Reply reply =
      answer ? result_reply(id, std::move(*answer)) : error_reply(id, answer.error());
  conversation->send_line(encode(reply));
  conversation->close();  // ends watch_asker()
}

}  // namespace baton::control
