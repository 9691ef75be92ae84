// An ordered stream of bytes to one other party: a socket, a TLS session, an in-memory pair.
// NBD sessions and replication links run over this, so that simulator and fuzzers run them
// unchanged.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/operation.h"

namespace baton {

enum class StreamError : std::uint8_t {
  none,
  end_of_stream,  // the other side closed in order; only reads see it
  broken,         // reset, refused, unreachable: the connection is lost
  closed,         // we closed it
};

struct ReadOperation : Operation {
  std::span<std::byte> buffer;            // in: where to put bytes; not empty
  std::span<std::byte> second_buffer;     // in: used after `buffer` is full; may be empty
  std::size_t transferred = 0;            // out: at least 1 when there is no error
  StreamError error = StreamError::none;  // out
};

struct WriteOperation : Operation {
  std::span<const iovec> buffers;         // in: all of it is written, in order
  StreamError error = StreamError::none;  // out: on error an unknown prefix may have arrived
};

// At most one read and one write are in progress at a time (asserted).
class Stream {
 public:
  virtual ~Stream() = default;

  // Completes when at least one byte has arrived, or with an error.
  virtual void read(ReadOperation& operation) = 0;
  // Completes when every byte was handed to the transport (not when it arrived), or with an error.
  virtual void write(WriteOperation& operation) = 0;
  // Ends both directions at once; operations in progress complete with `closed`. May be called
  // twice.
  virtual void close() = 0;
  // The other party as a person would name it: "10.0.0.2:7789", "unix client, pid 4711".
  virtual std::string peer_name() const = 0;
};

inline auto read_some(Stream& stream, ReadOperation& operation) {
  return OperationAwaiter(operation, [&stream, &operation] { stream.read(operation); });
}
inline auto write_all(Stream& stream, WriteOperation& operation) {
  return OperationAwaiter(operation, [&stream, &operation] { stream.write(operation); });
}

}  // namespace baton
