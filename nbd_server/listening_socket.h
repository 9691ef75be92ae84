// A socket that listens at an Address, with the errors a person can act on.
#pragma once

#include <string>

#include "base/result.h"
#include "nbd_server/access.h"
#include "nbd_server/address.h"
#include "nbd_server/socket_access.h"

namespace baton::nbd {

struct ListeningSocket {
  int descriptor = -1;  // non-blocking; the taker closes it
  int family = 0;       // AF_UNIX, AF_INET, AF_INET6
  Address address;      // with the port that the kernel chose
};

// unix: a socket file at which nobody accepts is replaced; a live one, or a file of another kind,
// is an error. The file has `access` before anybody can connect. tcp: the address is reused while
// old connections linger; a host name that has several addresses is bound at the first that works.
// Looks names up and may block: for start-up, not for a busy shard.
Result<ListeningSocket> listen_at(const Address& address, const SocketAccess& access = {});

// A socket that somebody else has bound and listens at (sd_listen_fds(3)). An error when it is no
// stream socket that listens.
Result<ListeningSocket> adopt_listening(int descriptor);

// A client that somebody else has accepted or made (inetd, nbd_connect_command(3)).
struct ConnectedSocket {
  int descriptor = -1;  // the taker closes it
  int family = 0;
};

// An error, the part of a sentence after "it", when it is no connected stream socket. `descriptor`
// stays the caller's: what is returned is another one for the same socket.
Result<ConnectedSocket> share_connected(int descriptor);

// Who connected, for people: "unix client, pid 4711" or "10.0.0.2:7789".
std::string name_of_peer(int descriptor);
// Nothing for a unix socket. A client that has gone already is nowhere (::).
std::optional<IpAddress> ip_of_peer(int descriptor);

}  // namespace baton::nbd
