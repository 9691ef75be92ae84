// Goal: whoever connects, the rest of the shard goes on. Method: a real shard, and clients that
// wait before it runs.
#include "control/daemon/acceptor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

namespace baton::control {
namespace {

namespace fs = std::filesystem;

// Counts how often it has had its turn.
struct Ticker final : Runnable {
  explicit Ticker(Loop& its_loop)
      : Runnable([](Runnable& self) {
          auto& ticker = static_cast<Ticker&>(self);
          ++ticker.turns;
          ticker.loop.post(ticker);
        }),
        loop(its_loop) {}
  Loop& loop;
  std::uint64_t turns = 0;
};

int connect_to(const std::string& path) {
  const int client = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  EXPECT_EQ(::connect(client, reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  return client;
}

TEST(Acceptor, everybody_else_has_a_turn_between_two_who_connect) {
  constexpr std::size_t many = 50;
  std::string directory = (fs::temp_directory_path() / "baton-acceptor-XXXXXX").string();
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  Shard shard;
  Ticker ticker(shard.loop());
  std::vector<std::uint64_t> accepted_at;
  const nbd::Address address{.path = directory + "/s"};
  const auto acceptor = Acceptor::open(shard, address, [&](std::unique_ptr<Stream> /*client*/) {
    accepted_at.push_back(ticker.turns);
    if (accepted_at.size() == many) shard.stop();
  });
  ASSERT_TRUE(acceptor) << acceptor.error().message;
  std::vector<int> clients;
  clients.reserve(many);
  for (std::size_t i = 0; i < many; ++i) clients.push_back(connect_to(address.path));
  shard.loop().post(ticker);
  shard.run();
  EXPECT_EQ(accepted_at.size(), many);
  EXPECT_EQ(std::ranges::adjacent_find(accepted_at), accepted_at.end());
  for (const int client : clients) ::close(client);
  fs::remove_all(directory);
}

}  // namespace
}  // namespace baton::control
