// Goal: in a steady state a request allocates nothing, from its arrival to its reply. Method: this
// program counts every malloc and operator new. Not for the sanitizers, which replace them, too.
#include <gtest/gtest.h>

#include "tests/support/count_mallocs.h"
#include "tests/support/nbd_burst.h"
#include "tests/support/nbd_session_world.h"

namespace baton::nbd {
namespace {

using test::Burst;
using test::Bytes;
using test::request;
using test::write_request;

TEST(SteadyState, a_request_allocates_nothing) {
  Loop loop;
  test::VirtualClock clock;
  BufferPool buffers(64U << 20U);
  test::MemoryDevice device(loop, 1U << 20U);
  test::DeviceExport offered("disk", device);
  ExportTable exports;
  exports.add(offered);
  auto [client, server] = test::MemoryStream::make_pair(loop, {.capacity_bytes = 1U << 20U});
  MemoryBudget budget(loop, clock, buffers.limit_bytes() / 2);
  Session session({loop, clock, buffers, budget}, std::move(server), exports, {});
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

  const std::uint64_t before = tests::mallocs();
  bool answered = true;
  for (int i = 0; i < 1000; ++i) answered = answered && burst.run();
  const std::uint64_t after = tests::mallocs();
  EXPECT_TRUE(answered);
  EXPECT_EQ(after - before, 0U) << "in " << 1000 * rounds * 6 << " requests";

  client->close();
  while (!loop.idle()) loop.run_turn();
}

}  // namespace
}  // namespace baton::nbd
