#include "control/daemon/nbd_doors.h"

#include <fmt/format.h>

#include <utility>

#include "base/assert.h"
#include "control/daemon/log.h"

namespace baton::control {
namespace {

nbd::Address address_of(const Endpoint& endpoint) {
  if (endpoint.is_unix()) return {.path = endpoint.unix_path};
  return {.kind = nbd::Address::Kind::tcp, .host = endpoint.tcp.host, .port = endpoint.tcp.port};
}

}  // namespace

Result<> NbdDoors::open_one(const Endpoint& endpoint, const std::vector<nbd::Export*>& exports) {
  Door& door = doors_[endpoint.text()];
  if (!door.listener) {
    nbd::ListenerOptions options;
    options.log = [](const std::string& line) { log_line(LogLevel::notice, line); };
    auto listener =
        nbd::Listener::open(shard_, address_of(endpoint), door.table, std::move(options));
    if (!listener) return std::unexpected(listener.error());
    door.listener = std::move(*listener);
  }
  ++door.resources;
  auto as_default = nbd::ExportTable::Default::yes;
  for (nbd::Export* offered : exports) {
    door.table.add(*offered, as_default);
    as_default = nbd::ExportTable::Default::no;  // "" means a resource's volume 0 (design §8)
  }
  return {};
}

Result<> NbdDoors::open(const ResourceSpec& resource, const NodeSpec& node,
                        const std::vector<nbd::Export*>& exports) {
  for (std::size_t opened = 0; opened < node.nbd.size(); ++opened) {
    const auto good = open_one(node.nbd[opened], exports);
    if (good) continue;
    // Nobody can have got in through those already opened: the shard has not turned since.
    for (std::size_t i = 0; i < opened; ++i) withdraw(node.nbd[i], exports);
    return failure(fmt::format("{} cannot be exported: {} (nbd of node {} in {})", resource.name,
                               good.error().message, node.name, resource.file));
  }
  return {};
}

std::unique_ptr<nbd::Listener> NbdDoors::withdraw(const Endpoint& endpoint,
                                                  const std::vector<nbd::Export*>& exports) {
  Door& door = doors_.at(endpoint.text());
  BATON_ASSERT(door.resources > 0, "close() follows open()");
  for (nbd::Export* offered : exports) door.table.remove(*offered);
  if (--door.resources > 0) return nullptr;
  return std::move(door.listener);
}

Task<> NbdDoors::close(const NodeSpec& node, std::vector<nbd::Export*> exports, Duration patience) {
  // First every way in, then those who are inside: nobody moves to another listener meanwhile.
  std::vector<std::unique_ptr<nbd::Listener>> unused;
  std::vector<nbd::Listener*> shared;
  for (const Endpoint& endpoint : node.nbd) {
    if (auto listener = withdraw(endpoint, exports)) {
      unused.push_back(std::move(listener));
    } else {
      shared.push_back(doors_.at(endpoint.text()).listener.get());
    }
  }
  for (auto& listener : unused) co_await listener->stop(patience);
  for (nbd::Listener* listener : shared) {
    for (nbd::Export* offered : exports) {
      const std::string name = offered->name();
      co_await listener->end_clients(name, patience);
    }
  }
}

}  // namespace baton::control
