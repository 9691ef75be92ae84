// The engine's door to the network (replication/engine/environment.h): dials peers over TCP.
#pragma once

#include "base/runtime/shard.h"
#include "control/config.h"
#include "replication/engine/environment.h"

namespace baton::control {

class TcpLinks final : public replication::Links {
 public:
  // Peers are the other nodes of `resource`, which outlives this.
  TcpLinks(Shard& shard, const ResourceSpec& resource) : shard_(shard), resource_(resource) {}

  Task<Result<replication::Link>> dial(std::string peer, TimePoint deadline) override;

 private:
  Shard& shard_;
  const ResourceSpec& resource_;
};

}  // namespace baton::control
