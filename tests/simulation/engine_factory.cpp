#include "tests/simulation/engine_factory.h"

#include "blockdev/metadata/metadata.h"

namespace baton::sim {

constexpr std::uint32_t slots = 1;  // one peer

std::unique_ptr<replication::Resource> EngineFactory::make(int /*node*/,
                                                           replication::Environment environment,
                                                           replication::ResourceConfig config) {
  return replication::make_resource(environment, std::move(config));
}

std::uint64_t EngineFactory::metadata_bytes(std::uint64_t volume_size) {
  return blockdev::Metadata::bytes_needed(volume_size, slots);
}

Task<Result<>> EngineFactory::create_metadata(Loop& loop, blockdev::BlockDevice& device,
                                              const replication::ResourceConfig& config,
                                              std::uint32_t volume) {
  blockdev::Superblock initial;
  initial.resource = config.name;
  initial.node = config.self;
  initial.volume = volume;
  initial.size = config.volumes[volume].size;
  co_return co_await blockdev::Metadata::format(loop, device, std::move(initial), slots);
}

}  // namespace baton::sim
