#include "tests/simulation/nbd_port.h"

namespace baton::sim {

NbdPort::NbdPort(Process& process, BufferPool& buffers, replication::Resource& resource,
                 const replication::ResourceConfig& config)
    : budget_(process.loop(), process, buffers.limit_bytes() / 2),
      world_{process.loop(), process, buffers, budget_},
      sessions_(process.loop()) {
  for (std::uint32_t volume = 0; volume < config.volumes.size(); ++volume) {
    table_.add(exports_.emplace_back(resource, config.name, volume));
  }
}

void NbdPort::serve(NbdClient& client, std::unique_ptr<Stream> stream) {
  sessions_.spawn(run(*this, client, std::move(stream)));
}

Task<> NbdPort::run(NbdPort& port, NbdClient& client, std::unique_ptr<Stream> stream) {
  nbd::Session session(port.world_, std::move(stream), port.table_, nbd::SessionLimits{});
  co_await session.run();
  client.session_ended(session.reason());
}

}  // namespace baton::sim
