// Accepts NBD clients at one address and runs their sessions, on one shard.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/runtime/shard.h"
#include "base/task.h"
#include "nbd_server/address.h"
#include "nbd_server/listening_socket.h"
#include "nbd_server/session.h"

namespace baton::nbd {

struct ListenerOptions {
  // One more takes the place of whoever has been in its handshake for longest; when all have their
  // handshake behind them, it is closed at once.
  std::size_t connection_limit = 1024;
  SessionLimits session;
  TlsMode tls = TlsMode::none;
  std::shared_ptr<const tls::Source> credentials;  // where `tls` is not none
  SocketAccess access;                             // of a socket file that the listener makes
  // What the listeners of a shard share; null: half of the shard's buffers are this one's.
  std::shared_ptr<MemoryBudget> budget;
  // One line for each thing an operator may want to know: a client left, no descriptor is free.
  std::function<void(const std::string& line)> log = [](const std::string&) {};
};

// For `status`.
struct ClientStatus {
  std::string client;
  std::string export_name;  // empty during the handshake
  std::size_t requests_in_flight = 0;
  std::size_t bytes_in_flight = 0;
};

// Half of what the shard has; the rest is for what the clients do not decide: the link to the peer,
// resyncs.
std::shared_ptr<MemoryBudget> half_of_the_buffers(Shard& shard);

class Listener {
 public:
  // Listens; who connects waits for accept(). `exports` outlives the listener and may change while
  // it runs. May block to look a host name up.
  static Result<std::unique_ptr<Listener>> open(Shard& shard, const Address& address,
                                                const ExportTable& exports,
                                                ListenerOptions options);
  // The same at a socket that listens already; takes it. Its file, if it has one, is not removed.
  static std::unique_ptr<Listener> open(Shard& shard, const ListeningSocket& socket,
                                        const ExportTable& exports, ListenerOptions options);
  // The same for one client that is connected already, and no other; takes it. `name` is what
  // stands for an address in the log.
  static std::unique_ptr<Listener> of_client(Shard& shard, const ConnectedSocket& client,
                                             std::string name, const ExportTable& exports,
                                             ListenerOptions options);
  // Clients are served, from the next turn of `shard` on. Once more changes nothing.
  void accept();
  // A listener that was not stopped drops its clients where they stand.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Stops accepting, removes the socket file, takes no further request and closes each connection
  // when what the device has of it was answered (Transmission::shut_down); after `patience` closes
  // the rest. Completes when every session has ended: a request that is with a device is always
  // waited for.
  Task<> stop(Duration patience);

  // The same for the clients of one export; others stay, and new ones may come. Remove the export
  // from the table first.
  Task<> end_clients(std::string export_name, Duration patience);

  // Completes when no client is left. The listener outlives it.
  Task<> emptied();

  // With the port that the kernel chose.
  const Address& address() const { return address_; }
  std::vector<ClientStatus> clients() const;

 private:
  struct Door;
  struct Connection {
    Connection(const Session::World& world, std::unique_ptr<Stream> stream,
               const ExportTable& exports, const SessionLimits& limits, SessionSecurity security)
        : session(world, std::move(stream), exports, limits, std::move(security)) {}
    Session session;
    bool ending = false;
    bool gives_way = false;
  };
  using Socket = boost::asio::generic::stream_protocol::socket;
  // Accepts again when everybody else has had a turn.
  struct AcceptMore final : Runnable {
    explicit AcceptMore(Listener& its_listener)
        : Runnable([](Runnable& self) { static_cast<AcceptMore&>(self).listener.accept_next(); }),
          listener(its_listener) {}
    Listener& listener;
  };

  Listener(Shard& shard, const ExportTable& exports, ListenerOptions options);
  void accept_next();
  void accept_waiting();
  void accept_failed(int error);
  void accepted(Socket socket);
  bool make_room();
  void close_door();
  Task<> serve(std::list<Connection>::iterator connection);
  Task<> end_marked(Duration patience);
  bool any_ending() const;

  Shard& shard_;
  const ExportTable& exports_;
  ListenerOptions options_;
  std::shared_ptr<MemoryBudget> budget_;
  Address address_;
  std::string name_;              // for the log
  std::shared_ptr<Door> door_;    // empty without an address, and after stop()
  std::optional<Socket> client_;  // of_client()'s, until accept()
  Timer pause_;                   // after an accept that failed
  AcceptMore accept_more_{*this};
  bool accepting_ = false;
  bool paused_before_ = false;
  bool turning_away_ = false;  // and that was logged
  Signal ended_;               // a session
  std::list<Connection> connections_;
  std::size_t giving_way_ = 0;  // of those
  Scope sessions_;
};

}  // namespace baton::nbd
