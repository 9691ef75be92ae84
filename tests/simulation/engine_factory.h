// Puts the production engine into the world.
#pragma once

#include "tests/simulation/node.h"

namespace baton::sim {

class EngineFactory final : public Factory {
 public:
  std::unique_ptr<replication::Resource> make(int node, replication::Environment environment,
                                              replication::ResourceConfig config) override;
  std::uint64_t metadata_bytes(std::uint64_t volume_size) override;
  Task<Result<>> create_metadata(Loop& loop, blockdev::BlockDevice& device,
                                 const replication::ResourceConfig& config,
                                 std::uint32_t volume) override;
  bool writes_metadata() const override { return true; }
};

}  // namespace baton::sim
