// Goal: one connection behaves as the specification asks from its first byte to its last, and what
// a client does wrong hurts nobody but itself. Method: a scripted client over an in-memory stream,
// whole and byte by byte; virtual time.
#include "nbd_server/session.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/nbd_session_world.h"

namespace baton::nbd {
namespace {

using test::Bytes;
using test::Heard;
using test::option;
using test::Reply;
using test::request;
using test::SessionWorld;
using test::write_request;

using enum Command;

bool all(const std::vector<std::byte>& data, std::uint8_t value) {
  return std::all_of(data.begin(), data.end(),
                     [value](std::byte byte) { return byte == std::byte{value}; });
}

class Session : public testing::TestWithParam<std::size_t> {
 protected:
  static test::SessionWorldOptions pieces() { return {.stream = {.piece_bytes = GetParam()}}; }
};
INSTANTIATE_TEST_SUITE_P(, Session, testing::Values(SIZE_MAX, 1, 29, 4096), [](const auto& piece) {
  return piece.param == SIZE_MAX ? std::string("delivered_whole")
                                 : "in_pieces_of_" + std::to_string(piece.param);
});

TEST_P(Session, what_was_written_is_read_back) {
  SessionWorld world(pieces());
  world.shake_hands(false);
  EXPECT_EQ(world.ask(write_request(1, 511, 10'000, 0x5a)).error, IoError::none);
  const Reply reply = world.ask(request(read, 2, 511, 10'000), 10'000);
  EXPECT_FALSE(reply.structured);
  EXPECT_EQ(reply.cookie, 2U);
  EXPECT_EQ(reply.data.size(), 10'000U);
  EXPECT_TRUE(all(reply.data, 0x5a));
  EXPECT_EQ(world.device.content()[510], std::byte{0});
  EXPECT_EQ(world.device.content()[10'511], std::byte{0});
}

TEST_P(Session, structured_reads_carry_their_offset) {
  SessionWorld world(pieces());
  world.shake_hands();
  world.ask(write_request(1, 4096, 4096, 7, command_fua));
  const Reply reply = world.ask(request(read, 2, 4096, 4096, command_df));
  EXPECT_TRUE(reply.structured);
  EXPECT_EQ(reply.flags, chunk_done);
  EXPECT_EQ(reply.offset, 4096U);
  EXPECT_EQ(reply.data.size(), 4096U);
  EXPECT_TRUE(all(reply.data, 7));
}

TEST_P(Session, many_requests_in_one_go_are_all_answered_and_disc_waits_for_them) {
  SessionWorld world(pieces());
  world.shake_hands(false);
  Bytes pipeline;
  for (std::uint64_t i = 0; i < 64; ++i) pipeline.add(request(read, i, i * 512, 512));
  world.device.hold();
  world.send(pipeline.add(request(disconnect, 999, UINT64_MAX, UINT32_MAX)));  // garbage: ignored
  EXPECT_EQ(world.device.submitted().size(), 64U);
  EXPECT_FALSE(world.session_ended());
  world.device.let_go();
  world.settle();
  Heard heard(world.client->heard());
  std::set<std::uint64_t> cookies;
  for (int i = 0; i < 64; ++i) cookies.insert(heard.reply(512).cookie);
  EXPECT_FALSE(heard.bad());
  EXPECT_EQ(heard.left(), 0U) << "no reply to DISC";
  EXPECT_EQ(cookies.size(), 64U);
  EXPECT_TRUE(world.session_ended());
  EXPECT_TRUE(world.client->ended());
  EXPECT_EQ(world.session->reason(), "the client disconnected");
}

TEST_P(Session, refused_writes_leave_the_connection_in_step) {
  SessionWorld world(pieces());
  world.shake_hands();
  const Reply past_end = world.ask(write_request(1, 1U << 20U, 4096, 9));
  EXPECT_EQ(past_end.error, IoError::no_space);
  EXPECT_EQ(past_end.message, "the range passes the end of the export");
  EXPECT_EQ(world.ask(write_request(2, 0, 70'000, 9, 1U << 9U)).error, IoError::invalid);
  EXPECT_EQ(world.ask(request(read, 3, 0, 4096)).data.size(), 4096U);
  EXPECT_TRUE(all(world.device.content(), 0));
}

TEST_P(Session, half_a_write_never_happened) {
  SessionWorld world(pieces());
  world.shake_hands();
  world.send(request(write, 1, 0, 8192).fill(8191, 0xee));
  world.client->hang_up();
  world.settle();
  EXPECT_TRUE(world.session_ended());
  EXPECT_TRUE(all(world.device.content(), 0));
  EXPECT_EQ(world.buffers.bytes_out(), 0U);
}

TEST(SessionCommands, each_does_what_it_says) {
  SessionWorld world;
  world.shake_hands();
  world.ask(write_request(1, 0, 65'536, 1));
  EXPECT_EQ(world.ask(request(trim, 2, 0, 4096)).error, IoError::none);
  EXPECT_EQ(world.ask(request(write_zeroes, 3, 8192, 4096, command_no_hole)).error, IoError::none);
  EXPECT_EQ(world.ask(request(cache, 4, 0, 65'536)).error, IoError::none);
  EXPECT_EQ(world.ask(request(flush, 5, 4711, 1)).error, IoError::none);
  const Reply status = world.ask(request(block_status, 6, 0, 20'000));
  const std::uint32_t hole = status_hole | status_zero;
  EXPECT_EQ(status.extents, (std::vector<std::pair<std::uint32_t, std::uint32_t>>{
                                {4096, hole}, {4096, 0}, {4096, hole}, {7712, 0}}));
  const Reply one = world.ask(request(block_status, 7, 4096, 20'000, command_req_one));
  EXPECT_EQ(one.extents.size(), 1U);
  EXPECT_EQ(world.ask(request(read, 8, 0, 0)).type, static_cast<int>(ChunkType::none));
  EXPECT_EQ(world.ask(write_request(9, 0, 0, 0)).error, IoError::none);
  EXPECT_EQ(world.ask(request(trim, 10, 0, 0)).error, IoError::none);
  EXPECT_EQ(world.ask(request(static_cast<Command>(99), 11, 0, 0)).error, IoError::invalid);
}

struct DeviceFlags {
  std::uint16_t command;
  Command name;
  blockdev::Flags expected;
};

TEST(SessionCommands, flags_reach_the_device) {
  SessionWorld world;
  world.shake_hands();
  const std::vector<DeviceFlags> rows{
      {command_fua, write_zeroes, {.fua = true}},
      {command_fua, trim, {.fua = true}},
      {command_fua, read, {}},
      {command_fua, flush, {}},
      {command_no_hole | command_fast_zero, write_zeroes, {.no_hole = true, .fast_zero = true}},
      {command_req_one, block_status, {.req_one = true}}};
  for (const DeviceFlags& row : rows) {
    world.device.hold();
    world.send(request(row.name, 1, 0, 512, row.command));
    ASSERT_EQ(world.device.submitted().size(), 1U);
    const blockdev::Flags seen = world.device.submitted().front()->flags;
    EXPECT_EQ(seen.fua, row.expected.fua);
    EXPECT_EQ(seen.no_hole, row.expected.no_hole);
    EXPECT_EQ(seen.fast_zero, row.expected.fast_zero);
    EXPECT_EQ(seen.req_one, row.expected.req_one);
    world.device.let_go();
    world.settle();
  }
}

TEST(SessionErrors, of_the_device_are_told_with_their_reason) {
  SessionWorld world;
  world.shake_hands();
  world.device.fail_next(IoError::not_permitted, "vm1 is Secondary here");
  const Reply reply = world.ask(write_request(1, 0, 512, 1));
  EXPECT_EQ(reply.error, IoError::not_permitted);
  EXPECT_EQ(reply.message, "vm1 is Secondary here");
  world.device.fail_next(IoError::io);
  EXPECT_EQ(world.ask(request(read, 2, 0, 512)).error, IoError::io);
}

TEST(SessionErrors, without_structured_replies_are_bare_and_carry_no_data) {
  SessionWorld world;
  world.shake_hands(false);
  world.device.fail_next(IoError::io, "the medium failed");
  const Reply reply = world.ask(request(read, 1, 0, 512), 512);
  EXPECT_FALSE(reply.structured);
  EXPECT_EQ(reply.error, IoError::io);
  EXPECT_EQ(reply.message, "") << "exactly one reply, nothing behind it";
}

TEST(SessionErrors, that_belong_to_one_command_do_not_reach_others) {
  SessionWorld world;
  world.shake_hands();
  world.device.fail_next(IoError::unsupported);
  EXPECT_EQ(world.ask(request(write_zeroes, 1, 0, 512, command_fast_zero)).error,
            IoError::unsupported);
  world.device.fail_next(IoError::unsupported);
  EXPECT_EQ(world.ask(request(write_zeroes, 2, 0, 512)).error, IoError::invalid);
  world.device.fail_next(IoError::overflow);
  EXPECT_EQ(world.ask(request(read, 3, 0, 512, command_df)).error, IoError::overflow);
  world.device.fail_next(IoError::overflow);
  EXPECT_EQ(world.ask(request(read, 4, 0, 512)).error, IoError::invalid);
}

TEST(SessionSizes, sixty_four_mebibytes_are_one_request_and_more_is_refused_in_step) {
  constexpr std::uint32_t largest = payload_limit_bytes;
  SessionWorld world({.size = 2UL * largest});
  world.shake_hands();
  EXPECT_EQ(world.ask(write_request(1, 3, largest, 0x77)).error, IoError::none);
  const Reply whole = world.ask(request(read, 2, 3, largest));
  EXPECT_EQ(whole.data.size(), largest);
  EXPECT_TRUE(all(whole.data, 0x77));
  EXPECT_EQ(world.ask(write_request(3, 0, largest + 1, 1)).error, IoError::invalid);
  EXPECT_EQ(world.ask(request(read, 4, 0, largest + 1)).error, IoError::invalid);
  EXPECT_EQ(world.device.content()[0], std::byte{0});
  world.send(request(write, 5, 0, 2 * largest + 1));
  EXPECT_TRUE(world.session_ended()) << "nobody means a write of 128 MiB";
}

TEST(SessionMisbehaviour, a_request_without_its_magic_number_ends_the_connection) {
  SessionWorld world;
  world.shake_hands();
  world.send(request(read, 1, 0, 512).add(Bytes().u32(0xdeadbeef).fill(24, 0)));
  EXPECT_TRUE(world.session_ended());
  EXPECT_EQ(world.session->reason(), "a request without its magic number");
  Heard heard(world.client->heard());
  EXPECT_EQ(heard.reply().data.size(), 512U) << "what came before is answered";
}

// CVE-2024-7409: connections that never finish their handshake pile up.
TEST(SessionMisbehaviour, a_silent_client_is_closed_after_ten_seconds) {
  SessionWorld world;
  world.clock.advance(std::chrono::milliseconds(9'999));
  world.settle();
  EXPECT_FALSE(world.session_ended());
  world.clock.advance(std::chrono::milliseconds(1));
  world.settle();
  EXPECT_TRUE(world.session_ended());
  EXPECT_EQ(world.session->reason(), "its handshake took too long");
}

TEST(SessionMisbehaviour, a_client_that_trickles_options_has_ten_seconds_all_the_same) {
  SessionWorld world;
  world.send(test::client_flags());
  for (int second = 0; second < 10; ++second) {
    EXPECT_FALSE(world.session_ended());
    world.send(option(4711));
    world.clock.advance(std::chrono::seconds(1));
    world.settle();
  }
  EXPECT_TRUE(world.session_ended());
}

TEST(SessionMisbehaviour, the_deadline_is_the_handshakes_only) {
  SessionWorld world;
  world.shake_hands();
  world.clock.advance(std::chrono::hours(1000));
  world.settle();
  EXPECT_EQ(world.ask(request(flush, 1, 0, 0)).error, IoError::none);
}

TEST(SessionMisbehaviour, a_client_that_does_not_read_its_options_answers_is_closed_in_time) {
  SessionWorld world({.stream = {.capacity_bytes = 4096}});
  world.client->stop_listening();
  Bytes flood = test::client_flags();
  for (int i = 0; i < 1000; ++i) flood.add(option(Option::list));
  world.send(flood);
  EXPECT_FALSE(world.session_ended());
  world.clock.advance(std::chrono::seconds(10));
  world.settle();
  EXPECT_TRUE(world.session_ended());
}

TEST(SessionMisbehaviour, the_device_is_opened_once_and_only_by_the_last_step) {
  SessionWorld world;
  world.send(test::client_flags()
                 .add(option(Option::list))
                 .add(option(Option::info, test::info_request("disk"))));
  EXPECT_EQ(world.offered.opened, 0);
  world.send(option(Option::go, test::info_request("disk")));
  EXPECT_EQ(world.offered.opened, 1);
  EXPECT_EQ(world.offered.last_client, "memory server");
}

TEST(SessionEnd, requests_with_the_device_are_waited_for_when_the_client_is_gone) {
  SessionWorld world;
  world.shake_hands();
  world.device.hold();
  world.send(write_request(1, 0, 4096, 3).add(request(read, 2, 0, 4096)));
  world.client->hang_up();
  world.settle();
  EXPECT_FALSE(world.session_ended()) << "its buffers are the device's";
  world.device.let_go();
  world.settle();
  EXPECT_TRUE(world.session_ended());
  EXPECT_EQ(world.buffers.bytes_out(), 0U);
}

TEST(SessionEnd, a_client_that_only_stopped_writing_gets_its_replies) {
  SessionWorld world;
  world.shake_hands();
  world.device.hold();
  world.send(request(read, 1, 0, 512));
  world.client->end_writing();
  world.device.let_go();
  world.settle();
  EXPECT_EQ(Heard(world.client->heard()).reply().data.size(), 512U);
  EXPECT_TRUE(world.session_ended());
}

TEST(SessionEnd, who_does_not_read_its_last_replies_is_closed_after_a_while) {
  SessionWorld world({.stream = {.capacity_bytes = 4096}});
  world.shake_hands();
  world.client->stop_listening();
  world.send(Bytes()
                 .add(request(read, 1, 0, 1U << 20U))
                 .add(request(read, 2, 0, 1U << 20U))
                 .add(request(read, 3, 0, 1U << 20U))
                 .add(request(disconnect, 4, 0, 0)));
  EXPECT_FALSE(world.session_ended());
  world.clock.advance(std::chrono::seconds(10));
  world.settle();
  EXPECT_TRUE(world.session_ended());
  EXPECT_EQ(world.buffers.bytes_out(), 0U);
}

TEST(SessionShutDown, answers_eshutdown_and_closes_when_the_rest_is_answered) {
  SessionWorld world;
  world.shake_hands();
  world.device.hold();
  world.send(write_request(1, 0, 512, 5));
  world.session->shut_down();
  world.send(write_request(2, 512, 512, 6).add(request(read, 3, 0, 512)));
  EXPECT_FALSE(world.session_ended());
  world.device.let_go();
  world.settle();
  EXPECT_TRUE(world.session_ended());
  Heard heard(world.client->heard());
  EXPECT_EQ(heard.reply().error, IoError::shutdown);
  EXPECT_EQ(heard.reply().error, IoError::shutdown);
  const Reply done = heard.reply();
  EXPECT_EQ(done.cookie, 1U);
  EXPECT_EQ(done.error, IoError::none);
  EXPECT_EQ(world.device.content()[0], std::byte{5});
  EXPECT_EQ(world.device.content()[512], std::byte{0});
}

// CVE-2024-7409 again: a client in its handshake must not keep a server from stopping.
TEST(SessionShutDown, ends_an_idle_connection_and_a_handshake_at_once) {
  SessionWorld idle;
  idle.shake_hands();
  idle.session->shut_down();
  idle.settle();
  EXPECT_TRUE(idle.session_ended());
  SessionWorld silent;
  silent.session->shut_down();
  silent.settle();
  EXPECT_TRUE(silent.session_ended());
}

}  // namespace
}  // namespace baton::nbd
