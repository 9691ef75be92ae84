#include "control/daemon/control_server.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <iterator>
#include <utility>

#include "control/daemon/log.h"

namespace baton::control {
namespace {

// A person has a few, monitoring some more; each costs a descriptor and some kilobytes.
constexpr std::size_t clients_max = 64;

}  // namespace

Result<> ControlServer::open(const std::string& path) {
  const mode_t before = umask(0177);
  auto acceptor =
      Acceptor::open(shard_, nbd::Address{.path = path},
                     [this](std::unique_ptr<Stream> stream) { accepted(std::move(stream)); });
  umask(before);
  if (!acceptor) {
    return failure(
        fmt::format("the control socket cannot be opened: {}", acceptor.error().message));
  }
  acceptor_ = std::move(*acceptor);
  return {};
}

void ControlServer::accepted(std::unique_ptr<Stream> stream) {
  const bool turned_away = clients_.size() >= clients_max;
  if (turned_away && !std::exchange(full_, true)) {
    log_line(LogLevel::warning, fmt::format("{} clients are connected to the control socket: "
                                            "further ones are turned away",
                                            clients_.size()));
  }
  if (clients_.size() >= 2 * clients_max) return;  // not even a word for more than that
  clients_.emplace_back(shard_, plane_, std::move(stream));
  if (turned_away) clients_.back().turn_away(clients_max);
  sessions_.spawn(serve(std::prev(clients_.end())));
}

Task<> ControlServer::serve(std::list<ControlSession>::iterator session) {
  co_await session->run();
  clients_.erase(session);
  if (clients_.size() < clients_max) full_ = false;
}

Task<> ControlServer::stop() {
  acceptor_.reset();
  for (ControlSession& session : clients_) session.finish();
  co_await sessions_.join();
}

}  // namespace baton::control
