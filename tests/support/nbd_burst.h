// An NBD client that allocates nothing while it works.
#pragma once

#include <vector>

#include "base/loop.h"
#include "base/stream.h"
#include "tests/support/nbd_bytes.h"

namespace baton::test {

// Sends one prepared burst again and again over a raw stream, so that the client's own bookkeeping
// allocates nothing either.
class Burst {
 public:
  Burst(Loop& loop, Stream& stream, const Bytes& bytes, std::size_t reply_bytes)
      : loop_(loop), stream_(stream), bytes_(bytes.get()), reply_bytes_(reply_bytes) {
    part_ = {bytes_.data(), bytes_.size()};
    write_.buffers = {&part_, 1};
    write_.on_complete([](Operation&) {}, nullptr);
    read_.buffer = chunk_;
    read_.on_complete([](Operation& self) { static_cast<Burst*>(self.context())->heard(); }, this);
  }
  // True when every reply has come.
  bool run() {
    missing_ = reply_bytes_;
    stream_.write(write_);
    stream_.read(read_);
    while (!loop_.idle()) loop_.run_turn();
    return missing_ == 0;
  }

 private:
  void heard() {
    missing_ -= read_.transferred;
    if (missing_ > 0) stream_.read(read_);
  }
  Loop& loop_;
  Stream& stream_;
  std::vector<std::byte> bytes_;
  std::size_t reply_bytes_;
  std::size_t missing_ = 0;
  std::vector<std::byte> chunk_ = std::vector<std::byte>(1U << 20U);
  iovec part_{};
  WriteOperation write_;
  ReadOperation read_;
};

}  // namespace baton::test
