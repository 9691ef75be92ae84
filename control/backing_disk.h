// What stands at the path of a disk, and whether it fits the configuration. Used by batond before a
// resource comes up and by create-md, so that both say the same.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "control/config.h"

namespace baton::control {

struct DiskFacts {
  bool exists = false;
  bool block_device = false;
  std::uint64_t size = 0;
};

// Looks, and changes nothing. Fails when the path names something that can be no disk (a
// directory), or cannot be looked at.
Result<DiskFacts> inspect_disk(const std::string& path);

// One volume of a resource on this node.
struct VolumeSite {
  const ResourceSpec& resource;
  const NodeSpec& node;
  std::size_t volume;

  const std::string& disk() const { return node.disks[volume]; }
  // The metadata is at the end of the disk.
  bool internal() const { return node.meta[volume] == internal_metadata; }
  // The file or device that the metadata is in; the disk itself when it is internal.
  const std::string& meta() const { return internal() ? disk() : node.meta[volume]; }
  std::uint64_t configured_size() const { return resource.volumes[volume].size; }
  // "disk /var/lib/baton/vm1.img of vm1 volume 0", as sentences begin.
  std::string text() const;
  // "/var/lib/baton/vm1.img.baton", or "the end of /dev/vg/vm1".
  std::string meta_text() const;
};

// DISK.baton.undo-GENERATION: what the volume's copy showed where it was overwritten to end a split
// brain, GENERATION being the tip of the history that yielded (design §8). Beside the metadata, and
// beside the disk where that is internal. Without the generation: how all of them begin.
std::string undo_path(const VolumeSite& site, std::uint64_t generation);
std::string undo_path_begin(const VolumeSite& site);

// Of an existing disk: the right size, a size that can be served, metadata named where it must be.
Result<> check_disk(const VolumeSite& site, const DiskFacts& facts);

// How large a new volume on an existing disk is, one that check_disk() takes.
std::uint64_t volume_size(const VolumeSite& site, const DiskFacts& facts);

}  // namespace baton::control
