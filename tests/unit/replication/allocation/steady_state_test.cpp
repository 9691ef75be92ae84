// Goal: in a steady state a replicated write allocates nothing, on neither node, from its arrival
// at the NBD server to its reply. Method: two engines joined in memory on one loop, an NBD session
// on the Primary's export, and a program that counts every malloc and operator new. Not for the
// sanitizers, which replace them, too.
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "tests/support/count_mallocs.h"
#include "tests/support/engine_host.h"
#include "tests/support/nbd_burst.h"
#include "tests/support/nbd_session_world.h"

namespace baton::replication {
namespace {

using test::Bytes;
using test::write_request;

constexpr std::uint64_t disk_bytes = 4U << 20U;

class ReplicatedWrite : public testing::TestWithParam<Protocol> {
 protected:
  void settle() {
    while (loop_.run_turn()) {
    }
  }
  // Virtual time passes until it is true.
  void wait_for(const std::function<bool()>& done) {
    settle();
    for (int i = 0; i < 10'000 && !done(); ++i) {
      clock_.advance(std::chrono::milliseconds(1));
      settle();
    }
    ASSERT_TRUE(done());
  }
  void perform(Task<Result<>> verb) {
    std::optional<Result<>> result;
    Scope scope(loop_);
    scope.spawn([](Task<Result<>> task, std::optional<Result<>>& into) -> Task<> {
      into.emplace(co_await std::move(task));
    }(std::move(verb), result));
    wait_for([&] { return result.has_value(); });
    ASSERT_TRUE(*result) << result->error().message;
  }
  void start_pair() {
    Scope scope(loop_);
    scope.spawn(alpha_.make_disks());
    scope.spawn(beta_.make_disks());
    settle();
    alpha_.meet(beta_);
    beta_.meet(alpha_);
    perform(alpha_.resource().up());
    perform(beta_.resource().up());
    perform(alpha_.resource().promote({.force = true, .confirmed = true}));
    wait_for([&] { return alpha_.in_sync() && beta_.in_sync(); });
  }
  void stop_pair() {
    perform(alpha_.resource().down());
    perform(beta_.resource().down());
  }

  Loop loop_;
  test::VirtualClock clock_;
  BufferPool buffers_{64U << 20U};
  static ResourceConfig config() {
    ResourceConfig config;
    config.volumes = {{disk_bytes}};
    config.protocol = GetParam();
    return config;
  }
  test::EngineHost alpha_{loop_, clock_, buffers_, "alpha", config()};
  test::EngineHost beta_{loop_, clock_, buffers_, "beta", config()};
};

TEST_P(ReplicatedWrite, allocates_nothing_on_either_node) {
  ASSERT_NO_FATAL_FAILURE(start_pair());
  auto device = alpha_.resource().open(0, {"a client"});
  ASSERT_TRUE(device) << device.error().message;
  {
    test::DeviceExport offered("vm1", **device);
    nbd::ExportTable exports;
    exports.add(offered);
    auto [client, server] = test::MemoryStream::make_pair(loop_, {.capacity_bytes = 4U << 20U});
    nbd::MemoryBudget budget(loop_, clock_, buffers_.limit_bytes() / 2);
    nbd::Session session({loop_, clock_, buffers_, budget}, std::move(server), exports, {});
    Scope tasks(loop_);
    tasks.spawn(session.run());
    const Bytes hello =
        test::client_flags().add(test::option(nbd::Option::go, test::info_request("vm1")));
    test::Burst handshake(
        loop_, *client, hello,
        sizeof(nbd::Greeting) + 2 * sizeof(nbd::OptionReplyHeader) + sizeof(nbd::InfoExport));
    ASSERT_TRUE(handshake.run());

    // Blocks and large pieces, some durable, some overlapping others in flight, and flushes.
    constexpr std::uint64_t rounds = 8;
    constexpr std::uint64_t kinds = 5;
    Bytes bytes;
    for (std::uint64_t i = 0; i < rounds; ++i) {
      bytes.add(write_request(i, i * 4096, 4096, 1))
          .add(write_request(i, 1U << 20U, 4096, 2))
          .add(write_request(i, i * 4096 + 512, 1024, 3, nbd::command_fua))
          .add(write_request(i, 2U << 20U, 128U << 10U, 4))
          .add(test::request(nbd::Command::flush, i, 0, 0));
    }
    test::Burst burst(loop_, *client, bytes, rounds * kinds * sizeof(nbd::SimpleReplyHeader));
    // Long enough that the pools have seen the deepest overlap there is.
    for (int warm_up = 0; warm_up < 300; ++warm_up) ASSERT_TRUE(burst.run());

    constexpr int bursts = 500;
    const std::uint64_t sent = alpha_.resource().status().bytes_replicated;
    const std::uint64_t before = tests::mallocs();
    bool answered = true;
    for (int i = 0; i < bursts; ++i) answered = answered && burst.run();
    const std::uint64_t after = tests::mallocs();
    EXPECT_TRUE(answered);
    EXPECT_EQ(after - before, 0U) << "in " << bursts * rounds * kinds << " requests";
    // They did go to the other node.
    EXPECT_GT(alpha_.resource().status().bytes_replicated - sent,
              bursts * rounds * (4096U + 4096U + 1024U + (128U << 10U)));
    client->close();
    settle();
  }
  device->reset();
  stop_pair();
}

INSTANTIATE_TEST_SUITE_P(
    Protocols, ReplicatedWrite, testing::Values(Protocol::a, Protocol::b, Protocol::c),
    [](const auto& info) {
      return std::string(info.param == Protocol::a ? "a" : info.param == Protocol::b ? "b" : "c");
    });

}  // namespace
}  // namespace baton::replication
