#include "nbd_server/listener.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/runtime/asio_stream.h"

namespace baton::nbd {
namespace {

namespace asio = boost::asio;
using Protocol = asio::generic::stream_protocol;

// How long to wait with the next accept when the process has no descriptor left.
constexpr Duration accept_pause = std::chrono::milliseconds(100);

// How many clients are let in before those who are in have their turn. Under a flood, 16 let in a
// few more and left a client at work a third of its requests.
constexpr unsigned accepts_per_turn = 4;

}  // namespace

std::shared_ptr<MemoryBudget> half_of_the_buffers(Shard& shard) {
  return std::make_shared<MemoryBudget>(shard.loop(), shard, shard.buffers().limit_bytes() / 2);
}

// Asio may run the handler of a cancelled wait after the listener is gone.
struct Listener::Door {
  Door(asio::io_context& io, const ListeningSocket& socket)
      : protocol(socket.family, 0), acceptor(io, protocol, socket.descriptor) {}
  Protocol protocol;
  asio::basic_socket_acceptor<Protocol> acceptor;
  Listener* owner = nullptr;
  ino_t socket_file = 0;  // so that a successor's file is left alone
};

Listener::Listener(Shard& shard, const ExportTable& exports, ListenerOptions options)
    : shard_(shard),
      exports_(exports),
      options_(std::move(options)),
      budget_(options_.budget ? options_.budget : half_of_the_buffers(shard)),
      pause_([](Timer& timer) { static_cast<Listener*>(timer.context())->accept_next(); }, this),
      ended_(shard.loop()),
      sessions_(shard.loop()) {}

Listener::~Listener() {
  if (door_) close_door();
}

Result<std::unique_ptr<Listener>> Listener::open(Shard& shard, const Address& address,
                                                 const ExportTable& exports,
                                                 ListenerOptions options) {
  auto socket = listen_at(address, options.access);
  if (!socket) return std::unexpected(socket.error());
  auto listener = open(shard, *socket, exports, std::move(options));
  struct stat file{};
  if (address.kind == Address::Kind::unix_socket && ::stat(address.path.c_str(), &file) == 0)
    listener->door_->socket_file = file.st_ino;
  return listener;
}

std::unique_ptr<Listener> Listener::open(Shard& shard, const ListeningSocket& socket,
                                         const ExportTable& exports, ListenerOptions options) {
  std::unique_ptr<Listener> listener(new Listener(shard, exports, std::move(options)));
  listener->address_ = socket.address;
  listener->name_ = socket.address.text();
  listener->door_ = std::make_shared<Door>(shard.io(), socket);
  listener->door_->owner = listener.get();
  return listener;
}

std::unique_ptr<Listener> Listener::of_client(Shard& shard, const ConnectedSocket& client,
                                              std::string name, const ExportTable& exports,
                                              ListenerOptions options) {
  std::unique_ptr<Listener> listener(new Listener(shard, exports, std::move(options)));
  listener->name_ = std::move(name);
  listener->client_.emplace(shard.io(), Protocol(client.family, 0), client.descriptor);
  return listener;
}

void Listener::accept() {
  if (std::exchange(accepting_, true)) return;
  if (!client_) return accept_next();
  accepted(std::move(*client_));
  client_.reset();
}

void Listener::accept_next() {
  if (!door_) return;  // stopped meanwhile
  door_->acceptor.async_wait(asio::socket_base::wait_read,
                             [door = door_](const boost::system::error_code& /*stopped*/) {
                               if (door->owner != nullptr) door->owner->accept_waiting();
                             });
}

// Not all of them at once: a flood would keep everybody else out of the shard, and those who leave
// again would hold their places until it is over.
void Listener::accept_waiting() {
  for (unsigned taken = 0; taken < accepts_per_turn; ++taken) {
    const int client =
        ::accept4(door_->acceptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    // Only the first is known to wait: without a descriptor accept() fails also where nobody does.
    if (client < 0 && errno != EAGAIN && taken == 0) return accept_failed(errno);
    if (client < 0) break;
    paused_before_ = false;
    accepted(Socket(shard_.io(), door_->protocol, client));
  }
  shard_.loop().post(accept_more_);
}

void Listener::accept_failed(int error) {
  const bool no_descriptor = error == EMFILE || error == ENFILE;
  // That client gave up while it waited; or the next one can have the descriptor of another.
  if (error == ECONNABORTED || (no_descriptor && make_room()))
    return shard_.loop().post(accept_more_);
  // No descriptor or no memory: what is open goes on, and the pause keeps us from spinning.
  if (!paused_before_)
    options_.log(
        fmt::format("{}: cannot accept clients at present: {}", name_, std::strerror(error)));
  paused_before_ = true;
  shard_.arm(pause_, shard_.now() + accept_pause);
}

void Listener::accepted(Socket socket) {
  const std::string client = name_of_peer(socket.native_handle());
  const bool full = connections_.size() - giving_way_ >= options_.connection_limit;
  if (full && !make_room()) {
    if (!std::exchange(turning_away_, true))
      options_.log(
          fmt::format("{}: {} was turned away, as others will be until one leaves: {} "
                      "clients are connected already",
                      name_, client, options_.connection_limit));
    return;
  }
  // A host that died without a word would hold its place for ever. Unix sockets ignore it.
  boost::system::error_code refused;  // the client may be gone already; its session will see that
  socket.set_option(asio::socket_base::keep_alive(true), refused);
  const Session::World world{shard_.loop(), shard_, shard_.buffers(), *budget_};
  SessionSecurity security{options_.tls, options_.credentials, ip_of_peer(socket.native_handle())};
  auto stream = make_socket_stream(shard_, std::move(socket), client);
  connections_.emplace_back(world, std::move(stream), exports_, options_.session,
                            std::move(security));
  sessions_.spawn(serve(std::prev(connections_.end())));
}

// Who has been in its handshake for longest is least likely to end it. False: nobody is in it.
bool Listener::make_room() {
  const auto longest = std::ranges::find_if(connections_, [](const Connection& each) {
    return each.session.in_handshake() && !each.gives_way;
  });
  if (longest == connections_.end()) return false;
  longest->gives_way = true;
  ++giving_way_;
  longest->session.end_handshake(
      "its place was needed, and nobody has been in the handshake for longer");
  return true;
}

Task<> Listener::serve(std::list<Connection>::iterator connection) {
  Session& session = connection->session;
  co_await session.run();
  options_.log(fmt::format("{}: {} ended (export \"{}\"): {}", name_, session.client_name(),
                           session.export_name(), session.reason()));
  if (connection->gives_way) --giving_way_;
  connections_.erase(connection);
  turning_away_ = false;
  ended_.notify_all();
}

void Listener::close_door() {
  door_->owner = nullptr;
  boost::system::error_code ignored;  // closing frees the descriptor whatever it reports
  door_->acceptor.close(ignored);
  pause_.cancel();
  struct stat file{};
  const bool ours = door_->socket_file != 0 && ::stat(address_.path.c_str(), &file) == 0 &&
                    file.st_ino == door_->socket_file;
  if (ours) ::unlink(address_.path.c_str());
  door_.reset();
}

Task<> Listener::stop(Duration patience) {
  if (door_) close_door();
  client_.reset();
  for (Connection& connection : connections_) connection.ending = true;
  return end_marked(patience);
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): it suspends, and the caller's string may go
Task<> Listener::end_clients(std::string export_name, Duration patience) {
  for (Connection& connection : connections_) {
    if (connection.session.export_name() == export_name) connection.ending = true;
  }
  return end_marked(patience);
}

Task<> Listener::end_marked(Duration patience) {
  for (Connection& connection : connections_) {
    if (connection.ending) connection.session.shut_down();
  }
  const TimePoint deadline = shard_.now() + patience;
  bool in_time = true;
  while (any_ending() && in_time) in_time = co_await ended_.wait_until(shard_, deadline);
  for (Connection& connection : connections_) {
    if (connection.ending) connection.session.close();
  }
  while (any_ending()) co_await ended_.wait();
}

Task<> Listener::emptied() {
  while (!connections_.empty()) co_await ended_.wait();
}

bool Listener::any_ending() const {
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const Connection& connection) { return connection.ending; });
}

std::vector<ClientStatus> Listener::clients() const {
  std::vector<ClientStatus> all;
  all.reserve(connections_.size());
  for (const Connection& each : connections_) {
    all.push_back({.client = each.session.client_name(),
                   .export_name = each.session.export_name(),
                   .requests_in_flight = each.session.requests_in_flight(),
                   .bytes_in_flight = each.session.bytes_in_flight()});
  }
  return all;
}

}  // namespace baton::nbd
