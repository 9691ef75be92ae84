// Goal: in a steady state a request allocates nothing, from its arrival to its reply. Method: this
// program counts every malloc and operator new. Not for the sanitizers, which replace them, too.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>

#include "tests/support/nbd_session_world.h"

namespace {
std::size_t allocations = 0;
}  // namespace

extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
void* __libc_realloc(void* old, std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);

// operator new ends here, too.
void* malloc(std::size_t bytes) {
  ++allocations;
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  ++allocations;
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, std::size_t bytes) {
  ++allocations;
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  ++allocations;
  return __libc_memalign(alignment, bytes);
}
}

namespace baton::nbd {
namespace {

using test::Bytes;
using test::request;
using test::write_request;

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

TEST(SteadyState, a_request_allocates_nothing) {
  Loop loop;
  test::VirtualClock clock;
  BufferPool buffers(64U << 20U);
  test::MemoryDevice device(loop, 1U << 20U);
  test::DeviceExport offered("disk", device);
  ExportTable exports;
  exports.add(offered);
  auto [client, server] = test::MemoryStream::make_pair(loop, {.capacity_bytes = 1U << 20U});
  Session session({loop, clock, buffers}, std::move(server), exports, {});
  Scope tasks(loop);
  tasks.spawn(session.run());

  const Bytes hello = test::client_flags()
                          .add(test::option(Option::structured_reply))
                          .add(test::option(Option::go, test::info_request("disk")));
  constexpr std::size_t info_reply = sizeof(OptionReplyHeader) + sizeof(InfoExport);
  Burst handshake(loop, *client, hello,
                  sizeof(Greeting) + 2 * sizeof(OptionReplyHeader) + info_reply);
  ASSERT_TRUE(handshake.run());

  // Reads, writes of a block and of 128 KiB (received past the header buffer), flushes, errors.
  constexpr std::uint64_t rounds = 8;
  Bytes bytes;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    bytes.add(request(Command::read, i, i * 4096, 4096))
        .add(write_request(i, i * 4096, 4096, 1))
        .add(write_request(i, 0, 128U << 10U, 2, command_fua))
        .add(request(Command::write_zeroes, i, 0, 4096))
        .add(request(Command::flush, i, 0, 0))
        .add(write_request(i, 1U << 20U, 512, 3));
  }
  const std::size_t error_chunk = sizeof(ChunkHeader) + sizeof(ErrorPrefix) +
                                  std::string_view("the range passes the end of the export").size();
  const std::size_t read_chunk = sizeof(ChunkHeader) + sizeof(OffsetDataPrefix) + 4096;
  Burst burst(loop, *client, bytes,
              rounds * (read_chunk + 4 * sizeof(SimpleReplyHeader) + error_chunk));
  for (int warm_up = 0; warm_up < 4; ++warm_up) ASSERT_TRUE(burst.run());

  const std::size_t before = allocations;
  bool answered = true;
  for (int i = 0; i < 1000; ++i) answered = answered && burst.run();
  const std::size_t after = allocations;
  EXPECT_TRUE(answered);
  EXPECT_EQ(after - before, 0U) << "in " << 1000 * rounds * 6 << " requests";

  client->close();
  while (!loop.idle()) loop.run_turn();
}

}  // namespace
}  // namespace baton::nbd
