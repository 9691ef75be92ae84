// Goal: no client makes the server hold more than its limits (design §3, rule 10), and what is over
// a limit waits or fails and is never lost.
#include <gtest/gtest.h>

#include "tests/support/nbd_session_world.h"

namespace baton::nbd {
namespace {

using test::Bytes;
using test::Heard;
using test::request;
using test::SessionWorld;
using test::write_request;

using enum Command;

std::size_t count_replies(const std::vector<std::byte>& bytes, IoError error) {
  Heard heard(bytes);
  std::size_t count = 0;
  while (heard.left() > 0 && !heard.bad()) count += heard.reply().error == error ? 1 : 0;
  EXPECT_FALSE(heard.bad());
  return count;
}

TEST(Limits, requests_over_the_count_wait_in_the_socket) {
  SessionWorld world({.limits = {.transmission = {.in_flight_requests = 8}}});
  world.shake_hands();
  world.device.hold();
  Bytes pipeline;
  for (std::uint64_t i = 0; i < 100; ++i) pipeline.add(write_request(i, i * 512, 512, 1));
  world.send(pipeline);
  EXPECT_EQ(world.device.submitted().size(), 8U);
  EXPECT_EQ(world.session->requests_in_flight(), 8U);
  world.device.let_go();
  world.settle();
  EXPECT_EQ(count_replies(world.client->heard(), IoError::none), 100U);
}

TEST(Limits, bytes_in_flight_are_bounded) {
  SessionWorld world(
      {.size = 64U << 20U, .limits = {.transmission = {.in_flight_bytes = 4U << 20U}}});
  world.shake_hands();
  world.device.hold();
  Bytes pipeline;
  for (std::uint64_t i = 0; i < 16; ++i) pipeline.add(request(read, i, i << 20U, 1U << 20U));
  world.send(pipeline);
  EXPECT_EQ(world.device.submitted().size(), 4U);
  EXPECT_LE(world.session->bytes_in_flight(), 4U << 20U);
  world.device.let_go();
  world.settle();
  EXPECT_EQ(count_replies(world.client->heard(), IoError::none), 16U);
}

TEST(Limits, a_request_larger_than_the_limit_goes_through_alone) {
  SessionWorld world(
      {.size = 8U << 20U, .limits = {.transmission = {.in_flight_bytes = 1U << 20U}}});
  world.shake_hands();
  EXPECT_EQ(world.ask(request(read, 1, 0, 4U << 20U)).data.size(), 4U << 20U);
}

TEST(Limits, block_status_counts_for_what_its_answer_may_hold) {
  SessionWorld world;
  world.shake_hands();
  world.device.hold();
  Bytes pipeline;
  for (std::uint64_t i = 0; i < 1000; ++i) pipeline.add(request(block_status, i, 0, 4096));
  world.send(pipeline);
  EXPECT_LT(world.device.submitted().size(), 1000U);
  EXPECT_LE(world.session->bytes_in_flight(), 128U << 20U);
  world.device.let_go();
  world.settle();
  EXPECT_EQ(count_replies(world.client->heard(), IoError::none), 1000U);
}

TEST(Limits, an_empty_pool_means_waiting_while_something_of_ours_is_in_flight) {
  SessionWorld world({.pool_bytes = 16U << 10U});
  world.shake_hands();
  world.device.hold();
  Bytes pipeline;
  for (std::uint64_t i = 0; i < 50; ++i) pipeline.add(write_request(i, i * 4096, 4096, 1));
  world.send(pipeline);
  EXPECT_EQ(world.device.submitted().size(), 4U);
  world.device.let_go();
  world.settle();
  EXPECT_EQ(count_replies(world.client->heard(), IoError::none), 50U);
}

// An error would be the guest's.
TEST(Limits, an_empty_pool_with_nothing_in_flight_means_waiting_too) {
  SessionWorld world({.pool_bytes = 16U << 10U});
  world.shake_hands();
  Buffer others = world.buffers.take(16U << 10U);
  ASSERT_TRUE(others);
  world.send(write_request(1, 0, 4096, 1).add(request(read, 2, 0, 4096)));
  EXPECT_TRUE(world.client->heard().empty());
  others = Buffer();
  world.clock.advance(std::chrono::milliseconds(10));
  world.settle();
  EXPECT_EQ(count_replies(world.client->heard(), IoError::none), 2U);
}

TEST(Limits, a_stop_does_not_wait_for_an_empty_pool) {
  SessionWorld world({.pool_bytes = 16U << 10U});
  world.shake_hands();
  const Buffer others = world.buffers.take(16U << 10U);
  world.send(write_request(1, 0, 4096, 1));
  world.session->shut_down();
  world.clock.advance(std::chrono::milliseconds(10));
  world.settle();
  EXPECT_TRUE(world.session_ended());
}

TEST(Limits, all_clients_together_hold_no_more_than_their_budget) {
  SessionWorld world({.budget_bytes = 64U << 10U});
  world.shake_hands();
  ASSERT_TRUE(world.budget.take(60U << 10U));  // other clients
  world.send(write_request(1, 0, 8192, 1).add(request(flush, 2, 0, 0)));
  EXPECT_TRUE(world.client->heard().empty());
  EXPECT_EQ(world.buffers.bytes_out(), 0U);
  world.budget.give(60U << 10U);
  world.settle();
  EXPECT_EQ(count_replies(world.client->heard(), IoError::none), 2U);
  EXPECT_EQ(world.budget.bytes_out(), 0U);
}

// Another client of the shard, that waits for memory.
class SomebodyElse {
 public:
  explicit SomebodyElse(SessionWorld& world) : world_(world), waiting_(world.loop) {
    waiting_.spawn(wait(*this));
    world.settle();
  }
  ~SomebodyElse() {
    if (served_) world_.budget.give(bytes);
  }
  SomebodyElse(const SomebodyElse&) = delete;
  SomebodyElse& operator=(const SomebodyElse&) = delete;
  bool served() const { return served_; }

