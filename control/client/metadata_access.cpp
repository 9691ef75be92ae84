#include "control/client/metadata_access.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "blockdev/file_device.h"
#include "blockdev/metadata/metadata.h"
#include "control/client/local_shard.h"
#include "control/metadata_place.h"
#include "control/units.h"

namespace baton::control {
namespace {

using blockdev::BlockDevice;
using blockdev::Metadata;
using blockdev::Superblock;

// One bitmap for each other node; a resource with one node gets one too, so that a second node can
// be added later without new metadata.
std::uint32_t bitmap_slots(const ResourceSpec& resource) {
  return std::max<std::uint32_t>(1, static_cast<std::uint32_t>(resource.nodes.size()) - 1);
}

Superblock first_superblock(const VolumeSite& site, std::uint64_t size, bool adopted) {
  Superblock superblock;
  superblock.resource = site.resource.name;
  superblock.node = site.node.name;
  superblock.volume = static_cast<std::uint32_t>(site.volume);
  superblock.size = size;
  superblock.clean = true;
  superblock.adopted = adopted;
  std::size_t slot = 0;
  for (const NodeSpec& node : site.resource.nodes) {
    if (node.name != site.node.name) superblock.peers[slot++].name = node.name;
  }
  return superblock;
}

// Room for the metadata: a new file, or an existing one made long enough.
Result<> make_room(const std::string& path, std::uint64_t bytes) {
  const auto facts = inspect_disk(path);
  if (!facts) return std::unexpected(facts.error());
  if (!facts->exists) return blockdev::create_sparse_file(path, bytes);
  if (facts->size >= bytes) return {};
  if (facts->block_device) {
    return failure(
        fmt::format("{} has {}, and the metadata takes {}: name a larger place with "
                    "meta",
                    path, size_text(facts->size), size_text(bytes)));
  }
  if (truncate(path.c_str(), static_cast<off_t>(bytes)) == 0) return {};
  return failure(fmt::format("{} cannot be made larger: {}", path, std::strerror(errno)));
}

class Hold final : public VolumeHold {
 public:
  Hold(const VolumeSite& site, std::unique_ptr<LocalShard> shard)
      : site_(site), shard_(std::move(shard)) {}

  // Opens, and so locks, what exists.
  Result<> lock() {
    if (auto locked = lock(site_.disk(), disk_); !locked || site_.internal()) return locked;
    return lock(site_.meta(), metadata_);
  }

  Result<> create(std::uint64_t size, bool adopted) override {
    const std::uint32_t slots = bitmap_slots(site_.resource);
    const auto ready = site_.internal() ? take_end_of_disk(size) : make_both(size, slots);
    if (!ready) return ready;
    return shard_->run(Metadata::format(shard_->loop(), *metadata_,
                                        first_superblock(site_, size, adopted), slots));
  }

 private:
  Result<> lock(const std::string& path, std::unique_ptr<BlockDevice>& device) {
    const auto facts = inspect_disk(path);
    if (!facts) return std::unexpected(facts.error());
    // An empty file (a create-md that was cut short) cannot be a device yet.
    if (!facts->exists || facts->size == 0) return {};
    return open(path, device);
  }

  Result<> make_both(std::uint64_t size, std::uint32_t slots) {
    if (!disk_) {
      if (auto made = blockdev::create_sparse_file(site_.disk(), size); !made) return made;
    }
    metadata_.reset();  // its size may change
    if (auto room = make_room(site_.meta(), Metadata::bytes_needed(size, slots)); !room) {
      return room;
    }
    return open(site_.meta(), metadata_);
  }

  Result<> take_end_of_disk(std::uint64_t size) {
    if (!disk_) {
      auto made = blockdev::create_sparse_file(site_.disk(), blockdev::disk_bytes_for(size));
      if (made) made = open(site_.disk(), disk_);
      if (!made) return made;
    }
    auto parts = split_disk(shard_->loop(), site_, std::move(disk_));
    if (!parts) return std::unexpected(parts.error());
    disk_ = std::move(parts->data);
    metadata_ = std::move(parts->metadata);
    return {};
  }

  Result<> open(const std::string& path, std::unique_ptr<BlockDevice>& device) {
    auto opened = blockdev::open_file_device(shard_->ring(), shard_->buffers(), path);
    if (!opened) return std::unexpected(opened.error());
    device = std::move(*opened);
    return {};
  }

  VolumeSite site_;
  std::unique_ptr<LocalShard> shard_;
  std::unique_ptr<BlockDevice> disk_;
  std::unique_ptr<BlockDevice> metadata_;
};

}  // namespace

Result<std::unique_ptr<VolumeHold>> VolumeHold::take(const VolumeSite& site) {
  auto shard = LocalShard::open();
  if (!shard) return std::unexpected(shard.error());
  auto hold = std::make_unique<Hold>(site, std::move(*shard));
  if (auto locked = hold->lock(); !locked) return std::unexpected(locked.error());
  return hold;
}

}  // namespace baton::control
