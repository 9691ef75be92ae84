#include "base/runtime/asio_stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <climits>
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

// Asio may deliver completions after close() and after the Stream is gone; the socket and the
// pointers to the operations in progress live in this shared part until the last handler has run.
struct State {
  State(Socket taken, Loop& owner_loop) : socket(std::move(taken)), loop(owner_loop) {}
  Socket socket;
  Loop& loop;
  ReadOperation* reading = nullptr;
  WriteOperation* writing = nullptr;
  std::span<const iovec> unwritten;  // of `writing`; first_skip bytes of its first buffer are gone
  std::size_t first_skip = 0;
  bool closed = false;
};

void consume(State& state, std::size_t bytes) {
  bytes += state.first_skip;
  while (!state.unwritten.empty() && bytes >= state.unwritten.front().iov_len) {
    bytes -= state.unwritten.front().iov_len;
    state.unwritten = state.unwritten.subspan(1);
  }
  state.first_skip = bytes;
}

enum class Sent : std::uint8_t { all, some, failed };

// Straight to the kernel: Asio would gather at most 64 buffers, and would send the completion of
// what the socket buffer takes at once (nearly everything) through its queue and another epoll.
Sent send_now(State& state) {
  constexpr std::size_t parts_limit = IOV_MAX;
  while (!state.unwritten.empty()) {
    // The first buffer may be half sent; the caller's list is not ours to change.
    iovec first = state.unwritten.front();
    first.iov_base = static_cast<char*>(first.iov_base) + state.first_skip;
    first.iov_len -= state.first_skip;
    msghdr message{};
    message.msg_iov = state.first_skip > 0 ? &first : const_cast<iovec*>(state.unwritten.data());
    message.msg_iovlen = state.first_skip > 0 ? 1 : std::min(state.unwritten.size(), parts_limit);
    const ssize_t sent =
        ::sendmsg(state.socket.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      consume(state, static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return Sent::some;
    } else if (errno != EINTR) {
      return Sent::failed;
    }
  }
  return Sent::all;
}

class SocketStream final : public Stream {
 public:
  SocketStream(Shard& shard, Socket socket, std::string peer_name)
      : state_(std::make_shared<State>(std::move(socket), shard.loop())),
        written_(*this),
        receive_(*this),
        peer_name_(std::move(peer_name)) {}
  // Whoever destroys a stream with operations in progress has given those up, too.
  ~SocketStream() override {
    state_->reading = nullptr;
    state_->writing = nullptr;
    close();
  }

  void read(ReadOperation& operation) override {
    BATON_ASSERT(state_->reading == nullptr, "one read at a time (base/stream.h)");
    state_->reading = &operation;
    rounds_before_read_ = 1;
    state_->loop.post(receive_);
  }

  void write(WriteOperation& operation) override {
    BATON_ASSERT(state_->writing == nullptr, "one write at a time (base/stream.h)");
    state_->writing = &operation;
    state_->unwritten = operation.buffers;
    state_->first_skip = 0;
    operation.error = StreamError::none;
    write_more();
  }

  void close() override {
    if (std::exchange(state_->closed, true)) return;
    boost::system::error_code ignored;  // the other side may be gone already; nothing to undo
    state_->socket.shutdown(asio::socket_base::shutdown_both, ignored);
    state_->socket.close(ignored);
  }

  std::string peer_name() const override { return peer_name_; }

 private:
  // Completes the write from the loop.
  class Written final : public Runnable {
   public:
    explicit Written(SocketStream& stream)
        : Runnable([](Runnable& self) { static_cast<Written&>(self).finish(); }), stream_(stream) {}

   private:
    void finish() { std::exchange(stream_.state_->writing, nullptr)->complete(); }
    SocketStream& stream_;
  };

  // Asks the socket when what is ready now has had its turn, and what that made ready, too: the
  // replies to what was received before leave first, and by then more has often arrived.
  class Receive final : public Runnable {
   public:
    explicit Receive(SocketStream& stream)
        : Runnable([](Runnable& self) { static_cast<Receive&>(self).stream_.receive(); }),
          stream_(stream) {}

   private:
    SocketStream& stream_;
  };

  void receive() {
    if (rounds_before_read_-- > 0) return state_->loop.post(receive_);
    const ReadOperation& operation = *state_->reading;
    const std::array<asio::mutable_buffer, 2> buffers{
        asio::buffer(operation.buffer.data(), operation.buffer.size()),
        asio::buffer(operation.second_buffer.data(), operation.second_buffer.size())};
    state_->socket.async_read_some(
        buffers, [state = state_](const boost::system::error_code& error, std::size_t bytes) {
          if (state->reading == nullptr) return;
          ReadOperation& finished = *std::exchange(state->reading, nullptr);
          finished.transferred = bytes;
          finished.error = error && state->closed ? StreamError::closed : stream_error(error);
          finished.complete();
        });
  }

  void write_more() {
    const Sent sent = state_->closed ? Sent::failed : send_now(*state_);
    if (sent == Sent::some) return wait_for_space();
    if (sent == Sent::failed)
      state_->writing->error = state_->closed ? StreamError::closed : StreamError::broken;
    state_->loop.post(written_);
  }

  void wait_for_space() {
    state_->socket.async_wait(Socket::wait_write,
                              [state = state_, this](const boost::system::error_code& /*error*/) {
                                // Null when the stream is gone, and `this` with it. What is wrong
                                // with the socket, the next send says.
                                if (state->writing != nullptr) write_more();
                              });
  }

  std::shared_ptr<State> state_;
  Written written_;
  Receive receive_;
  unsigned rounds_before_read_ = 0;
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
  return std::make_unique<SocketStream>(shard, std::move(socket), std::move(peer_name));
}

}  // namespace baton
