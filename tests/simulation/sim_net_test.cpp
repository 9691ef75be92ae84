// Goal: simulated links behave as TCP does towards two processes: in order, bounded, and with every
// way to lose the other side.
#include "tests/simulation/sim_net.h"

#include <gtest/gtest.h>

#include <numeric>

namespace baton::sim {
namespace {

using replication::Link;

class Net : public testing::Test {
 protected:
  void make(std::uint64_t seed, NetModel model = {}) {
    world_ = std::make_unique<World>(seed);
    a_ = std::make_unique<Process>(*world_, 0, std::chrono::seconds(5));
    b_ = std::make_unique<Process>(*world_, 1, std::chrono::seconds(77));
    net_ = std::make_unique<SimNet>(*world_, 2, model);
    net_->listen(
        1, *b_,
        [](void* context, Link link) { static_cast<Net*>(context)->at_b_ = std::move(link); },
        this);
    scope_ = std::make_unique<Scope>(a_->loop());
  }
  void TearDown() override {
    scope_.reset();
    at_a_.reset();
    at_b_.reset();
    net_.reset();
  }

  static Task<> dial(Net& test) {
    const TimePoint deadline = test.a_->now() + std::chrono::seconds(6);
    auto link = co_await test.net_->dial(*test.a_, 1, deadline);
    if (link) {
      test.at_a_ = std::move(*link);
    } else {
      test.refusal_ = link.error().message;
    }
    test.dialled_ = true;
  }
  void connect() {
    scope_->spawn(dial(*this));
    world_->run_for(std::chrono::seconds(10));
  }

  struct Reading : ReadOperation {
    bool done = false;
    std::vector<std::byte> room = std::vector<std::byte>(1000);
  };
  struct Writing : WriteOperation {
    bool done = false;
    std::vector<std::byte> data;
    iovec part{};
  };
  static void start(Stream& stream, Reading& reading) {
    reading.done = false;
    reading.buffer = reading.room;
    reading.on_complete(
        [](Operation& operation) { static_cast<Reading*>(operation.context())->done = true; },
        &reading);
    stream.read(reading);
  }
  static void start(Stream& stream, Writing& writing, std::size_t bytes) {
    writing.done = false;
    writing.data.resize(bytes);
    for (std::size_t i = 0; i < bytes; ++i) writing.data[i] = static_cast<std::byte>(i * 7 % 251);
    writing.part = {writing.data.data(), bytes};
    writing.buffers = {&writing.part, 1};
    writing.on_complete(
        [](Operation& operation) { static_cast<Writing*>(operation.context())->done = true; },
        &writing);
    stream.write(writing);
  }
  // Everything that arrives at `stream` until nothing more does.
  std::vector<std::byte> drain(Stream& stream) {
    std::vector<std::byte> all;
    while (true) {
      start(stream, reading_);
      world_->run_for(std::chrono::seconds(30));
      if (!reading_.done || reading_.error != StreamError::none) return all;
      all.insert(all.end(), reading_.room.begin(),
                 reading_.room.begin() + static_cast<std::ptrdiff_t>(reading_.transferred));
    }
  }

