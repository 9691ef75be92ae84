// A connected socket (unix or TCP) as a Stream.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <memory>

#include "base/runtime/shard.h"
#include "base/stream.h"

namespace baton {

// Takes the socket over; it must belong to the shard's io_context. On TCP, Nagle is switched off
// (NBD specification: "TCP_NODELAY SHOULD be set by both sides").
std::unique_ptr<Stream> make_socket_stream(Shard& shard,
                                           boost::asio::generic::stream_protocol::socket socket,
                                           std::string peer_name);

}  // namespace baton
