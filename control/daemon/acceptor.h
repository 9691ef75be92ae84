// Accepts connections at one address and hands each over as a Stream, on one shard.
// For the control socket and for replication links; NBD clients have nbd_server/listener.h.
#pragma once

#include <functional>
#include <memory>

#include "base/runtime/shard.h"
#include "base/stream.h"
#include "nbd_server/address.h"

namespace baton::control {

class Acceptor {
 public:
  using Taker = std::function<void(std::unique_ptr<Stream>)>;

  // Accepts from the next turn of `shard` on, one at a time: everybody else has a turn between two.
  // Call before the shard's thread runs, or on it.
  static Result<std::unique_ptr<Acceptor>> open(Shard& shard, const nbd::Address& address,
                                                Taker taker);
  // Stops; removes the socket file of a unix address.
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

 private:
  struct Door;
  explicit Acceptor(std::shared_ptr<Door> door) : door_(std::move(door)) {}
  std::shared_ptr<Door> door_;
};

}  // namespace baton::control
