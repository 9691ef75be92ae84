// The engine's door to the disks (replication/engine/environment.h): files and block devices named
// by the configuration.
#pragma once

#include "base/buffer_pool.h"
#include "blockdev/uring/ring.h"
#include "control/backing_disk.h"
#include "control/config.h"
#include "replication/engine/environment.h"

namespace baton::control {

class FileDisks final : public replication::Disks {
 public:
  // All of it outlives this; ring and pool belong to the resource's shard.
  FileDisks(blockdev::Ring& ring, BufferPool& pool, const ResourceSpec& resource,
            const NodeSpec& node, replication::Journal& journal)
      : ring_(ring), pool_(pool), resource_(resource), node_(node), journal_(journal) {}

  Result<replication::BackingStore> open(std::uint32_t volume) override;
  Result<std::unique_ptr<blockdev::BlockDevice>> create_undo(std::uint32_t volume,
                                                             std::uint64_t generation,
                                                             std::uint64_t bytes) override;
  void remove_undo(std::uint32_t volume, std::uint64_t generation) override;

 private:
  Result<std::unique_ptr<blockdev::BlockDevice>> open_noted(const std::string& path);
  Result<replication::BackingStore> open_internal(const VolumeSite& site, const DiskFacts& disk);

  blockdev::Ring& ring_;
  BufferPool& pool_;
  const ResourceSpec& resource_;
  const NodeSpec& node_;
  replication::Journal& journal_;
};

}  // namespace baton::control
