#include "base/runtime/asio_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <utility>

#include "base/assert.h"

namespace baton {
namespace {

namespace asio = boost::asio;
using Socket = asio::generic::stream_protocol::socket;

StreamError stream_error(const boost::system::error_code& error) {
  if (!error) return StreamError::none;
  if (error == asio::error::eof) return StreamError::end_of_stream;
  if (error == asio::error::operation_aborted) return StreamError::closed;
  return StreamError::broken;
}

// Asio may deliver completions after close() and after the Stream's owner is gone; the socket and
// the pointers to the operations in progress live in this shared part until the last handler has
// run.
struct State {
  explicit State(Socket taken) : socket(std::move(taken)) {}
  Socket socket;
  ReadOperation* reading = nullptr;
  WriteOperation* writing = nullptr;
  std::span<const iovec> unwritten;  // of `writing`; first_skip bytes of its first buffer are gone
  std::size_t first_skip = 0;
  bool closed = false;
};

// What Asio gathers in one call; longer lists go in several.
using Batch = std::array<asio::const_buffer, 64>;

Batch next_batch(const State& state) {
  Batch batch{};
  std::size_t skip = state.first_skip;
  std::size_t count = 0;
  for (const iovec& part : state.unwritten) {
    if (count == batch.size()) break;
    batch[count++] =
        asio::const_buffer(static_cast<const char*>(part.iov_base) + skip, part.iov_len - skip);
    skip = 0;
  }
  return batch;
}

void consume(State& state, std::size_t bytes) {
  bytes += state.first_skip;
  while (!state.unwritten.empty() && bytes >= state.unwritten.front().iov_len) {
    bytes -= state.unwritten.front().iov_len;
    state.unwritten = state.unwritten.subspan(1);
  }
  state.first_skip = bytes;
}

void finish_write(State& state, StreamError error) {
  WriteOperation& operation = *std::exchange(state.writing, nullptr);
  operation.error = error;
  operation.complete();
}

void write_next(const std::shared_ptr<State>& state) {
  state->socket.async_write_some(
      next_batch(*state), [state](const boost::system::error_code& error, std::size_t bytes) {
        if (error) return finish_write(*state, stream_error(error));
        consume(*state, bytes);
        if (state->unwritten.empty()) return finish_write(*state, StreamError::none);
        write_next(state);
      });
}

class SocketStream final : public Stream {
 public:
  SocketStream(Socket socket, std::string peer_name)
      : state_(std::make_shared<State>(std::move(socket))), peer_name_(std::move(peer_name)) {}
  ~SocketStream() override { close(); }

  void read(ReadOperation& operation) override {
    BATON_ASSERT(state_->reading == nullptr, "one read at a time (base/stream.h)");
    state_->reading = &operation;
    const std::array<asio::mutable_buffer, 2> buffers{
        asio::buffer(operation.buffer.data(), operation.buffer.size()),
        asio::buffer(operation.second_buffer.data(), operation.second_buffer.size())};
    state_->socket.async_read_some(
        buffers, [state = state_](const boost::system::error_code& error, std::size_t bytes) {
          ReadOperation& finished = *std::exchange(state->reading, nullptr);
          finished.transferred = bytes;
          finished.error = stream_error(error);
          finished.complete();
        });
  }

  void write(WriteOperation& operation) override {
    BATON_ASSERT(state_->writing == nullptr, "one write at a time (base/stream.h)");
    state_->writing = &operation;
    state_->unwritten = operation.buffers;
    state_->first_skip = 0;
    write_next(state_);
  }

  void close() override {
    if (std::exchange(state_->closed, true)) return;
    boost::system::error_code ignored;  // the other side may be gone already; nothing to undo
    state_->socket.shutdown(asio::socket_base::shutdown_both, ignored);
    state_->socket.close(ignored);
  }

  std::string peer_name() const override { return peer_name_; }

 private:
  std::shared_ptr<State> state_;
  std::string peer_name_;
};

}  // namespace

std::unique_ptr<Stream> make_socket_stream(Shard& shard, Socket socket, std::string peer_name) {
  BATON_ASSERT(&socket.get_executor().context() == &shard.io(), "sockets stay on their shard");
  // The other side may be gone already; then the first read says so, and there is nothing to set.
  boost::system::error_code gone;
  const int family = socket.local_endpoint(gone).protocol().family();
  if (family == AF_INET || family == AF_INET6) {
    socket.set_option(asio::ip::tcp::no_delay(true), gone);
  }
  return std::make_unique<SocketStream>(std::move(socket), std::move(peer_name));
}

}  // namespace baton
