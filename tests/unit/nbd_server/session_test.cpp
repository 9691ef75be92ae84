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
  EXPECT_EQ(reply.style, Style::simple);
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
  EXPECT_EQ(reply.style, Style::structured);
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
  EXPECT_EQ(status.extents, (test::Extents{{4096, hole}, {4096, 0}, {4096, hole}, {7712, 0}}));
  const Reply one = world.ask(request(block_status, 7, 4096, 20'000, command_req_one));
  EXPECT_EQ(one.extents.size(), 1U);
  EXPECT_EQ(world.ask(request(read, 8, 0, 0)).type, static_cast<int>(ChunkType::none));
  EXPECT_EQ(world.ask(write_request(9, 0, 0, 0)).error, IoError::none);
  EXPECT_EQ(world.ask(request(trim, 10, 0, 0)).error, IoError::none);
  EXPECT_EQ(world.ask(request(static_cast<Command>(99), 11, 0, 0)).error, IoError::invalid);
}

TEST(SessionContexts, each_selected_one_is_a_chunk_of_the_reply) {
  SessionWorld world({.has_copies = true});
  world.device.differing = {{8192, 4096}, {16'384, 8192}};
  world.send(test::client_flags()
                 .add(option(Option::structured_reply))
                 .add(option(Option::set_meta_context,
                             test::context_request("", {"base:allocation", "x-baton:out-of-sync"})))
                 .add(option(Option::go, test::info_request(""))));
  world.ask(write_request(1, 4096, 4096, 1));
  const Reply status = world.ask(request(block_status, 2, 0, 20'480));
  const std::uint32_t hole = status_hole | status_zero;
  EXPECT_EQ(status.style, Style::structured);
  EXPECT_EQ(status.extents, (test::Extents{{4096, hole}, {4096, 0}, {12'288, hole}}));
  EXPECT_EQ(status.out_of_sync, (test::Extents{{8192, 0}, {4096, 1}, {4096, 0}, {4096, 1}}));
  const Reply one = world.ask(request(block_status, 3, 8192, 20'480, command_req_one));
  EXPECT_EQ(one.extents, (test::Extents{{20'480, hole}}));
  EXPECT_EQ(one.out_of_sync, (test::Extents{{4096, 1}}));
  world.device.fail_next(IoError::io);
  EXPECT_EQ(world.ask(request(block_status, 4, 0, 512)).error, IoError::io);
}

TEST(SessionContexts, ours_alone_asks_nothing_else_of_the_device) {
  SessionWorld world({.has_copies = true});
  world.send(
      test::client_flags()
          .add(option(Option::structured_reply))
          .add(option(Option::set_meta_context, test::context_request("", {"x-baton:out-of-sync"})))
          .add(option(Option::go, test::info_request(""))));
  world.device.hold();
  world.send(request(block_status, 1, 0, 4096));
  ASSERT_EQ(world.device.submitted().size(), 1U);
  EXPECT_EQ(world.device.submitted().front()->op, blockdev::Op::sync_status);
  world.client->forget();
  world.device.let_go();
  world.settle();
  const Reply reply = Heard(world.client->heard()).reply();
  EXPECT_TRUE(reply.extents.empty());
  EXPECT_EQ(reply.out_of_sync, (test::Extents{{4096, 0}}));
}

using test::extended_request;

TEST_P(Session, extended_headers_are_answered_with_extended_headers) {
  SessionWorld world(pieces());
  world.shake_extended_hands();
  const auto expect_answer = [&](const Reply& reply, std::uint64_t offset, IoError error) {
    EXPECT_EQ(reply.style, Style::extended);
    EXPECT_EQ(reply.request_offset, offset);
    EXPECT_EQ(reply.error, error) << reply.message;
  };
  const Bytes written =
      extended_request(write, 1, 511, 10'000, command_payload_len).fill(10'000, 0x5a);
  expect_answer(world.ask(written), 511, IoError::none);
  const Reply data = world.ask(extended_request(read, 2, 600, 5000));
  expect_answer(data, 600, IoError::none);
  EXPECT_EQ(data.offset, 600U);
  EXPECT_EQ(data.data.size(), 5000U);
  EXPECT_TRUE(all(data.data, 0x5a));
  expect_answer(world.ask(extended_request(flush, 3, 0, 0)), 0, IoError::none);
  expect_answer(world.ask(extended_request(read, 4, 0, 0)), 0, IoError::none);
  expect_answer(world.ask(extended_request(trim, 5, 4096, 4096)), 4096, IoError::none);
  EXPECT_EQ(world.device.content()[4096], std::byte{0});
  const Reply status = world.ask(extended_request(block_status, 6, 0, 16'384));
  expect_answer(status, 0, IoError::none);
  EXPECT_EQ(status.extents, (test::Extents{{4096, 0}, {4096, 3}, {4096, 0}, {4096, 3}}));
  expect_answer(world.ask(extended_request(write, 7, 0, 512)), 0, IoError::invalid);
  // Payloads that nobody has a use for are skipped.
  for (const Command command : {read, trim, flush, write_zeroes, cache, static_cast<Command>(99)}) {
    const Bytes odd = extended_request(command, 8, 4096, 3000, command_payload_len).fill(3000, 1);
    expect_answer(world.ask(odd), 4096, IoError::invalid);
  }
  expect_answer(world.ask(extended_request(read, 9, 0, 512)), 0, IoError::none);
  world.send(extended_request(disconnect, 10, 0, 0));
  EXPECT_TRUE(world.session_ended());
}

TEST(SessionExtended, a_block_status_may_name_its_contexts) {
  SessionWorld world({.has_copies = true});
  world.device.differing = {{0, 4096}};
  world.shake_extended_hands();
  const auto ask = [&](std::uint64_t length, const std::vector<std::uint32_t>& ids) {
    Bytes payload = Bytes().u64(length);
    for (const std::uint32_t id : ids) payload.u32(id);
    return world.ask(
        extended_request(block_status, 1, 0, payload.size(), command_payload_len).add(payload));
  };
  const Reply sync = ask(8192, {2});
  EXPECT_TRUE(sync.extents.empty());
  EXPECT_EQ(sync.out_of_sync, (test::Extents{{4096, 1}, {4096, 0}}));
  const Reply both = ask(8192, {2, 1});
  EXPECT_EQ(both.extents, (test::Extents{{8192, 3}}));
  EXPECT_EQ(both.out_of_sync, (test::Extents{{4096, 1}, {4096, 0}}));
  EXPECT_EQ(ask(8192, {}).error, IoError::invalid);
  EXPECT_EQ(ask(8192, {3}).error, IoError::invalid);
  EXPECT_EQ(ask(8192, {1, 1}).error, IoError::invalid);
  EXPECT_EQ(ask(0, {1}).error, IoError::invalid);
  EXPECT_EQ(ask(8192, {1, 2, 1}).error, IoError::invalid);
  EXPECT_EQ(ask((1U << 20U) + 1, {1}).error, IoError::invalid);
  EXPECT_EQ(world.ask(extended_request(block_status, 2, 0, 8192)).error, IoError::none);
  EXPECT_EQ(world.buffers.bytes_out(), 0U);
}

// What the device does at a time stays bounded.
TEST(SessionExtended, what_is_longer_than_a_gibibyte_is_done_in_parts) {
  SessionWorld world;
  constexpr std::uint64_t gib = 1U << 30U;
  world.device.change_limits().size = 10 * gib;
  world.shake_extended_hands();
  for (const Command command : {trim, write_zeroes}) {
    world.device.hold();
    world.client->forget();
    world.send(extended_request(command, 1, 512, 2 * gib + 4096, command_fua));
    for (const std::uint64_t done : {std::uint64_t{0}, gib, 2 * gib}) {
      ASSERT_EQ(world.device.submitted().size(), 1U);
      const blockdev::Request& part = *world.device.submitted().front();
      EXPECT_EQ(part.offset, 512 + done);
      EXPECT_EQ(part.length, done == 2 * gib ? 4096 : gib);
      EXPECT_TRUE(part.flags.fua);
      EXPECT_TRUE(world.client->heard().empty());
      world.device.answer_without_doing();
      world.settle();
    }
    EXPECT_EQ(Heard(world.client->heard()).reply().error, IoError::none);
    // An error ends it.
    world.client->forget();
    world.send(extended_request(command, 2, 0, 3 * gib));
    world.device.fail_next(IoError::io);
    world.device.answer_without_doing();
    world.settle();
    EXPECT_EQ(Heard(world.client->heard()).reply().error, IoError::io);
    EXPECT_TRUE(world.device.submitted().empty());
    world.device.let_go();
  }
}

TEST(SessionExtended, nobody_means_a_payload_beyond_the_announced_maximum) {
  SessionWorld world;
  world.shake_extended_hands();
  world.send(extended_request(trim, 1, 0, payload_limit_bytes + 1UL, command_payload_len));
  EXPECT_TRUE(world.session_ended());
  SessionWorld other;
  other.shake_extended_hands();
  other.send(extended_request(write, 1, 0, UINT64_MAX, command_payload_len));
  EXPECT_TRUE(other.session_ended());
  EXPECT_EQ(other.session->reason(), "a request with 18446744073709551615 bytes behind it");
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
  EXPECT_EQ(reply.style, Style::simple);
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

TEST(SessionShutDown, answers_what_the_device_has_and_nothing_else_and_closes) {
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
  const Reply done = heard.reply();
  EXPECT_EQ(done.cookie, 1U);
  EXPECT_EQ(done.error, IoError::none);
  EXPECT_EQ(heard.left(), 0U) << "a client that comes back repeats what was not answered";
  EXPECT_EQ(world.device.content()[0], std::byte{5});
  EXPECT_EQ(world.device.content()[512], std::byte{0});
}

// An error would reach the guest; nothing makes its QEMU ask again.
TEST(SessionShutDown, does_not_tell_that_the_device_is_going_down) {
  SessionWorld world;
  world.shake_hands();
  world.device.hold();
  world.send(write_request(1, 0, 512, 5));
  world.session->shut_down();
  world.device.fail_next(IoError::shutdown, "the resource is going down");
  world.device.let_go();
  world.settle();
  EXPECT_TRUE(world.session_ended());
  EXPECT_TRUE(world.client->heard().empty());
}

TEST(SessionShutDown, does_not_wait_for_the_rest_of_a_write) {
  SessionWorld world;
  world.shake_hands();
  world.send(request(write, 1, 0, 8192).fill(5000, 0xee));
  world.session->shut_down();
  world.settle();
  EXPECT_TRUE(world.session_ended());
  EXPECT_TRUE(all(world.device.content(), 0));
  EXPECT_EQ(world.buffers.bytes_out(), 0U);
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
