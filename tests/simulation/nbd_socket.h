// The bytes between an NBD client and the session that serves it, as a socket on one host carries
// them.
//
// What the client sends arrives in order, in pieces of random length and after random delays. What
// the server writes is heard at once: it can take back nothing that it has handed to the transport,
// and a client that hears of it later holds nobody to more.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/stream.h"
#include "tests/simulation/world.h"

namespace baton::sim {

class NbdSocket {
 public:
  class Client {
   public:
    virtual void heard(std::span<const std::byte> bytes) = 0;
    virtual void connection_lost() = 0;  // by break_soon()

   protected:
    ~Client() = default;
  };

  // `number` names it in the trace and its random stream.
  NbdSocket(World& world, Process& server, Client& client, std::uint64_t number);
  NbdSocket(const NbdSocket&) = delete;
  NbdSocket& operator=(const NbdSocket&) = delete;
  ~NbdSocket();

  // Once.
  std::unique_ptr<Stream> take_server_end(std::string client_name);

  void send(std::span<const std::byte> bytes);
  // The connection ends behind one of the next bytes that arrive, whichever that is, or a moment
  // later if none comes: as by a reset, or as when the client's process dies.
  void break_soon();

 private:
  class ServerEnd;
  struct Piece {
    TimePoint arrives;
    std::size_t end = 0;  // in `bytes_`
  };
  // Completions are delivered from the loop of the server's process.
  struct Delivery : Runnable {
    Delivery(NbdSocket& owner, void (NbdSocket::*what)())
        : Runnable([](Runnable& self) {
            auto& mine = static_cast<Delivery&>(self);
            (mine.socket.*mine.deliver)();
          }),
          socket(owner),
          deliver(what) {}
    NbdSocket& socket;
    void (NbdSocket::*deliver)();
  };

  void read(ReadOperation& operation);
  void write(WriteOperation& operation);
  void close();
  void server_end_is_gone();
  void arrive();
  void break_now();
  bool readable() const;
  void deliver_read();
  void deliver_write();
  std::size_t unread() const { return arrived_ - read_; }

  World& world_;
  Process& server_;
  Client& client_;
  std::uint64_t number_;
  Prng random_;
  std::uint64_t piece_max_;
  ServerEnd* server_end_ = nullptr;
  std::vector<std::byte> bytes_;  // from the client: read, arrived, on the way
  std::size_t read_ = 0;
  std::size_t arrived_ = 0;
  std::deque<Piece> on_the_way_;
  Timer arrival_;
  Timer fuse_;
  std::optional<std::size_t> bytes_to_break_;
  StreamError lost_ = StreamError::none;  // what the server meets behind the last byte
  bool closed_ = false;                   // by the server
  ReadOperation* reading_ = nullptr;
  WriteOperation* writing_ = nullptr;
  Delivery read_done_{*this, &NbdSocket::deliver_read};
  Delivery write_done_{*this, &NbdSocket::deliver_write};
};

}  // namespace baton::sim
