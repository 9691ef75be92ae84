// The NBD side of a node's daemon: the export of every volume, and the production session of every
// client. Lives and dies with the process.
#pragma once

#include <deque>

#include "control/daemon/volume_export.h"
#include "nbd_server/session.h"
#include "tests/simulation/nbd_client.h"

namespace baton::sim {

class NbdPort {
 public:
  NbdPort(Process& process, BufferPool& buffers, replication::Resource& resource,
          const replication::ResourceConfig& config);

  // Accepts a connection; `client` hears of its end and lives until then, or until the process
  // dies.
  void serve(NbdClient& client, std::unique_ptr<Stream> stream);
  std::string export_name(std::uint32_t volume) const { return exports_[volume].name(); }
  const blockdev::Limits& limits(std::uint32_t volume) const { return exports_[volume].limits(); }

 private:
  static Task<> run(NbdPort& port, NbdClient& client, std::unique_ptr<Stream> stream);

  nbd::MemoryBudget budget_;
  nbd::Session::World world_;
  std::deque<control::VolumeExport> exports_;
  nbd::ExportTable table_;
  Scope sessions_;
};

}  // namespace baton::sim
