#include "control/daemon/nbd_doors.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <utility>

#include "base/assert.h"
#include "control/daemon/log.h"

namespace baton::control {
namespace {

nbd::Address address_of(const Endpoint& endpoint) {
  if (endpoint.is_unix()) return {.path = endpoint.unix_path};
  return {.kind = nbd::Address::Kind::tcp, .host = endpoint.tcp.host, .port = endpoint.tcp.port};
}

// Who can open a unix socket is on this host, and was let in by its owner and mode.
nbd::TlsMode tls_mode(const TlsSpec& tls, const Endpoint& endpoint) {
  if (tls.nbd == NbdTls::off) return nbd::TlsMode::none;
  if (tls.nbd == NbdTls::required && !endpoint.is_unix()) return nbd::TlsMode::forced;
  return nbd::TlsMode::selective;
}

// What to do depends on what is wrong: the address, or whose its file shall be.
Error no_export(const ResourceSpec& resource, const NodeSpec& node, const Error& why) {
  const char* const remedy =
      why.exit_code == ExitCode::configuration
          ? "correct nbd-owner, nbd-group or nbd-mode"
          : "free that address (ss -lp shows who has it), or choose another in nbd";
  return {fmt::format("{} cannot be exported: {}; {} of node {} in {}", resource.name, why.message,
                      remedy, node.name, resource.file),
          why.exit_code};
}

}  // namespace

Result<std::unique_ptr<nbd::Listener>> NbdDoors::listen_at(const Endpoint& endpoint, Door& door,
                                                           nbd::ListenerOptions options) {
  if (endpoint.standard_input) {
    const auto client = passed_.client();
    if (!client) return std::unexpected(client.error());
    // Somebody on this host, as at a unix socket.
    if (client->family == AF_UNIX && options.tls == nbd::TlsMode::forced) {
      options.tls = nbd::TlsMode::selective;
    }
    return nbd::Listener::of_client(shard_, *client, endpoint.text(), door.table,
                                    std::move(options));
  }
  if (const auto passed = passed_.at(endpoint)) {
    return nbd::Listener::open(shard_, *passed, door.table, std::move(options));
  }
  return nbd::Listener::open(shard_, address_of(endpoint), door.table, std::move(options));
}

Result<> NbdDoors::open_one(const Endpoint& endpoint, const nbd::ListenerOptions& options) {
  Door& door = doors_[endpoint.text()];
  if (!door.listener) {
    auto listener = listen_at(endpoint, door, options);
    if (!listener) return std::unexpected(listener.error());
    door.listener = std::move(*listener);
  }
  ++door.resources;
  return {};
}

Result<> NbdDoors::open(const ResourceSpec& resource, const NodeSpec& node,
                        const std::shared_ptr<const tls::Source>& credentials) {
  nbd::ListenerOptions options;
  options.budget = budget_;
  options.log = [](const std::string& line) { log_line(LogLevel::notice, line); };
  options.credentials = credentials;
  options.access = node.nbd_access;
  for (std::size_t opened = 0; opened < node.nbd.size(); ++opened) {
    options.tls = tls_mode(resource.tls, node.nbd[opened]);
    const auto good = open_one(node.nbd[opened], options);
    if (good) continue;
    for (std::size_t i = 0; i < opened; ++i) release(doors_.at(node.nbd[i].text()));
    return std::unexpected(no_export(resource, node, good.error()));
  }
  return {};
}

void NbdDoors::offer(const NodeSpec& node, const std::vector<nbd::Export*>& exports) {
  for (const Endpoint& endpoint : node.nbd) {
    auto as_default = nbd::ExportTable::Default::yes;
    for (nbd::Export* offered : exports) {
      doors_.at(endpoint.text()).table.add(*offered, as_default);
      as_default = nbd::ExportTable::Default::no;  // "" means a resource's volume 0 (design §8)
    }
    if (!endpoint.standard_input) doors_.at(endpoint.text()).listener->accept();
  }
}

Task<Result<>> NbdDoors::serve_client() {
  const Endpoint client{.standard_input = true};
  const auto listener = doors_.at(client.text()).listener;
  if (!listener) co_return Result<>{};  // everything went down meanwhile, and the client with it
  listener->accept();
  co_await listener->emptied();
  co_return Result<>{};
}

bool NbdDoors::release(Door& door) {
  BATON_ASSERT(door.resources > 0, "close() follows open()");
  if (--door.resources > 0) return false;
  door.listener.reset();
  return true;
}

Task<> NbdDoors::close(const NodeSpec& node, std::vector<nbd::Export*> exports, Duration patience) {
  // First every way in, then those who are inside: nobody moves to another listener meanwhile.
  std::vector<std::shared_ptr<nbd::Listener>> unused;
  std::vector<std::shared_ptr<nbd::Listener>> shared;
  for (const Endpoint& endpoint : node.nbd) {
    Door& door = doors_.at(endpoint.text());
    for (nbd::Export* offered : exports) door.table.remove(*offered);
    auto listener = door.listener;
    (release(door) ? unused : shared).push_back(std::move(listener));
  }
  // All at once: none of them hears from the resource that it is going down.
  Scope ending(shard_.loop());
  for (const auto& listener : unused) ending.spawn(listener->stop(patience));
  for (const auto& listener : shared) {
    for (nbd::Export* offered : exports) {
      ending.spawn(listener->end_clients(offered->name(), patience));
    }
  }
  co_await ending.join();
}

}  // namespace baton::control
