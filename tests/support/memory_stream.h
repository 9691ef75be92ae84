// Two Streams joined back to back in memory, on one loop; for tests of everything that runs over a
// Stream. Deterministic, and allocates nothing in a steady state.
//
// A pair can deliver piecemeal (at most `piece_bytes` for each read, so that every boundary falls
// everywhere) and holds at most `capacity_bytes` in each direction, so that a reader that stops
// makes the writer wait, as a socket does.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/loop.h"
#include "base/stream.h"

namespace baton::test {

struct MemoryStreamOptions {
  std::size_t capacity_bytes = 256U << 10U;
  std::size_t piece_bytes = SIZE_MAX;
};

class MemoryStream;
using MemoryStreamPair = std::pair<std::unique_ptr<MemoryStream>, std::unique_ptr<MemoryStream>>;

class MemoryStream final : public Stream {
 public:
  static MemoryStreamPair make_pair(Loop& loop, MemoryStreamOptions options = {}) {
    auto there = std::make_shared<Pipe>(options);
    auto back = std::make_shared<Pipe>(options);
    MemoryStreamPair pair(new MemoryStream(loop, back, there, "memory client"),
                          new MemoryStream(loop, there, back, "memory server"));
    return pair;
  }
  ~MemoryStream() override {
    reading_ = nullptr;
    writing_ = nullptr;
    close();
    in_->reader = nullptr;
    out_->writer = nullptr;
  }

  void read(ReadOperation& operation) override {
    BATON_ASSERT(reading_ == nullptr, "one read at a time (base/stream.h)");
    BATON_ASSERT(!operation.buffer.empty(), "a read has room (base/stream.h)");
    reading_ = &operation;
    loop_.post(step_);
  }
  void write(WriteOperation& operation) override {
    BATON_ASSERT(writing_ == nullptr, "one write at a time (base/stream.h)");
    writing_ = &operation;
    part_ = 0;
    part_done_ = 0;
    ++writes;
    loop_.post(step_);
  }
  // What was being written leaves as far as there is room, as from a socket's buffer.
  void close() override {
    if (writing_ != nullptr && !closed_ && !out_->broken) put_all();
    closed_ = true;
    end_writing();
    in_->broken = true;
    wake(in_->writer);
    loop_.post(step_);
  }
  std::string peer_name() const override { return peer_; }

  // What a client does that says goodbye and still listens.
  void end_writing() {
    out_->ended = true;
    wake(out_->reader);
  }

  std::size_t writes = 0;  // how often write() was called

 private:
  struct Pipe {
    explicit Pipe(const MemoryStreamOptions& how) : options(how), ring(how.capacity_bytes) {}
    MemoryStreamOptions options;
    std::vector<std::byte> ring;
    std::size_t begin = 0;
    std::size_t size = 0;
    bool ended = false;   // nothing more will be written
    bool broken = false;  // the reader has closed
    MemoryStream* reader = nullptr;
    MemoryStream* writer = nullptr;
  };
  class Step final : public Runnable {
   public:
    explicit Step(MemoryStream& stream)
        : Runnable([](Runnable& self) { static_cast<Step&>(self).stream_.step(); }),
          stream_(stream) {}

   private:
    MemoryStream& stream_;
  };

  MemoryStream(Loop& loop, std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out, std::string peer)
      : loop_(loop), in_(std::move(in)), out_(std::move(out)), peer_(std::move(peer)) {
    in_->reader = this;
    out_->writer = this;
  }

  void wake(MemoryStream* other) {
    if (other != nullptr) loop_.post(other->step_);
  }

  // A completion may destroy this stream, or start the next operation.
  void step() {
    WriteOperation* const wrote = try_write();
    ReadOperation* const read = try_read();
    if (wrote != nullptr) wrote->complete();
    if (read != nullptr) read->complete();
  }

  ReadOperation* try_read() {
    if (reading_ == nullptr) return nullptr;
    ReadOperation& operation = *reading_;
    operation.transferred = 0;
    operation.error = StreamError::none;
    if (closed_) {
      operation.error = StreamError::closed;
    } else if (in_->size > 0) {
      std::size_t allowed = in_->options.piece_bytes;
      take(operation.buffer, operation.transferred, allowed);
      take(operation.second_buffer, operation.transferred, allowed);
      wake(in_->writer);
    } else if (in_->ended) {
      operation.error = StreamError::end_of_stream;
    } else {
      return nullptr;
    }
    return std::exchange(reading_, nullptr);
  }

  void take(std::span<std::byte> into, std::size_t& transferred, std::size_t& allowed) {
    std::size_t count = std::min({into.size(), in_->size, allowed});
    allowed -= count;
    transferred += count;
    for (std::byte* at = into.data(); count > 0;) {
      const std::size_t run = std::min(count, in_->ring.size() - in_->begin);
      std::memcpy(at, in_->ring.data() + in_->begin, run);
      in_->begin = (in_->begin + run) % in_->ring.size();
      in_->size -= run;
      at += run;
      count -= run;
    }
  }

  WriteOperation* try_write() {
    if (writing_ == nullptr) return nullptr;
    writing_->error = StreamError::none;
    if (closed_) {
      writing_->error = StreamError::closed;
    } else if (out_->broken) {
      writing_->error = StreamError::broken;
    } else if (!put_all()) {
      return nullptr;
    }
    return std::exchange(writing_, nullptr);
  }

  bool put_all() {
    for (; part_ < writing_->buffers.size(); ++part_, part_done_ = 0) {
      const iovec& part = writing_->buffers[part_];
      while (part_done_ < part.iov_len) {
        if (out_->size == out_->ring.size()) return false;
        const std::size_t end = (out_->begin + out_->size) % out_->ring.size();
        const std::size_t run = std::min(
            {part.iov_len - part_done_, out_->ring.size() - end, out_->ring.size() - out_->size});
        std::memcpy(out_->ring.data() + end, static_cast<std::byte*>(part.iov_base) + part_done_,
                    run);
        out_->size += run;
        wake(out_->reader);
        part_done_ += run;
      }
    }
    return true;
  }

  Loop& loop_;
  std::shared_ptr<Pipe> in_;
  std::shared_ptr<Pipe> out_;
  std::string peer_;
  ReadOperation* reading_ = nullptr;
  WriteOperation* writing_ = nullptr;
  std::size_t part_ = 0;  // of writing_->buffers, and how much of it is gone
  std::size_t part_done_ = 0;
  bool closed_ = false;
  Step step_{*this};
};

}  // namespace baton::test
