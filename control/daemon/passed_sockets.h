// Sockets that the service manager listens at for this daemon (sd_listen_fds(3): LISTEN_PID,
// LISTEN_FDS, LISTEN_FDNAMES). They stay open while batond runs, whoever is up: clients that come
// meanwhile wait.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/config.h"
#include "nbd_server/listening_socket.h"

namespace baton::control {

class PassedSockets {
 public:
  PassedSockets() = default;
  ~PassedSockets();
  PassedSockets(PassedSockets&& other) noexcept : sockets_(std::exchange(other.sockets_, {})) {}
  PassedSockets& operator=(PassedSockets&&) = delete;

  // Takes over what this process was given, and the variables out of the environment: nothing that
  // it starts inherits any of it. An error names a socket that nobody can listen at.
  static Result<PassedSockets> take();

  // Makes each a listener of this node: of the resources that name its address in `nbd`; else of
  // the one that its name is (FileDescriptorName=); else of the only one.
  Result<> assign(Configuration& configuration, const std::string& node) const;

  // For a listener at `endpoint`; nothing where no socket was passed. From any thread.
  std::optional<nbd::ListeningSocket> at(const Endpoint& endpoint) const;

 private:
  struct Socket {
    nbd::ListeningSocket socket;
    Endpoint endpoint;
    std::string name;
  };
  std::vector<Socket> sockets_;
};

}  // namespace baton::control
