// Sockets that this daemon was started with. Those that the service manager listens at
// (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES) stay open while batond runs, whoever
// is up: clients that come meanwhile wait. Under --single, standard input is one client.
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
  PassedSockets(PassedSockets&& other) noexcept
      : sockets_(std::exchange(other.sockets_, {})), client_(std::exchange(other.client_, {})) {}
  PassedSockets& operator=(PassedSockets&&) = delete;

  // Takes over what this process was given, and the variables out of the environment: nothing that
  // it starts inherits any of it. An error names a socket that nobody can listen at.
  static Result<PassedSockets> take();

  // --single: standard input is a client that is connected already. An error when it is none.
  Result<> take_client();
  bool has_client() const { return client_.descriptor >= 0; }

  // Makes each a listener of this node: of the resources that name its address in `nbd`; else of
  // the one that its name is (FileDescriptorName=); else of the only one. The client is all
  // resources'.
  Result<> assign(Configuration& configuration, const std::string& node) const;

  // For a listener at `endpoint`; nothing where no socket was passed. From any thread.
  std::optional<nbd::ListeningSocket> at(const Endpoint& endpoint) const;

  // For a listener of that client, which stays connected while batond runs. From any thread.
  Result<nbd::ConnectedSocket> client() const;

 private:
  struct Socket {
    nbd::ListeningSocket socket;
    Endpoint endpoint;
    std::string name;
  };
  std::vector<Socket> sockets_;
  nbd::ConnectedSocket client_;  // or none
};

}  // namespace baton::control
