// The incoming half of a link: bytes into checked messages.
#pragma once

#include <vector>

#include "base/buffer_pool.h"
#include "base/stream.h"
#include "base/task.h"
#include "replication/wire/codec.h"

namespace baton::replication {

struct Incoming {
  wire::Header header{};
  Buffer payload;  // page-aligned, ready for the disk; empty when there is none

  wire::Type type() const {
    return static_cast<wire::Type>(static_cast<std::uint16_t>(header.type));
  }
};

class Receiver {
 public:
  Receiver(Stream& stream, BufferPool& buffers);

  // The next message, whole and with a right checksum, or false: the stream ended or what came is
  // no message; `fault()` then says why. A message whose bytes did not all arrive never happened.
  Task<bool> next(Incoming& into);
  // The same without waiting: true if a whole message was there already. False otherwise, also when
  // fault() is set.
  bool try_next(Incoming& into);

  const std::string& fault() const { return fault_; }
  // Grows while anything arrives, also in the middle of a message.
  std::uint64_t bytes_received() const { return bytes_received_; }

 private:
  bool parse_header();
  bool finish(Incoming& into);
  Task<bool> fill();

  Stream& stream_;
  BufferPool& buffers_;
  std::vector<std::byte> bytes_;  // what came and is not parsed yet lies in [begin_, end_)
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  wire::Header header_{};  // of the message whose payload is being read
  bool have_header_ = false;
  Buffer payload_;
  std::size_t payload_got_ = 0;
  ReadOperation read_;
  std::string fault_;
  std::uint64_t bytes_received_ = 0;
};

}  // namespace baton::replication
