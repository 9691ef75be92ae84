#include "replication/engine/receiver.h"

#include <algorithm>
#include <cstring>

#include "base/mutant.h"

namespace baton::replication {
namespace {

// One recv takes in about fifty 4 KiB writes; larger payloads are read past it, into their buffer.
constexpr std::size_t receive_bytes = 256U << 10U;

}  // namespace

Receiver::Receiver(Stream& stream, BufferPool& buffers)
    : stream_(stream), buffers_(buffers), bytes_(receive_bytes) {}

bool Receiver::parse_header() {
  if (end_ - begin_ < sizeof header_) return false;
  std::memcpy(&header_, bytes_.data() + begin_, sizeof header_);
  if (const char* fault = wire::header_fault(header_); fault != nullptr) {
    fault_ = fault;
    return false;
  }
  begin_ += sizeof header_;
  have_header_ = true;
  payload_got_ = 0;
  if (header_.payload_bytes > 0) {
    payload_ = buffers_.take(header_.payload_bytes);
    if (!payload_) {
      // The sender's window is far below the pool's limit: others use the memory up.
      fault_ = "no memory for a message; the link is dropped to be made anew";
      return false;
    }
  }
  return true;
}

bool Receiver::finish(Incoming& into) {
  if (!wire::intact(header_, payload_.span()) && !mutant("checksum-not-verified")) {
    fault_ = "a message's checksum is wrong: it was damaged on the way";
    return false;
  }
  into.header = header_;
  into.payload = std::move(payload_);
  have_header_ = false;
  return true;
}

bool Receiver::try_next(Incoming& into) {
  if (!fault_.empty()) return false;
  if (!have_header_ && !parse_header()) return false;
  const std::size_t wanted = payload_.size() - payload_got_;
  const std::size_t here = std::min(wanted, end_ - begin_);
  if (here > 0) std::memcpy(payload_.data() + payload_got_, bytes_.data() + begin_, here);
  payload_got_ += here;
  begin_ += here;
  if (payload_got_ < payload_.size()) return false;
  return finish(into);
}

Task<bool> Receiver::fill() {
  if (begin_ > 0) {
    std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  const std::span<std::byte> room(bytes_.data() + end_, bytes_.size() - end_);
  const bool into_payload = have_header_ && payload_got_ < payload_.size();
  read_.buffer = into_payload ? payload_.span().subspan(payload_got_) : room;
  read_.second_buffer = into_payload ? room : std::span<std::byte>{};
  co_await read_some(stream_, read_);
  if (read_.error != StreamError::none) {
    fault_ = read_.error == StreamError::end_of_stream ? "the peer closed the connection"
                                                       : "the connection was lost";
    co_return false;
  }
  std::size_t got = read_.transferred;
  bytes_received_ += got;
  if (into_payload) {
    const std::size_t direct = std::min(got, payload_.size() - payload_got_);
    payload_got_ += direct;
    got -= direct;
  }
  end_ += got;
  co_return true;
}

Task<bool> Receiver::next(Incoming& into) {
  while (!try_next(into)) {
    if (!fault_.empty()) co_return false;
    const bool more = co_await fill();
    if (!more) co_return false;
  }
  co_return true;
}

}  // namespace baton::replication
