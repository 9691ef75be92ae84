#include "control/daemon/acceptor.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cerrno>
#include <utility>

#include "base/runtime/asio_stream.h"
#include "control/daemon/log.h"
#include "nbd_server/listening_socket.h"

namespace baton::control {
namespace {

namespace asio = boost::asio;
using Protocol = asio::generic::stream_protocol;

// How long to wait with the next accept when the process has no descriptor left.
constexpr Duration accept_pause = std::chrono::milliseconds(100);

}  // namespace

// Asio may run the handler of a cancelled accept after the Acceptor is gone.
struct Acceptor::Door : std::enable_shared_from_this<Door> {
  Door(Shard& its_shard, nbd::Address its_address, Taker its_taker)
      : shard(its_shard),
        socket(its_shard.io()),
        address(std::move(its_address)),
        taker(std::move(its_taker)) {}

  // Asio would hand over whoever waits before anything else on the shard goes on: a flood of
  // connections would stop it.
  struct Again final : Runnable {
    explicit Again(Door& its_door)
        : Runnable([](Runnable& self) { static_cast<Again&>(self).door.accept_next(); }),
          door(its_door) {}
    Door& door;
  };

  void accept_next() {
    socket.async_accept(shard.io(), [self = shared_from_this()](
                                        const boost::system::error_code& error,
                                        Protocol::socket accepted) {
      if (!self->taker) return;
      if (error) return self->failed(error);
      self->paused_before = false;
      // Keepalive finds hosts that died without a word, at their leisure; the engine's pings are
      // what decides.
      boost::system::error_code refused;  // the other side may be gone already; reading will tell
      accepted.set_option(asio::socket_base::keep_alive(true), refused);
      const std::string peer = nbd::name_of_peer(accepted.native_handle());
      self->taker(make_socket_stream(self->shard, std::move(accepted), peer));
      self->shard.loop().post(self->again);
    });
  }

  void failed(const boost::system::error_code& error) {
    if (error.value() == ECONNABORTED) return accept_next();  // that one gave up while it waited
    if (!std::exchange(paused_before, true)) {
      log_line(LogLevel::warning, fmt::format("{}: cannot accept connections at present: {}",
                                              address.text(), error.message()));
    }
    shard.arm_after(pause, accept_pause);
  }

  Shard& shard;
  asio::basic_socket_acceptor<Protocol> socket;
  nbd::Address address;
  Taker taker;  // empty once the Acceptor is gone
  Timer pause{[](Timer& timer) { static_cast<Door*>(timer.context())->accept_next(); }, this};
  Again again{*this};
  bool paused_before = false;
  ino_t socket_file = 0;  // so that a successor's file is left alone
};

Result<std::unique_ptr<Acceptor>> Acceptor::open(Shard& shard, const nbd::Address& address,
                                                 Taker taker) {
  const auto listening = nbd::listen_at(address);
  if (!listening) return std::unexpected(listening.error());
  auto door = std::make_shared<Door>(shard, listening->address, std::move(taker));
  door->socket.assign(Protocol(listening->family, 0), listening->descriptor);
  struct stat file{};
  if (!address.path.empty() && stat(address.path.c_str(), &file) == 0) {
    door->socket_file = file.st_ino;
  }
  door->accept_next();
  return std::unique_ptr<Acceptor>(new Acceptor(std::move(door)));
}

Acceptor::~Acceptor() {
  door_->taker = nullptr;
  door_->pause.cancel();
  struct stat file{};
  const bool ours = door_->socket_file != 0 && stat(door_->address.path.c_str(), &file) == 0 &&
                    file.st_ino == door_->socket_file;
  if (ours) unlink(door_->address.path.c_str());
  boost::system::error_code ignored;  // closing frees the descriptor whatever it reports
  door_->socket.close(ignored);
}

}  // namespace baton::control
