// The NBD listeners of one shard, shared by the resources that name them (design §8).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/runtime/shard.h"
#include "base/task.h"
#include "control/config.h"
#include "control/daemon/passed_sockets.h"
#include "nbd_server/export.h"
#include "nbd_server/listener.h"

namespace baton::control {

class NbdDoors {
 public:
  // `passed` outlives this.
  NbdDoors(Shard& shard, const PassedSockets& passed)
      : shard_(shard), passed_(passed), budget_(nbd::half_of_the_buffers(shard)) {}
  NbdDoors(const NbdDoors&) = delete;
  NbdDoors& operator=(const NbdDoors&) = delete;

  // Opens the listeners of `node` that nobody opened so far; who connects waits until something is
  // offered there, who is on standard input for serve_client(). All or nothing. Comes before the
  // disks are touched, because an address can be taken. `credentials`: null for no TLS.
  Result<> open(const ResourceSpec& resource, const NodeSpec& node,
                const std::shared_ptr<const tls::Source>& credentials);
  // Offers `exports`, volume 0 first, at the opened listeners. The exports outlive their close().
  void offer(const NodeSpec& node, const std::vector<nbd::Export*>& exports);

  // batond --single: serves the client on standard input with what is offered by now, and completes
  // when it has left. Once, when something was offered.
  Task<Result<>> serve_client();

  // Ends open() and, where there was one, offer(): no new client gets the exports, and those
  // attached are ended in order, after `patience` by force. Completes when the last one has ended.
  // A listener that nobody needs any more is closed. Other resources' clients notice nothing.
  Task<> close(const NodeSpec& node, std::vector<nbd::Export*> exports, Duration patience);

 private:
  struct Door {
    nbd::ExportTable table;
    // Shared with those who wait for its clients to end: another resource may close it meanwhile.
    std::shared_ptr<nbd::Listener> listener;
    std::size_t resources = 0;
  };
  Result<> open_one(const Endpoint& endpoint, const nbd::ListenerOptions& options);
  Result<std::unique_ptr<nbd::Listener>> listen_at(const Endpoint& endpoint, Door& door,
                                                   nbd::ListenerOptions options);
  // True when nobody needs the listener any more: it is out of the door then.
  bool release(Door& door);

  Shard& shard_;
  const PassedSockets& passed_;
  std::shared_ptr<nbd::MemoryBudget> budget_;
  std::map<std::string, Door> doors_;  // by Endpoint::text(); kept, so that references stay good
};

}  // namespace baton::control