  std::unique_ptr<World> world_;
  std::unique_ptr<Process> a_, b_;
  std::unique_ptr<SimNet> net_;
  std::unique_ptr<Scope> scope_;
  Link at_a_, at_b_;
  Reading reading_;
  std::string refusal_;
  bool dialled_ = false;
};

TEST_F(Net, carries_bytes_in_order_through_small_buffers) {
  NetModel model;
  model.buffer_bytes = 700;
  model.segment_max = 90;
  make(1, model);
  connect();
  ASSERT_TRUE(at_a_ && at_b_);
  Writing writing;
  start(*at_a_, writing, 50'000);
  EXPECT_EQ(drain(*at_b_), writing.data);
  EXPECT_TRUE(writing.done);
}

TEST_F(Net, holds_a_writer_back_whose_reader_is_slow) {
  NetModel model;
  model.buffer_bytes = 700;
  make(2, model);
  connect();
  Writing writing;
  start(*at_a_, writing, 5000);
  world_->run_for(std::chrono::seconds(60));
  EXPECT_FALSE(writing.done);
  drain(*at_b_);
  EXPECT_TRUE(writing.done);
}

TEST_F(Net, is_late_in_one_direction_and_stays_in_order) {
  make(20);
  connect();
  net_->slow(0, 1, {.delay = std::chrono::seconds(20)});
  Writing late;
  start(*at_a_, late, 3000);
  start(*at_b_, reading_);
  world_->run_for(std::chrono::seconds(19));
  EXPECT_FALSE(reading_.done);
  Writing back;
  start(*at_b_, back, 10);
  Reading at_once;
  start(*at_a_, at_once);
  world_->run_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(at_once.done) << "the other direction is not late";
  // What follows on a healed path comes behind what was late.
  net_->heal(0, 1);
  Writing next;
  start(*at_a_, next, 3000);
  world_->run_for(std::chrono::milliseconds(10));
  ASSERT_TRUE(reading_.done);
  std::vector<std::byte> all(
      reading_.room.begin(),
      reading_.room.begin() + static_cast<std::ptrdiff_t>(reading_.transferred));
  const auto rest = drain(*at_b_);
  all.insert(all.end(), rest.begin(), rest.end());
  std::vector<std::byte> expected = late.data;
  expected.insert(expected.end(), next.data.begin(), next.data.end());
  EXPECT_EQ(all, expected);
}

TEST_F(Net, carries_so_many_bytes_a_second) {
  make(21);
  connect();
  net_->slow(0, 1, {.bytes_per_second = 1000});
  Writing writing;
  start(*at_a_, writing, 5000);
  const TimePoint before = world_->now();
  std::size_t arrived = 0;
  while (arrived < 5000) {
    start(*at_b_, reading_);
    const bool came =
        world_->run_while_waiting([&] { return reading_.done; }, std::chrono::seconds(60));
    ASSERT_TRUE(came);
    arrived += reading_.transferred;
  }
  EXPECT_GE(world_->now() - before, std::chrono::milliseconds(4900));
  EXPECT_LE(world_->now() - before, std::chrono::milliseconds(5500));
}

TEST_F(Net, tells_the_other_end_of_a_half_open_connection_when_it_speaks) {
  make(22);
  connect();
  start(*at_b_, reading_);
  net_->half_open(0, 1);
  world_->run_for(std::chrono::hours(1));
  EXPECT_FALSE(reading_.done) << "it still believes";
  Writing word;
  start(*at_b_, word, 10);
  world_->run_for(std::chrono::seconds(1));
  EXPECT_TRUE(reading_.done);
  EXPECT_EQ(reading_.error, StreamError::broken);
}

TEST_F(Net, loses_nothing_in_a_cut_that_heals_before_anybody_gives_up) {
  make(3);
  connect();
  net_->cut(0, 1, Cut::silence);
  Writing writing;
  start(*at_a_, writing, 3000);
  start(*at_b_, reading_);
  world_->run_for(std::chrono::seconds(60));
  EXPECT_FALSE(reading_.done);
  net_->heal(0, 1);
  world_->run_for(std::chrono::seconds(1));
  ASSERT_TRUE(reading_.done);
  EXPECT_EQ(reading_.error, StreamError::none);
}

TEST_F(Net, cuts_one_direction_only) {
  make(4);
  connect();
  net_->cut(0, 1, Cut::one_way);
  Writing there;
  Writing back;
  start(*at_a_, there, 10);
  start(*at_b_, back, 10);
  Reading at_a;
  Reading at_b;
  start(*at_a_, at_a);
  start(*at_b_, at_b);
  world_->run_for(std::chrono::seconds(5));
  EXPECT_TRUE(at_a.done);
  EXPECT_FALSE(at_b.done);
  at_b_->close();
  world_->run_for(std::chrono::seconds(1));
}

TEST_F(Net, resets_both_ends_and_refuses_until_healed) {
  make(5);
  connect();
  start(*at_a_, reading_);
  net_->cut(0, 1, Cut::reset);
  world_->run_for(std::chrono::seconds(1));
  EXPECT_EQ(reading_.error, StreamError::broken);
  at_a_.reset();
  connect();
  EXPECT_FALSE(at_a_);
  EXPECT_FALSE(refusal_.empty());
  net_->heal(0, 1);
  connect();
  EXPECT_TRUE(at_a_);
}

TEST_F(Net, tells_the_reader_that_the_other_side_closed_after_the_last_byte) {
  make(6);
  connect();
  Writing writing;
  start(*at_a_, writing, 2500);
  world_->run_for(std::chrono::milliseconds(10));
  at_a_.reset();
  EXPECT_EQ(drain(*at_b_), writing.data);
  EXPECT_EQ(reading_.error, StreamError::end_of_stream);
}

TEST_F(Net, completes_what_is_in_progress_when_closed) {
  make(7);
  connect();
  start(*at_b_, reading_);
  at_b_->close();
  EXPECT_FALSE(reading_.done) << "never inside close()";
  world_->run_for(std::chrono::seconds(1));
  EXPECT_TRUE(reading_.done);
  EXPECT_EQ(reading_.error, StreamError::closed);
}

TEST_F(Net, delivers_a_prefix_at_most_of_what_a_killed_process_had_sent) {
  std::size_t whole = 0;
  std::size_t cut = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    make(seed);
    connect();
    Writing writing;
    start(*at_b_, writing, 3000);
    net_->process_killed(1);
    at_b_.reset();
    const auto got = drain(*at_a_);
    ASSERT_LE(got.size(), writing.data.size());
    EXPECT_TRUE(std::equal(got.begin(), got.end(), writing.data.begin()));
    EXPECT_NE(reading_.error, StreamError::none) << "the end of the process is heard of";
    ++(got.size() == writing.data.size() ? whole : cut);
    TearDown();
  }
  EXPECT_GT(whole, 5U);
  EXPECT_GT(cut, 5U);
}

TEST_F(Net, is_silent_after_a_power_cut_and_resets_when_the_host_is_back) {
  make(8);
  connect();
  net_->process_killed(1);
  at_b_.reset();
  net_->power_cut(1);
  Writing writing;
  start(*at_a_, writing, 100);
  start(*at_a_, reading_);
  world_->run_for(std::chrono::seconds(100));
  EXPECT_FALSE(reading_.done);
  net_->host_is_up(1);
  world_->run_for(std::chrono::seconds(1));
  ASSERT_TRUE(reading_.done);
  EXPECT_EQ(reading_.error, StreamError::broken);
}

TEST_F(Net, refuses_to_dial_a_dead_process_at_once_and_a_dead_host_at_the_deadline) {
  make(9);
  net_->process_killed(1);
  scope_->spawn(dial(*this));
  world_->run_for(std::chrono::milliseconds(100));
  EXPECT_TRUE(dialled_);
  dialled_ = false;
  net_->power_cut(1);
  scope_->spawn(dial(*this));
  world_->run_for(std::chrono::seconds(5));
  EXPECT_FALSE(dialled_);
  world_->run_for(std::chrono::seconds(2));
  EXPECT_TRUE(dialled_);
  EXPECT_FALSE(at_a_);
}

TEST_F(Net, does_not_reach_a_paused_process_before_it_wakes) {
  make(10);
  connect();
  b_->pause(true);
  start(*at_b_, reading_);
  Writing writing;
  start(*at_a_, writing, 100);
  world_->run_for(std::chrono::seconds(600));
  EXPECT_FALSE(reading_.done);
  b_->pause(false);
  world_->run_for(std::chrono::seconds(1));
  EXPECT_TRUE(reading_.done);
}

}  // namespace
}  // namespace baton::sim