 private:
  static constexpr std::size_t bytes = 8192;
  static Task<> wait(SomebodyElse& self) {
    self.served_ = co_await self.world_.budget.acquire(bytes, 0, self.gone_);
  }
  SessionWorld& world_;
  bool gone_ = false;
  bool served_ = false;
  Scope waiting_;
};

// Whoever stops in the middle of a write while others wait.
TEST(Limits, a_client_that_stops_in_a_write_is_ended_when_others_need_its_memory) {
  SessionWorld world({.budget_bytes = 64U << 10U});
  world.shake_hands();
  world.send(request(write, 1, 0, 60'000).fill(100, 1));
  world.clock.advance(std::chrono::minutes(10));
  world.settle();
  EXPECT_FALSE(world.session_ended()) << "nobody needs it";
  SomebodyElse other(world);
  world.settle();
  EXPECT_TRUE(world.session_ended());
  EXPECT_EQ(world.session->reason(),
            "it stopped in the middle of a write while others need the memory");
  EXPECT_TRUE(other.served());
}

TEST(Limits, a_client_whose_write_goes_on_keeps_its_memory_however_slow_it_is) {
  SessionWorld world({.budget_bytes = 64U << 10U});
  world.shake_hands();
  world.send(request(write, 1, 0, 60'000));
  SomebodyElse other(world);
  for (int i = 0; i < 60; ++i) {
    EXPECT_FALSE(other.served());
    world.clock.advance(std::chrono::milliseconds(900));
    world.send(Bytes().fill(1000, 7));
  }
  EXPECT_EQ(Heard(world.client->heard()).reply().error, IoError::none);
  world.settle();
  EXPECT_TRUE(other.served());
}

TEST(Limits, a_client_that_reads_no_replies_is_ended_when_others_need_its_memory) {
  SessionWorld world({.budget_bytes = 1U << 20U, .stream = {.capacity_bytes = 4096}});
  world.shake_hands();
  world.client->stop_listening();
  world.send(request(read, 1, 0, 1U << 20U));
  SomebodyElse other(world);
  world.clock.advance(std::chrono::seconds(9));
  world.settle();
  EXPECT_FALSE(world.session_ended());
  world.clock.advance(std::chrono::seconds(3));
  world.settle();
  EXPECT_TRUE(world.session_ended());
  EXPECT_TRUE(other.served());
}

TEST(Limits, a_client_that_stops_reading_stops_being_served) {
  SessionWorld world({.stream = {.capacity_bytes = 64U << 10U},
                      .limits = {.transmission = {.in_flight_bytes = 4U << 20U}}});
  world.shake_hands();
  world.client->stop_listening();
  Bytes pipeline;
  for (std::uint64_t i = 0; i < 100; ++i) pipeline.add(request(read, i, 0, 1U << 20U));
  world.send(pipeline);
  EXPECT_LE(world.buffers.bytes_out(), 5U << 20U);
  world.client->start_listening();
  world.settle();
  EXPECT_EQ(count_replies(world.client->heard(), IoError::none), 100U);
}

// How far a client gets is seen write by write.
TEST(Batching, large_replies_leave_a_mebibyte_at_a_time) {
  SessionWorld world({.size = 8U << 20U, .stream = {.capacity_bytes = 16U << 20U}});
  world.shake_hands();
  const std::size_t before = world.server_stream->writes;
  Bytes pipeline;
  for (std::uint64_t i = 0; i < 8; ++i) pipeline.add(request(read, i, 0, 600U << 10U));
  world.send(pipeline);
  EXPECT_EQ(count_replies(world.client->heard(), IoError::none), 8U);
  EXPECT_EQ(world.server_stream->writes - before, 8U);
}

TEST(Batching, replies_that_become_ready_together_leave_in_one_write) {
  SessionWorld world;
  world.shake_hands();
  const std::size_t before = world.server_stream->writes;
  Bytes pipeline;
  for (std::uint64_t i = 0; i < 16; ++i) pipeline.add(request(read, i, i * 4096, 4096));
  world.send(pipeline);
  EXPECT_EQ(count_replies(world.client->heard(), IoError::none), 16U);
  EXPECT_EQ(world.server_stream->writes - before, 1U);
}

}  // namespace
}  // namespace baton::nbd
