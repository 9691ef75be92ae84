// Serves a memory or null device over NBD, for conformance tests and for measuring the server:
//
//   nbd_test_server (memory|null) SIZE_BYTES ADDRESS...
//
// One export "disk" with a sibling "vm1/1"; prints "ready" when all addresses accept. SIGTERM or
// SIGINT stop it: exit 0 when every client was seen off in order.
#include <fmt/format.h>

#include <boost/asio/signal_set.hpp>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/runtime/shard.h"
#include "nbd_server/listener.h"
#include "tests/support/test_export.h"

namespace baton::test {
namespace {

struct Server {
  Shard shard;
  std::unique_ptr<LoopDevice> device;
  std::unique_ptr<LoopDevice> sibling;
  nbd::ExportTable exports;
  std::vector<std::unique_ptr<nbd::Listener>> listeners;
  Scope tasks{shard.loop()};
};

Task<> stop(Server& server) {
  for (auto& listener : server.listeners) co_await listener->stop(std::chrono::seconds(5));
  server.shard.stop();
}

int serve(std::string_view kind, std::uint64_t size, std::span<char*> addresses) {
  Server server;
  Loop& loop = server.shard.loop();
  if (kind == "null") {
    server.device = std::make_unique<NullDevice>(loop, size);
  } else {
    server.device = std::make_unique<MemoryDevice>(loop, size);
  }
  server.sibling = std::make_unique<MemoryDevice>(loop, 1U << 20U);
  DeviceExport disk("disk", *server.device, "the test disk");
  DeviceExport sibling("vm1/1", *server.sibling);
  server.exports.add(disk);
  server.exports.add(sibling, nbd::ExportTable::Default::no);
  for (const char* text : addresses) {
    const auto address = nbd::parse_address(text);
    if (!address) return fmt::print(stderr, "{}\n", address.error().message), 2;
    nbd::ListenerOptions options;
    options.log = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
    auto listener = nbd::Listener::open(server.shard, *address, server.exports, options);
    if (!listener) return fmt::print(stderr, "{}\n", listener.error().message), 1;
    (*listener)->accept();
    server.listeners.push_back(std::move(*listener));
  }
  boost::asio::signal_set signals(server.shard.io(), SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code& error, int) {
    if (!error) server.tasks.spawn(stop(server));
  });
  for (const auto& listener : server.listeners)
    fmt::print("listening at {}\n", listener->address().text());
  fmt::print("ready\n");
  std::fflush(stdout);
  server.shard.run();
  server.listeners.clear();
  return 0;
}

}  // namespace
}  // namespace baton::test

int main(int argc, char** argv) {
  const std::span<char*> arguments(argv, static_cast<std::size_t>(argc));
  std::uint64_t size = 0;
  if (arguments.size() >= 4) {
    const std::string_view text = arguments[2];
    std::from_chars(text.data(), text.data() + text.size(), size);
  }
  if (size == 0) {
    fmt::print(stderr, "usage: nbd_test_server (memory|null) SIZE_BYTES ADDRESS...\n");
    return 2;
  }
  return baton::test::serve(arguments[1], size, arguments.subspan(3));
}
