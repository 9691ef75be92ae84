// Goal: what TlsStream and Credentials promise, over a stream in memory: the same bytes in the same
// order whatever pieces they come in, who is believed, and how each thing ends.
#include "base/tls/tls_stream.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>

#include "tests/support/memory_stream.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_authority.h"

namespace baton::tls {
namespace {

using test::MemoryStream;
using test::MemoryStreamOptions;
using test::TemporaryFolder;
using test::TestAuthority;
using Shared = std::shared_ptr<const Credentials>;

std::vector<std::byte> some_bytes(std::size_t size, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// Two ends of one connection.
struct Pair {
  explicit Pair(const Shared& server_has, const Shared& client_has,
                const MemoryStreamOptions& options = {}) {
    auto [client_end, server_end] = MemoryStream::make_pair(loop, options);
    wire_to_server = client_end.get();
    client.emplace(loop, std::move(client_end), client_has, Side::dialled);
    server.emplace(loop, std::move(server_end), server_has, Side::accepted);
    tasks.spawn(accept());
    tasks.spawn(dial());
    settle();
  }

  void settle() {
    while (!loop.idle()) loop.run_turn();
  }
  Task<> accept() {
    server_agreed = co_await server->shake_hands();
    if (!*server_agreed) {
      server->close();
      co_return;
    }
    // Speaks first, as a server does.
    const std::byte hello{'!'};
    const iovec part{const_cast<std::byte*>(&hello), 1};
    WriteOperation write;
    write.buffers = {&part, 1};
    co_await write_all(*server, write);
  }
  Task<> dial() {
    client_agreed = co_await client->shake_hands();
    if (!*client_agreed) {
      client->close();
      co_return;
    }
    std::byte hello{};
    ReadOperation read;
    read.buffer = {&hello, 1};
    co_await read_some(*client, read);
  }

  Task<> send(TlsStream& from, std::vector<std::vector<std::byte>> parts, bool& sent) {
    std::vector<iovec> buffers;
    buffers.reserve(parts.size());
    for (auto& part : parts) buffers.push_back({part.data(), part.size()});
    WriteOperation write;
    write.buffers = buffers;
    co_await write_all(from, write);
    sent = write.error == StreamError::none;
  }
  Task<> receive(TlsStream& at, std::size_t size, std::vector<std::byte>& into) {
    std::vector<std::byte> chunk(100'000);
    ReadOperation read;
    while (into.size() < size) {
      read.buffer = {chunk.data(), std::min<std::size_t>(chunk.size() / 2, size - into.size())};
      read.second_buffer = {};
      if (size - into.size() > chunk.size()) {
        read.second_buffer = {chunk.data() + chunk.size() / 2, chunk.size() / 2};
      }
      co_await read_some(at, read);
      ended = read.error;
      if (read.error != StreamError::none) co_return;
      const auto first =
          static_cast<std::ptrdiff_t>(std::min(read.transferred, read.buffer.size()));
      into.insert(into.end(), chunk.begin(), chunk.begin() + first);
      const auto rest = static_cast<std::ptrdiff_t>(read.transferred) - first;
      const auto second = chunk.begin() + static_cast<std::ptrdiff_t>(chunk.size() / 2);
      into.insert(into.end(), second, second + rest);
    }
  }
  // What a read at `at` ends with.
  StreamError next_end(TlsStream& at) {
    std::vector<std::byte> nothing;
    tasks.spawn(receive(at, 1, nothing));
    settle();
    return ended;
  }

  Loop loop;
  MemoryStream* wire_to_server = nullptr;
  std::optional<TlsStream> client;
  std::optional<TlsStream> server;
  std::optional<Result<>> client_agreed;
  std::optional<Result<>> server_agreed;
  StreamError ended = StreamError::none;
  Scope tasks{loop};
};

struct Sizes {
  std::vector<std::size_t> parts;
  std::size_t piece = SIZE_MAX;
};

class TlsStreamSizes : public testing::TestWithParam<Sizes> {};

TEST_P(TlsStreamSizes, what_is_written_is_read_in_both_directions_at_once) {
  const auto secret = Credentials::for_secret("of both");
  Pair pair(secret, secret, {.piece_bytes = GetParam().piece});
  ASSERT_TRUE(pair.server_agreed.value()) << pair.server_agreed->error().message;
  ASSERT_TRUE(pair.client_agreed.value()) << pair.client_agreed->error().message;
  std::vector<std::vector<std::byte>> parts;
  std::vector<std::byte> all;
  for (const std::size_t size : GetParam().parts) {
    parts.push_back(some_bytes(size, static_cast<unsigned>(parts.size())));
    all.insert(all.end(), parts.back().begin(), parts.back().end());
  }
  bool to_server = false;
  bool to_client = false;
  std::vector<std::byte> at_server;
  std::vector<std::byte> at_client;
  pair.tasks.spawn(pair.send(*pair.client, parts, to_server));
  pair.tasks.spawn(pair.send(*pair.server, parts, to_client));
  pair.tasks.spawn(pair.receive(*pair.server, all.size(), at_server));
  pair.tasks.spawn(pair.receive(*pair.client, all.size(), at_client));
  pair.settle();
  EXPECT_TRUE(to_server);
  EXPECT_TRUE(to_client);
  EXPECT_EQ(at_server, all);
  EXPECT_EQ(at_client, all);
}

INSTANTIATE_TEST_SUITE_P(
    All, TlsStreamSizes,
    testing::Values(Sizes{{1}}, Sizes{{1}, 1}, Sizes{{16}, 7}, Sizes{{16, 4096}},
                    Sizes{{16383, 1, 1}}, Sizes{{16384}}, Sizes{{16385}}, Sizes{{0, 5, 0, 7, 0}},
                    Sizes{{32768, 16384, 1}}, Sizes{std::vector<std::size_t>(256, 4112)},
                    Sizes{{16, 1U << 20U, 16, 3U << 20U}}, Sizes{{16, 100'000, 16}, 29}),
    [](const auto& info) { return "case_" + std::to_string(info.index); });

TEST(TlsStream, an_end_with_a_farewell_is_an_end_and_one_without_is_not) {
  const auto secret = Credentials::for_secret("of both");
  Pair orderly(secret, secret);
  ASSERT_TRUE(orderly.server_agreed.value());
  orderly.client->close();
  EXPECT_EQ(orderly.next_end(*orderly.server), StreamError::end_of_stream);

  Pair cut(secret, secret);
  cut.wire_to_server->close();
  EXPECT_EQ(cut.next_end(*cut.server), StreamError::broken);
}

TEST(TlsStream, what_was_changed_on_the_way_is_never_read) {
  const auto secret = Credentials::for_secret("of both");
  Pair pair(secret, secret);
  // A record of application data with a tag that nobody made.
  std::vector<std::byte> forged = some_bytes(5 + 64);
  const unsigned char head[] = {23, 3, 3, 0, 64};
  std::memcpy(forged.data(), head, sizeof head);
  const iovec part{forged.data(), forged.size()};
  WriteOperation write;
  write.on_complete([](Operation&) {}, nullptr);
  write.buffers = {&part, 1};
  pair.wire_to_server->write(write);
  EXPECT_EQ(pair.next_end(*pair.server), StreamError::broken);
  EXPECT_EQ(pair.next_end(*pair.server), StreamError::broken) << "and once more";
}

TEST(TlsStream, a_closed_stream_ends_what_is_under_way) {
  const auto secret = Credentials::for_secret("of both");
  Pair pair(secret, secret, {.capacity_bytes = 4096});
  std::vector<std::byte> nothing;
  bool sent = true;
  pair.tasks.spawn(pair.receive(*pair.server, 1, nothing));
  pair.tasks.spawn(pair.send(*pair.server, {some_bytes(1U << 20U)}, sent));
  pair.settle();
  pair.server->close();
  pair.server->close();
  pair.settle();
  EXPECT_EQ(pair.ended, StreamError::closed);
  EXPECT_FALSE(sent);
  EXPECT_EQ(pair.next_end(*pair.server), StreamError::closed);
  pair.tasks.spawn(pair.send(*pair.server, {some_bytes(1)}, sent = true));
  pair.settle();
  EXPECT_FALSE(sent);
}

TEST(TlsStream, a_secret_has_to_be_the_same) {
  Pair pair(Credentials::for_secret("one"), Credentials::for_secret("another"));
  EXPECT_EQ(pair.server_agreed->error().message, "its pre-shared key is another one");
  EXPECT_TRUE(pair.client_agreed->error().message.starts_with("it does not accept us"));
}

TEST(TlsStream, who_does_not_speak_tls_is_told_from_who_does) {
  Loop loop;
  auto [client, server_end] = MemoryStream::make_pair(loop);
  TlsStream server(loop, std::move(server_end), Credentials::for_secret("s"), Side::accepted);
  std::string why;
  Scope tasks(loop);
  tasks.spawn([](TlsStream& stream, std::string& reason) -> Task<> {
    const Result<> agreed = co_await stream.shake_hands();
    reason = agreed ? "" : agreed.error().message;
  }(server, why));
  const std::string plain = "GREETINGS, this is no TLS at all, whoever you are";
  const iovec part{const_cast<char*>(plain.data()), plain.size()};
  WriteOperation write;
  write.on_complete([](Operation&) {}, nullptr);
  write.buffers = {&part, 1};
  client->write(write);
  while (!loop.idle()) loop.run_turn();
  EXPECT_EQ(why, "it does not speak TLS");
}

// A party that is not ours: OpenSSL by hand.
class RawClient {
 public:
  RawClient(Loop& loop, std::unique_ptr<MemoryStream> wire, SSL_CTX* context)
      : loop_(loop), wire_(std::move(wire)), ssl_(SSL_new(context)) {
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_);
    SSL_set_msg_callback(ssl_, &RawClient::see);
    SSL_set_msg_callback_arg(ssl_, this);
    read_.buffer = chunk_;
    read_.on_complete([](Operation& self) { static_cast<RawClient*>(self.context())->heard(); },
                      this);
    write_.on_complete([](Operation&) {}, nullptr);
    wire_->read(read_);
  }
  ~RawClient() { SSL_free(ssl_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool shake_hands() {
    for (int round = 0; round < 10 && SSL_do_handshake(ssl_) != 1; ++round) exchange();
    exchange();
    return SSL_is_init_finished(ssl_) == 1;
  }
  void exchange() {
    char* out = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(ssl_), &out);
    sent_.assign(out, out + size);
    BIO_reset(SSL_get_wbio(ssl_));
    part_ = {sent_.data(), sent_.size()};
    write_.buffers = {&part_, 1};
    if (size > 0) wire_->write(write_);
    while (!loop_.idle()) loop_.run_turn();
  }
  // And for the other side's, which come with what it does next.
  void ask_for_new_keys() {
    SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(ssl_);
    exchange();
  }
  std::string ask(const std::string& text) {
    SSL_write(ssl_, text.data(), static_cast<int>(text.size()));
    exchange();
    char answer[100];
    const int size = SSL_read(ssl_, answer, sizeof answer);
    return {answer, static_cast<std::size_t>(std::max(size, 0))};
  }
  std::size_t bytes_heard = 0;
  std::size_t new_keys_heard = 0;
  bool stopped_reading = false;
  void stop_reading() { stopped_reading = true; }

 private:
  static void see(int sent, int /*version*/, int type, const void* message, std::size_t size,
                  SSL* /*ssl*/, void* self) {
    const bool key_update = type == SSL3_RT_HANDSHAKE && size > 0 &&
                            *static_cast<const unsigned char*>(message) == SSL3_MT_KEY_UPDATE;
    if (sent == 0 && key_update) ++static_cast<RawClient*>(self)->new_keys_heard;
  }
  void heard() {
    if (read_.error != StreamError::none) return;
    bytes_heard += read_.transferred;
    BIO_write(SSL_get_rbio(ssl_), chunk_.data(), static_cast<int>(read_.transferred));
    if (!stopped_reading) wire_->read(read_);
  }
  Loop& loop_;
  std::unique_ptr<MemoryStream> wire_;
  SSL* ssl_;
  std::vector<std::byte> chunk_ = std::vector<std::byte>(1U << 16U);
  std::vector<char> sent_;
  iovec part_{};
  ReadOperation read_;
  WriteOperation write_;
};

// Answers what it reads with the same, until it ends.
Task<> echo(TlsStream& stream, std::string& why_not, StreamError& ended) {
  const Result<> agreed = co_await stream.shake_hands();
  if (!agreed) why_not = agreed.error().message;
  std::vector<std::byte> chunk(1000);
  ReadOperation read;
  while (agreed && read.error == StreamError::none) {
    read.buffer = chunk;
    co_await read_some(stream, read);
    ended = read.error;
    if (read.error != StreamError::none) break;
    const iovec part{chunk.data(), read.transferred};
    WriteOperation write;
    write.buffers = {&part, 1};
    co_await write_all(stream, write);
  }
}

class TlsStreamAndAStranger : public testing::Test {
 protected:
  TlsStreamAndAStranger() : context(SSL_CTX_new(TLS_client_method())) {
    authority.issue(folder.path() + "/server", {.name = "server"});
    authority.issue(folder.path() + "/client", {.name = "carol", .purposes = "clientAuth"});
    const auto credentials = Credentials::for_clients({.folder = folder.path() + "/server"});
    auto [client_end, server_end] = MemoryStream::make_pair(loop, {.capacity_bytes = 16U << 10U});
    server.emplace(loop, std::move(server_end), credentials.value(), Side::accepted,
                   records_per_key);
    tasks.spawn(echo(*server, why_not, ended));
    wire = std::move(client_end);
  }
  void connect() { client.emplace(loop, std::move(wire), context); }
  void connect_with_certificate() {
    const std::string own = folder.path() + "/client";
    SSL_CTX_use_certificate_file(context, (own + "/server-cert.pem").c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(context, (own + "/server-key.pem").c_str(), SSL_FILETYPE_PEM);
    connect();
    ASSERT_TRUE(client->shake_hands());
  }
  ~TlsStreamAndAStranger() override { SSL_CTX_free(context); }

  static constexpr std::uint64_t records_per_key = 4;
  TemporaryFolder folder;
  TestAuthority authority;
  SSL_CTX* context;
  Loop loop;
  std::optional<TlsStream> server;
  std::unique_ptr<MemoryStream> wire;
  std::optional<RawClient> client;
  std::string why_not;
  StreamError ended = StreamError::none;
  Scope tasks{loop};
};

TEST_F(TlsStreamAndAStranger, who_shows_nothing_is_not_believed) {
  connect();
  client->shake_hands();  // done, as far as a client can know
  EXPECT_EQ(why_not, "it showed no certificate");
  EXPECT_EQ(client->ask("anybody?"), "");
}

TEST_F(TlsStreamAndAStranger, new_keys_are_made_when_the_other_side_asks) {
  connect_with_certificate();
  EXPECT_EQ(server->peer_names(), std::vector<std::string>{"carol"});
  client->ask_for_new_keys();
  EXPECT_EQ(client->ask("after"), "after");
  const std::size_t heard_before = client->bytes_heard;
  client->ask_for_new_keys();
  client->ask_for_new_keys();
  EXPECT_GT(client->bytes_heard, heard_before) << "without anything being written";
  EXPECT_EQ(client->ask("and again"), "and again");
  client->ask_for_new_keys();
  EXPECT_EQ(client->ask("and again"), "and again");
}

TEST_F(TlsStreamAndAStranger, what_is_sent_has_new_keys_in_time) {
  connect_with_certificate();
  for (std::uint64_t record = 0; record < 10 * records_per_key; ++record) {
    const std::string said = "record " + std::to_string(record);
    ASSERT_EQ(client->ask(said), said);
  }
  EXPECT_EQ(client->new_keys_heard, 9U) << "one before each fourth record but the first";
}

TEST_F(TlsStreamAndAStranger, who_asks_for_new_keys_and_takes_none_is_ended) {
  connect_with_certificate();
  client->stop_reading();
  for (int asked = 0; asked < 20'000 && ended == StreamError::none; ++asked) {
    client->ask_for_new_keys();
  }
  EXPECT_EQ(ended, StreamError::broken);
}

// ---- who is believed ----

struct Folders {
  TemporaryFolder base;
  TestAuthority ours;
  TestAuthority foreign;
  std::string at(const std::string& name) const { return base.path() + "/" + name; }
  Shared node(const std::string& name) const { return Credentials::for_nodes(at(name)).value(); }
};

TEST(TlsNodes, each_proves_its_name_to_the_other) {
  Folders folders;
  folders.ours.issue(folders.at("alpha"), {.name = "alpha"});
  folders.ours.issue(folders.at("beta"), {.name = "beta", .purposes = "serverAuth"});
  Pair pair(folders.node("alpha"), folders.node("beta"));
  ASSERT_TRUE(pair.server_agreed.value()) << pair.server_agreed->error().message;
  ASSERT_TRUE(pair.client_agreed.value()) << pair.client_agreed->error().message;
  EXPECT_EQ(pair.server->peer_names(), std::vector<std::string>{"beta"});
  EXPECT_EQ(pair.client->peer_names(), std::vector<std::string>{"alpha"});
  EXPECT_EQ(pair.server->peer_name(), "memory server, beta");
}

TEST(TlsNodes, a_common_name_counts_where_there_is_no_other) {
  Folders folders;
  folders.ours.issue(folders.at("alpha"), {.name = "alpha"});
  folders.ours.issue(folders.at("old"), {.name = "old", .alternative_names = "none"});
  folders.ours.issue(folders.at("new"),
                     {.name = "alpha", .alternative_names = "DNS:new,IP:10.0.0.1,DNS:newer"});
  Pair old(folders.node("alpha"), folders.node("old"));
  EXPECT_EQ(old.server->peer_names(), std::vector<std::string>{"old"});
  folders.ours.issue(folders.at("forged"), {.name = "a\nb", .alternative_names = "none"});
  Pair forged(folders.node("alpha"), folders.node("forged"));
  EXPECT_TRUE(forged.server->peer_names().empty()) << "it would make two lines of one in the log";
  Pair newer(folders.node("alpha"), folders.node("new"));
  EXPECT_EQ(newer.server->peer_names(), (std::vector<std::string>{"new", "newer"}));
}

struct Refused {
  const char* name;
  TestAuthority::Wanted wanted;
  bool foreign = false;
  bool revoked = false;
  const char* why = "";
};

class TlsNodesRefused : public testing::TestWithParam<Refused> {};

// Whichever of the two dialled.
TEST_P(TlsNodesRefused, in_both_directions) {
  const Refused& row = GetParam();
  Folders folders;
  folders.ours.issue(folders.at("alpha"), {.name = "alpha"});
  (row.foreign ? folders.foreign : folders.ours).issue(folders.at("other"), row.wanted);
  if (row.revoked) {
    folders.ours.list_revoked(folders.at("alpha"), folders.at("other") + "/server-cert.pem");
  }
  // Believes whoever alpha's authority has issued.
  if (row.foreign) {
    std::filesystem::copy_file(folders.at("alpha") + "/ca-cert.pem",
                               folders.at("other") + "/ca-cert.pem",
                               std::filesystem::copy_options::overwrite_existing);
  }
  Pair dialled_by_it(folders.node("alpha"), folders.node("other"));
  EXPECT_EQ(dialled_by_it.server_agreed->error().message, row.why);
  EXPECT_TRUE(dialled_by_it.client_agreed->error().message.starts_with("it does not accept us"))
      << dialled_by_it.client_agreed->error().message;
  Pair dialled_by_us(folders.node("other"), folders.node("alpha"));
  EXPECT_EQ(dialled_by_us.client_agreed->error().message, row.why);
  EXPECT_TRUE(dialled_by_us.server_agreed->error().message.starts_with("it does not accept us"))
      << dialled_by_us.server_agreed->error().message;
}

INSTANTIATE_TEST_SUITE_P(
    All, TlsNodesRefused,
    testing::Values(
        Refused{.name = "of_another_authority",
                .wanted = {.name = "beta"},
                .foreign = true,
                .why = "its certificate is not accepted: certificate signature failure"},
        Refused{.name = "a_clients",
                .wanted = {.name = "beta", .purposes = "clientAuth"},
                .why = "its certificate is not accepted: unsuitable certificate purpose"},
        Refused{.name = "expired",
                .wanted = {.name = "beta", .begins_in_seconds = -100, .ends_in_seconds = -10},
                .why = "its certificate is not accepted: certificate has expired"},
        Refused{.name = "of_tomorrow",
                .wanted = {.name = "beta", .begins_in_seconds = 1000},
                .why = "its certificate is not accepted: certificate is not yet valid"},
        Refused{.name = "revoked",
                .wanted = {.name = "beta"},
                .revoked = true,
                .why = "its certificate is not accepted: certificate revoked"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(TlsCredentials, one_that_is_not_revoked_goes_on_beside_a_list) {
  Folders folders;
  folders.ours.issue(folders.at("alpha"), {.name = "alpha"});
  folders.ours.issue(folders.at("beta"), {.name = "beta"});
  folders.ours.list_revoked(folders.at("alpha"), "");
  Pair pair(folders.node("alpha"), folders.node("beta"));
  EXPECT_TRUE(pair.server_agreed.value());
}

TEST(TlsCredentials, files_that_make_no_sense_are_named) {
  Folders folders;
  const std::string folder = folders.at("alpha");
  EXPECT_TRUE(Credentials::for_nodes(folder).error().message.starts_with(folder +
                                                                         "/ca-cert.pem: "
                                                                         "cannot be read"));
  folders.ours.issue(folder, {.name = "alpha"});
  folders.ours.issue(folders.at("beta"), {.name = "beta"});
  std::filesystem::copy_file(folders.at("beta") + "/server-key.pem", folder + "/server-key.pem",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(Credentials::for_nodes(folder).error().message.starts_with(
      folder + "/server-key.pem: is not the key of server-cert.pem beside it"));
  std::ofstream(folder + "/server-cert.pem") << "not a certificate\n";
  EXPECT_TRUE(Credentials::for_nodes(folder).error().message.starts_with(
      folder + "/server-cert.pem: holds no certificate"));
  EXPECT_EQ(Credentials::for_nodes(folder).error().exit_code, ExitCode::configuration);
}

TEST(TlsCredentials, know_when_the_certificate_ends) {
  Folders folders;
  folders.ours.issue(folders.at("alpha"), {.name = "alpha", .ends_in_seconds = 1000});
  const auto left = *folders.node("alpha")->expires() - std::time(nullptr);
  EXPECT_GT(left, 900);
  EXPECT_LE(left, 1000);
  EXPECT_FALSE(Credentials::for_secret("s")->expires());
}

struct KeyFile {
  const char* name;
  const char* text;
  const char* why;  // behind the file's name; empty: good
};

class TlsKeyFile : public testing::TestWithParam<KeyFile> {};

TEST_P(TlsKeyFile, is_read_or_refused_with_the_line) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/keys.psk";
  std::ofstream(path) << GetParam().text;
  const auto read = Credentials::for_clients({.psk_file = path});
  if (*GetParam().why == '\0') {
    EXPECT_TRUE(read) << read.error().message;
  } else {
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().message, path + GetParam().why);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, TlsKeyFile,
    testing::Values(
        KeyFile{"good", "# ours\nalice:00112233445566778899aabbccddeeFF\n\n", ""},
        KeyFile{"crlf", "alice:00112233445566778899aabbccddeeff\r\n", ""},
        KeyFile{"empty", "\n", ": holds no key: write NAME:HEXKEY lines"},
        KeyFile{"no_colon", "alice\n", ":1: write NAME:HEXKEY on each line"},
        KeyFile{"no_name", ":00112233445566778899aabbccddeeff\n",
                ":1: write NAME:HEXKEY on each line"},
        KeyFile{"short_key", "alice:0011\n",
                ":1: the key of alice is not 16 to 256 bytes in hexadecimal digits: make one with "
                "openssl rand -hex 32"},
        KeyFile{"no_digit", "alice:0011223344556677889gaabbccddeeff\n",
                ":1: the key of alice is not 16 to 256 bytes in hexadecimal digits: make one with "
                "openssl rand -hex 32"},
        KeyFile{"twice",
                "alice:00112233445566778899aabbccddeeff\nalice:00112233445566778899aabbccddeeff\n",
                ":2: alice has a key already"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(TlsSource, a_reload_that_fails_changes_nothing) {
  Folders folders;
  folders.ours.issue(folders.at("alpha"), {.name = "alpha"});
  const auto source =
      Source::open([&] { return Credentials::for_nodes(folders.at("alpha")); }).value();
  const Shared first = source->current();
  std::filesystem::remove(folders.at("alpha") + "/server-key.pem");
  EXPECT_FALSE(source->reload());
  EXPECT_EQ(source->current(), first);
  folders.ours.issue(folders.at("alpha"), {.name = "alpha"});
  EXPECT_TRUE(source->reload());
  EXPECT_NE(source->current(), first);
}

}  // namespace
}  // namespace baton::tls
