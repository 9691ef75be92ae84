// The NBD listeners of one shard, shared by the resources that name them (design §8).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/runtime/shard.h"
#include "base/task.h"
#include "control/config.h"
#include "nbd_server/export.h"
#include "nbd_server/listener.h"

namespace baton::control {

class NbdDoors {
 public:
  explicit NbdDoors(Shard& shard) : shard_(shard) {}
  NbdDoors(const NbdDoors&) = delete;
  NbdDoors& operator=(const NbdDoors&) = delete;

  // Offers `exports`, volume 0 first, at every listener of `node`; opens those that nobody opened
  // so far. All or nothing. The exports outlive their close().
  Result<> open(const ResourceSpec& resource, const NodeSpec& node,
                const std::vector<nbd::Export*>& exports);

  // Takes the exports away: no new client gets them, and those attached are ended in order, after
  // `patience` by force. Completes when the last one has ended. A listener that nobody needs any
  // more is closed. Other resources' clients notice nothing.
  Task<> close(const NodeSpec& node, std::vector<nbd::Export*> exports, Duration patience);

 private:
  struct Door {
    nbd::ExportTable table;
    std::unique_ptr<nbd::Listener> listener;
    std::size_t resources = 0;
  };
  Result<> open_one(const Endpoint& endpoint, const std::vector<nbd::Export*>& exports);
  std::unique_ptr<nbd::Listener> withdraw(const Endpoint& endpoint,
                                          const std::vector<nbd::Export*>& exports);

  Shard& shard_;
  std::map<std::string, Door> doors_;  // by Endpoint::text(); kept, so that references stay good
};

}  // namespace baton::control
