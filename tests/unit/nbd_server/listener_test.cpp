// Goal: a listener finds its address, survives what happens to sockets, knows its clients and sees
// them off. Method: real sockets and a real shard; the test waits for events, with a deadline only
// for the case that they never come.
#include "nbd_server/listener.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <thread>

#include "nbd_server/listening_socket.h"
#include "tests/support/nbd_bytes.h"
#include "tests/support/test_export.h"

namespace baton::nbd {
namespace {

namespace fs = std::filesystem;
using test::Bytes;

constexpr std::size_t go_answer_bytes = 2 * sizeof(OptionReplyHeader) + sizeof(InfoExport);

// A blocking client.
class Client {
 public:
  explicit Client(const Address& address) { connect_to(address); }
  void connect_to(const Address& address) {
    if (address.kind == Address::Kind::unix_socket) {
      sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
      address.path.copy(name.sun_path, sizeof name.sun_path - 1);
      connect(AF_UNIX, reinterpret_cast<const sockaddr*>(&name), sizeof name);
    } else {
      sockaddr_in name{};
      name.sin_family = AF_INET;
      name.sin_port = htons(address.port);
      name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      connect(AF_INET, reinterpret_cast<const sockaddr*>(&name), sizeof name);
    }
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  bool connected() const { return connected_; }
  void send(const Bytes& bytes) const {
    EXPECT_EQ(::send(fd_, bytes.get().data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // Waits for exactly so many bytes; fewer when the server closed.
  std::vector<std::byte> receive(std::size_t count) const {
    std::vector<std::byte> bytes(count);
    const ssize_t got = ::recv(fd_, bytes.data(), count, MSG_WAITALL);
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
  }
  void shake_hands() const {
    send(test::client_flags().add(test::option(Option::go, test::info_request("disk"))));
    constexpr std::size_t answer = sizeof(Greeting) + go_answer_bytes;
    EXPECT_EQ(receive(answer).size(), answer);
  }

 private:
  void connect(int family, const sockaddr* name, socklen_t size) {
    fd_ = ::socket(family, SOCK_STREAM, 0);
    timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = ::connect(fd_, name, size) == 0;
  }
  int fd_ = -1;
  bool connected_ = false;
};

// Takes all descriptors of this process but `left`, while it lives.
class FewDescriptors {
 public:
  explicit FewDescriptors(std::size_t left) {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit little{.rlim_cur = 64, .rlim_max = before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &little), 0);
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) taken_.push_back(fd);
    EXPECT_GE(taken_.size(), left);
    for (; left > 0 && !taken_.empty(); --left) {
      ::close(taken_.back());
      taken_.pop_back();
    }
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors() {
    for (const int fd : taken_) ::close(fd);
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0);
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

Task<> stop_listener(Listener& listener, Shard& shard) {
  co_await listener.stop(std::chrono::milliseconds(100));
  shard.stop();
}

class Listening : public testing::Test {
 protected:
  Listening() {
    std::string name = (fs::temp_directory_path() / "baton-listener-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
    exports_.add(disk_);
  }
  ~Listening() override {
    if (thread_.joinable()) stop();
    listener_.reset();
    fs::remove_all(directory_);
  }

  Address unix_address() const {
    return {.kind = Address::Kind::unix_socket, .path = directory_ / "s.sock"};
  }
  Result<> open(const Address& address, std::size_t connection_limit = 1024) {
    ListenerOptions options;
    options.connection_limit = connection_limit;
    options.log = [this](const std::string& line) { log_ += line + "\n"; };
    auto listener = Listener::open(shard_, address, exports_, options);
    if (!listener) return std::unexpected(listener.error());
    listener_ = std::move(*listener);
    listener_->accept();
    return {};
  }
  void run() {
    thread_ = std::thread([this] { shard_.run(); });
  }
  void stop() {
    shard_.post_from_outside([this] { tasks_.spawn(stop_listener(*listener_, shard_)); });
    thread_.join();
  }
  // After stop().
  std::size_t count_in_log(std::string_view words) const {
    std::size_t count = 0;
    for (auto at = log_.find(words); at != std::string::npos; at = log_.find(words, at + 1))
      ++count;
    return count;
  }
  std::vector<ClientStatus> clients() {
    std::promise<std::vector<ClientStatus>> answer;
    shard_.post_from_outside([&] { answer.set_value(listener_->clients()); });
    return answer.get_future().get();
  }

  fs::path directory_;
  Shard shard_;
  test::MemoryDevice device_{shard_.loop(), 1U << 20U};
  test::DeviceExport disk_{"disk", device_};
  ExportTable exports_;
  std::unique_ptr<Listener> listener_;
  Scope tasks_{shard_.loop()};
  std::thread thread_;
  std::string log_;
};

TEST_F(Listening, a_unix_client_is_known_by_its_process) {
  ASSERT_TRUE(open(unix_address()));
  run();
  const Client client(unix_address());
  client.shake_hands();
  const auto connected = clients();
  ASSERT_EQ(connected.size(), 1U);
  EXPECT_EQ(connected[0].client, "unix client, pid " + std::to_string(::getpid()));
  EXPECT_EQ(connected[0].export_name, "disk");
  EXPECT_EQ(disk_.last_client, connected[0].client);
}

TEST_F(Listening, a_tcp_client_is_known_by_its_address) {
  ASSERT_TRUE(open({.kind = Address::Kind::tcp, .host = "127.0.0.1", .port = 0}));
  EXPECT_NE(listener_->address().port, 0);
  run();
  const Client client(listener_->address());
  client.shake_hands();
  const auto connected = clients();
  ASSERT_EQ(connected.size(), 1U);
  EXPECT_TRUE(connected[0].client.starts_with("127.0.0.1:")) << connected[0].client;
}

TEST_F(Listening, stop_closes_idle_and_silent_clients_and_removes_the_socket_file) {
  ASSERT_TRUE(open(unix_address()));
  run();
  const Client idle(unix_address());
  idle.shake_hands();
  const Client silent(unix_address());  // CVE-2024-7409: it never says a word
  EXPECT_EQ(silent.receive(sizeof(Greeting)).size(), sizeof(Greeting));
  stop();
  EXPECT_TRUE(idle.receive(1).empty());
  EXPECT_TRUE(silent.receive(1).empty());
  EXPECT_FALSE(fs::exists(unix_address().path));
  EXPECT_NE(log_.find("the server is shutting down"), std::string::npos) << log_;
}

TEST_F(Listening, stop_waits_for_the_device_and_answers_it) {
  ASSERT_TRUE(open(unix_address()));
  run();
  const Client client(unix_address());
  client.shake_hands();
  std::promise<void> held;
  shard_.post_from_outside([&] {
    device_.hold();
    held.set_value();
  });
  held.get_future().wait();
  client.send(test::request(Command::flush, 7, 0, 0));
  while (clients()[0].requests_in_flight == 0) std::this_thread::yield();
  std::promise<void> stopping;
  shard_.post_from_outside([&] {
    tasks_.spawn(stop_listener(*listener_, shard_));
    stopping.set_value();
  });
  stopping.get_future().wait();
  client.send(test::request(Command::flush, 8, 0, 0));
  shard_.post_from_outside([&] { device_.let_go(); });
  thread_.join();
  const auto answered = client.receive(sizeof(SimpleReplyHeader));
  EXPECT_EQ(test::Heard(answered).reply().cookie, 7U);
  EXPECT_TRUE(client.receive(1).empty());
}

TEST_F(Listening, a_stale_socket_file_is_replaced) {
  {
    const auto left_behind = listen_at(unix_address());
    ASSERT_TRUE(left_behind);
    ::close(left_behind->descriptor);
  }
  ASSERT_TRUE(fs::exists(unix_address().path));
  ASSERT_TRUE(open(unix_address()));
  run();
  const Client client(unix_address());
  client.shake_hands();
}

TEST_F(Listening, a_live_socket_and_a_file_of_another_kind_are_left_alone) {
  ASSERT_TRUE(open(unix_address()));
  const auto second = listen_at(unix_address());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("another server accepts"), std::string::npos);
  const Address file{.kind = Address::Kind::unix_socket, .path = directory_ / "disk.img"};
  std::ofstream(file.path) << "precious";
  const auto third = listen_at(file);
  ASSERT_FALSE(third);
  EXPECT_NE(third.error().message.find("no socket"), std::string::npos);
  EXPECT_EQ(fs::file_size(file.path), 8U);
}

TEST_F(Listening, a_socket_file_has_the_owner_group_and_mode_that_were_given) {
  const std::string number = std::to_string(::getuid());
  const SocketAccess access{.owner = number, .group = std::to_string(::getgid()), .mode = 0622};
  const auto socket = listen_at(unix_address(), access);
  ASSERT_TRUE(socket) << socket.error().message;
  struct stat file{};
  ASSERT_EQ(::stat(unix_address().path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode, S_IFSOCK | 0622U);
  EXPECT_EQ(file.st_uid, ::getuid());
  EXPECT_EQ(file.st_gid, ::getgid());
  ::close(socket->descriptor);
}

TEST_F(Listening, nobody_connects_before_the_mode_is_set) {
  constexpr int rounds = 2000;
  std::atomic<int> round = 0;
  const auto file_of = [this](int number) {  // each has its own: what is looked at is what let in
    return Address{.path = directory_ / std::to_string(number)};
  };
  std::thread eager([&] {
    for (int now = round; now < rounds; now = round) {
      if (!Client(file_of(now)).connected()) continue;
      struct stat file{};
      ASSERT_EQ(::stat(file_of(now).path.c_str(), &file), 0);
      ASSERT_EQ(file.st_mode, S_IFSOCK | 0622U);
    }
  });
  for (; round < rounds; ++round) {
    const auto socket = listen_at(file_of(round), {.owner = {}, .group = {}, .mode = 0622});
    EXPECT_TRUE(socket);
    if (socket) ::close(socket->descriptor);
  }
  eager.join();
}

TEST_F(Listening, who_is_unknown_here_owns_no_socket_file_and_none_is_made) {
  const SocketAccess user{.owner = "no-such-one", .group = {}, .mode = {}};
  const SocketAccess group{.owner = {}, .group = "no-such-one", .mode = {}};
  const SocketAccess nobody{.owner = "4294967295", .group = {}, .mode = {}};  // chown(2): unchanged
  for (const auto& [access, who] :
       {std::pair(user, "user \"no-such-one\""), std::pair(group, "group \"no-such-one\""),
        std::pair(nobody, "user \"4294967295\"")}) {
    const auto socket = listen_at(unix_address(), access);
    ASSERT_FALSE(socket);
    EXPECT_EQ(socket.error().message,
              unix_address().text() + ": this host has no " + std::string(who));
    EXPECT_EQ(socket.error().exit_code, ExitCode::configuration);
    EXPECT_FALSE(fs::exists(unix_address().path));
  }
}

TEST_F(Listening, a_busy_port_and_an_unknown_host_are_told_by_name) {
  ASSERT_TRUE(open({.kind = Address::Kind::tcp, .host = "127.0.0.1", .port = 0}));
  const auto busy = listen_at(listener_->address());
  ASSERT_FALSE(busy);
  EXPECT_NE(busy.error().message.find(listener_->address().text()), std::string::npos);
  EXPECT_NE(busy.error().message.find("in use"), std::string::npos) << busy.error().message;
  EXPECT_FALSE(listen_at({.kind = Address::Kind::tcp, .host = "999.0.0.1", .port = 1}));
}

TEST_F(Listening, clients_over_the_limit_are_turned_away_and_the_others_stay) {
  ASSERT_TRUE(open(unix_address(), 2));
  run();
  const Client first(unix_address());
  first.shake_hands();
  Client second(unix_address());
  second.shake_hands();
  EXPECT_TRUE(Client(unix_address()).receive(1).empty());
  second.close();
  while (clients().size() == 2) std::this_thread::yield();
  Client(unix_address()).shake_hands();
  first.send(test::request(Command::flush, 1, 0, 0));
  EXPECT_EQ(first.receive(sizeof(SimpleReplyHeader)).size(), sizeof(SimpleReplyHeader));
}

TEST_F(Listening, a_full_house_of_working_clients_is_told_of_once) {
  ASSERT_TRUE(open(unix_address(), 1));
  run();
  Client working(unix_address());
  for (int round = 0; round < 2; ++round) {
    working.shake_hands();
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(Client(unix_address()).receive(1).empty());
    if (round == 1) break;
    working.close();
    while (!clients().empty()) std::this_thread::yield();
    working.connect_to(unix_address());
  }
  stop();
  EXPECT_EQ(count_in_log("was turned away, as others will be until one leaves: 1 clients"), 2U)
      << log_;
}

TEST_F(Listening, a_full_house_of_stalling_handshakes_lets_a_newcomer_in) {
  ASSERT_TRUE(open(unix_address(), 3));
  run();
  const Client working(unix_address());
  working.shake_hands();
  const Client longest(unix_address());
  EXPECT_EQ(longest.receive(sizeof(Greeting)).size(), sizeof(Greeting));
  const Client stalling(unix_address());
  EXPECT_EQ(stalling.receive(sizeof(Greeting)).size(), sizeof(Greeting));
  Client newcomer(unix_address());
  newcomer.shake_hands();
  EXPECT_TRUE(longest.receive(1).empty());
  // There is room for three again, and nobody else has lost anything.
  newcomer.close();
  while (clients().size() == 3) std::this_thread::yield();
  const Client next(unix_address());
  next.shake_hands();
  stalling.send(test::client_flags().add(test::option(Option::go, test::info_request("disk"))));
  EXPECT_EQ(stalling.receive(go_answer_bytes).size(), go_answer_bytes);
  EXPECT_TRUE(Client(unix_address()).receive(1).empty()) << "all have their handshake behind them";
  working.send(test::request(Command::flush, 1, 0, 0));
  EXPECT_EQ(working.receive(sizeof(SimpleReplyHeader)).size(), sizeof(SimpleReplyHeader));
  stop();
  EXPECT_EQ(count_in_log("its place was needed"), 1U) << log_;
  EXPECT_EQ(count_in_log("turned away"), 1U) << log_;
}

TEST_F(Listening, who_comes_and_goes_does_not_fill_the_house) {
  constexpr int many = 100;  // fewer than the kernel keeps waiting anywhere
  ASSERT_TRUE(open(unix_address(), many / 2));
  const Client patient(unix_address());
  for (int i = 0; i < many; ++i) const Client gone(unix_address());
  const Client last(unix_address());
  run();
  patient.shake_hands();
  last.shake_hands();
  stop();
  EXPECT_EQ(count_in_log("its place was needed") + count_in_log("turned away"), 0U) << log_;
}

TEST_F(Listening, a_stalling_handshake_gives_its_descriptor_to_a_newcomer) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer)
  GTEST_SKIP() << "UndefinedBehaviorSanitizer probes memory through a pipe, which it cannot make";
#endif
#endif
  ASSERT_TRUE(open(unix_address()));
  run();
  const Client stalling(unix_address());
  EXPECT_EQ(stalling.receive(sizeof(Greeting)).size(), sizeof(Greeting));
  const FewDescriptors few(1);  // for the newcomer's own end
  const Client newcomer(unix_address());
  newcomer.shake_hands();
  EXPECT_TRUE(stalling.receive(1).empty());
  stop();
  EXPECT_EQ(count_in_log("its place was needed"), 1U) << log_;
}

TEST_F(Listening, running_out_of_descriptors_is_survived) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer)
  GTEST_SKIP() << "UndefinedBehaviorSanitizer probes memory through a pipe, which it cannot make";
#endif
#endif
  ASSERT_TRUE(open(unix_address()));
  run();
  const Client first(unix_address());
  first.shake_hands();
  // The next client uses the only one: the accept finds none.
  std::optional<FewDescriptors> few(1);
  const Client starved(unix_address());
  EXPECT_TRUE(starved.connected());
  // Twice, so that an accept was tried in between.
  for (std::uint64_t cookie = 1; cookie <= 2; ++cookie) {
    first.send(test::request(Command::flush, cookie, 0, 0));
    EXPECT_EQ(first.receive(sizeof(SimpleReplyHeader)).size(), sizeof(SimpleReplyHeader));
  }
  few.reset();
  starved.shake_hands();
  stop();
  EXPECT_NE(log_.find("cannot accept clients at present"), std::string::npos) << log_;
}

Task<> end_disk(Listener& listener, std::promise<void>& done) {
  co_await listener.end_clients("disk", std::chrono::seconds(1));
  done.set_value();
}

TEST_F(Listening, one_exports_clients_can_be_ended_and_others_stay) {
  test::MemoryDevice other_device(shard_.loop(), 4096);
  test::DeviceExport other("other", other_device);
  exports_.add(other, ExportTable::Default::no);
  ASSERT_TRUE(open(unix_address()));
  run();
  const Client going(unix_address());
  going.shake_hands();
  const Client silent(unix_address());
  std::promise<void> done;
  shard_.post_from_outside([&] {
    exports_.remove(disk_);
    tasks_.spawn(end_disk(*listener_, done));
  });
  done.get_future().wait();
  EXPECT_TRUE(going.receive(1).empty());
  EXPECT_EQ(silent.receive(sizeof(Greeting)).size(), sizeof(Greeting));
  stop();
}

}  // namespace
}  // namespace baton::nbd
