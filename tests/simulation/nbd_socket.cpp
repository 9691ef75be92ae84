#include "tests/simulation/nbd_socket.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace baton::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {

constexpr Duration delay_max = microseconds(20);
// A client that has nothing to send notices within this that its connection broke.
constexpr Duration break_limit = milliseconds(1);

}  // namespace

// What the session holds.
class NbdSocket::ServerEnd final : public Stream {
 public:
  ServerEnd(NbdSocket& socket, std::string client) : socket_(&socket), client_(std::move(client)) {}
  ~ServerEnd() override {
    if (socket_ != nullptr) socket_->server_end_is_gone();
  }
  void read(ReadOperation& operation) override { socket_->read(operation); }
  void write(WriteOperation& operation) override { socket_->write(operation); }
  void close() override { socket_->close(); }
  std::string peer_name() const override { return client_; }
  void forget() { socket_ = nullptr; }

 private:
  NbdSocket* socket_;
  std::string client_;
};

NbdSocket::NbdSocket(World& world, Process& server, Client& client, std::uint64_t number)
    : world_(world),
      server_(server),
      client_(client),
      number_(number),
      random_(world.stream("nbd socket", number)),
      piece_max_(random_.percent(30) ? random_.between(1, 40)
                                     : std::uint64_t{64} << random_.below(11)),
      arrival_([](Timer& timer) { static_cast<NbdSocket*>(timer.context())->arrive(); }, this),
      fuse_([](Timer& timer) { static_cast<NbdSocket*>(timer.context())->break_now(); }, this) {}

NbdSocket::~NbdSocket() {
  if (server_end_ != nullptr) server_end_->forget();
}

std::unique_ptr<Stream> NbdSocket::take_server_end(std::string client_name) {
  BATON_ASSERT(server_end_ == nullptr, "a socket is accepted once");
  auto end = std::make_unique<ServerEnd>(*this, std::move(client_name));
  server_end_ = end.get();
  return end;
}

// Whoever destroys it has thrown away the frames that waited on it.
void NbdSocket::server_end_is_gone() {
  server_end_ = nullptr;
  reading_ = nullptr;
  writing_ = nullptr;
  closed_ = true;
}

// --- from the client to the server ---

// The first boundaries lie close together, to fall into headers; a large payload has few more.
void NbdSocket::send(std::span<const std::byte> bytes) {
  if (lost_ != StreamError::none || closed_) return;
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  std::size_t left = bytes.size();
  // A sender that has more to say fills the segment that waits.
  bool joins = !on_the_way_.empty() && random_.percent(60);
  for (std::uint64_t most = piece_max_; left > 0; most *= 2) {
    const std::size_t taken = std::min<std::size_t>(left, random_.between(1, most));
    left -= taken;
    const std::size_t end = bytes_.size() - left;
    if (std::exchange(joins, false)) {
      on_the_way_.back().end = end;
      continue;
    }
    TimePoint arrives = world_.now() + random_.duration(microseconds(1), delay_max);
    if (!on_the_way_.empty()) arrives = std::max(arrives, on_the_way_.back().arrives);
    on_the_way_.push_back({arrives, end});
  }
  world_.arm(arrival_, on_the_way_.front().arrives);
}

void NbdSocket::arrive() {
  const std::size_t before = arrived_;
  while (!on_the_way_.empty() && on_the_way_.front().arrives <= world_.now()) {
    arrived_ = on_the_way_.front().end;
    on_the_way_.pop_front();
  }
  std::size_t came = arrived_ - before;
  const bool breaks = bytes_to_break_ && came >= *bytes_to_break_;
  if (breaks) came = *bytes_to_break_;
  arrived_ = before + came;
  if (bytes_to_break_) *bytes_to_break_ -= came;
  world_.trace().note(Event::nbd_arrive, server_.node(), number_, came, unread());
  if (breaks) return break_now();
  if (!on_the_way_.empty()) world_.arm(arrival_, on_the_way_.front().arrives);
  if (reading_ != nullptr && readable()) server_.loop().post(read_done_);
}

void NbdSocket::break_soon() {
  if (lost_ != StreamError::none || closed_ || bytes_to_break_) return;
  // Into a header, into a payload, or behind a few requests.
  bytes_to_break_ = random_.between(1, std::uint64_t{16} << random_.below(11));
  world_.arm_after(fuse_, random_.duration({}, break_limit));
}

void NbdSocket::break_now() {
  if (lost_ != StreamError::none || closed_) return;
  // A reset takes away what the server has not read; a client's death does not.
  lost_ = random_.percent(50) ? StreamError::broken : StreamError::end_of_stream;
  if (lost_ == StreamError::broken) read_ = arrived_;
  on_the_way_.clear();
  arrival_.cancel();
  fuse_.cancel();
  world_.trace().say(server_.node(),
                     fmt::format("nbd connection {} {}", number_,
                                 lost_ == StreamError::broken ? "is reset" : "loses its client"));
  if (reading_ != nullptr) server_.loop().post(read_done_);
  client_.connection_lost();
}

bool NbdSocket::readable() const {
  return unread() > 0 || lost_ != StreamError::none || closed_;
}

// --- what the session asks for ---

void NbdSocket::read(ReadOperation& operation) {
  BATON_ASSERT(reading_ == nullptr, "one read at a time");
  BATON_ASSERT(!operation.buffer.empty(), "a read has room for at least one byte");
  reading_ = &operation;
  if (readable()) server_.loop().post(read_done_);
}

void NbdSocket::deliver_read() {
  ReadOperation* const operation = std::exchange(reading_, nullptr);
  if (operation == nullptr) return;
  operation->transferred = 0;
  operation->error = StreamError::none;
  if (closed_) {
    operation->error = StreamError::closed;
  } else if (unread() == 0) {
    operation->error = lost_;
  } else {
    for (std::span<std::byte> room : {operation->buffer, operation->second_buffer}) {
      const std::size_t count = std::min(room.size(), unread());
      if (count == 0) break;
      std::memcpy(room.data(), bytes_.data() + read_, count);
      read_ += count;
      operation->transferred += count;
    }
    if (read_ == bytes_.size()) {
      bytes_.clear();
      read_ = arrived_ = 0;
    }
  }
  operation->complete();
}

void NbdSocket::write(WriteOperation& operation) {
  BATON_ASSERT(writing_ == nullptr, "one write at a time");
  writing_ = &operation;
  server_.loop().post(write_done_);
  operation.error = closed_                        ? StreamError::closed
                    : lost_ == StreamError::broken ? StreamError::broken
                                                   : StreamError::none;
  // To a client that has died the kernel still takes some, and nobody hears it.
  if (closed_ || lost_ != StreamError::none) return;
  for (const iovec& part : operation.buffers) {
    client_.heard({static_cast<const std::byte*>(part.iov_base), part.iov_len});
  }
}

void NbdSocket::deliver_write() {
  WriteOperation* const operation = std::exchange(writing_, nullptr);
  if (operation != nullptr) operation->complete();
}

void NbdSocket::close() {
  if (closed_) return;
  closed_ = true;
  on_the_way_.clear();
  arrival_.cancel();
  fuse_.cancel();
  if (reading_ != nullptr) server_.loop().post(read_done_);
}

}  // namespace baton::sim
