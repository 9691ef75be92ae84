#include "control/daemon/tcp_links.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <utility>

#include "base/runtime/asio_stream.h"

namespace baton::control {
namespace {

namespace asio = boost::asio;

constexpr std::size_t arriving_max = 64;

using Tcp = asio::ip::tcp;

// One attempt. Asio's handler may run after the waiting coroutine was thrown away, so the socket
// lives in a part that the handler shares.
class Dialling {
 public:
  Dialling(Shard& shard, Tcp::endpoint endpoint, TimePoint deadline)
      : shard_(shard),
        endpoint_(std::move(endpoint)),
        deadline_(deadline),
        state_(std::make_shared<State>(shard)) {}
  Dialling(const Dialling&) = delete;
  Dialling& operator=(const Dialling&) = delete;
  ~Dialling() {
    state_->waiter = nullptr;
    state_->abandon();
  }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    state_->waiter = waiter;
    state_->socket.async_connect(endpoint_,
                                 [state = state_](const boost::system::error_code& error) {
                                   state->expiry.cancel();
                                   state->error = error;
                                   if (state->waiter) {
                                     std::exchange(state->waiter, nullptr).resume();
                                   }
                                 });
    shard_.arm(state_->expiry, deadline_);
  }
  // The connected socket, or the reason.
  std::expected<Tcp::socket, std::string> await_resume() {
    if (state_->expired) return std::unexpected("no answer in time");
    if (state_->error) return std::unexpected(state_->error.message());
    return std::move(state_->socket);
  }

 private:
  struct State {
    explicit State(Shard& shard) : socket(shard.io()) {}
    void abandon() {
      expiry.cancel();
      boost::system::error_code ignored;  // closing frees the descriptor whatever it reports
      socket.close(ignored);
    }
    static void expire(Timer& timer) {
      State& self = *static_cast<State*>(timer.context());
      self.expired = true;
      self.abandon();  // the handler of async_connect runs next
    }
    Tcp::socket socket;
    boost::system::error_code error;
    std::coroutine_handle<> waiter;
    bool expired = false;
    Timer expiry{&State::expire, this};
  };

  Shard& shard_;
  Tcp::endpoint endpoint_;
  TimePoint deadline_;
  std::shared_ptr<State> state_;
};

}  // namespace

Task<Result<replication::Link>> TcpLinks::dial(std::string peer, TimePoint deadline) {
  const NodeSpec* node = resource_.node(peer);
  if (node == nullptr || !node->address) {
    co_return failure(fmt::format("{} has no node {} with an address in {}", resource_.name, peer,
                                  resource_.file));
  }
  const std::string text = node->address->text();
  // The configuration accepts numeric addresses only, so this cannot fail.
  const Tcp::endpoint endpoint(asio::ip::make_address(node->address->host), node->address->port);
  Dialling dialling(shard_, endpoint, deadline);
  auto socket = co_await dialling;
  if (!socket) co_return failure(fmt::format("{} at {}: {}", peer, text, socket.error()));
  asio::generic::stream_protocol::socket generic(std::move(*socket));
  auto connection = make_socket_stream(shard_, std::move(generic), text);
  auto link = co_await secure(std::move(connection), tls::Side::dialled, deadline);
  if (!link) co_return failure(fmt::format("{} at {}: {}", peer, text, link.error().message));
  co_return link;
}

Task<Result<replication::Link>> TcpLinks::receive(std::unique_ptr<Stream> connection,
                                                  TimePoint deadline) {
  const std::string from = connection->peer_name();
  auto link = co_await secure(std::move(connection), tls::Side::accepted, deadline);
  if (!link) co_return failure(fmt::format("{}: {}", from, link.error().message));
  co_return link;
}

Task<Result<replication::Link>> TcpLinks::secure(std::unique_ptr<Stream> connection, tls::Side side,
                                                 TimePoint deadline) {
  if (!credentials_) co_return connection;
  auto link = std::make_unique<tls::TlsStream>(shard_.loop(), std::move(connection),
                                               credentials_->current(), side);
  Timer expiry([](Timer& timer) { static_cast<tls::TlsStream*>(timer.context())->close(); },
               link.get());
  shard_.arm(expiry, deadline);
  if (side == tls::Side::accepted) arrives(*link);
  const Result<> agreed = co_await link->shake_hands();
  arriving_.remove(link.get());
  expiry.cancel();
  if (!agreed) co_return std::unexpected(agreed.error());
  if (const auto peer = must_be_peer(*link); !peer) co_return std::unexpected(peer.error());
  co_return link;
}

void TcpLinks::arrives(tls::TlsStream& link) {
  arriving_.push_back(&link);
  if (arriving_.size() <= arriving_max) return;
  arriving_.front()->close();
  arriving_.pop_front();
}

// A secret proves no name here; the engine's own handshake does (docs/wire-protocol.md).
Result<> TcpLinks::must_be_peer(const tls::TlsStream& link) const {
  if (resource_.tls.replication != LinkTls::x509) return {};
  const std::vector<std::string>& proven = link.peer_names();
  for (const NodeSpec& node : resource_.nodes) {
    if (node.name == self_) continue;
    if (std::ranges::find(proven, node.name) != proven.end()) return {};
  }
  return failure(fmt::format("its certificate is for {}, and no other node of {} has that name",
                             fmt::join(proven, ", "), resource_.name));
}

}  // namespace baton::control
