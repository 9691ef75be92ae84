// A volume of a resource as an NBD export: "vm1" for volume 0, "vm1/1" for volume 1 (design §8).
#pragma once

#include <string>

#include "control/config.h"
#include "nbd_server/export.h"
#include "replication/engine/resource.h"

namespace baton::control {

class VolumeExport final : public nbd::Export {
 public:
  // `engine` and `resource` outlive this.
  VolumeExport(replication::Resource& engine, const ResourceSpec& resource, std::uint32_t volume)
      : engine_(engine), resource_(resource), volume_(volume) {}

  std::string name() const override;
  std::string description() const override;
  // Asked again each time: a copy that was created empty learns its size from the peer. Size 0
  // while it is not known; open() then refuses.
  const blockdev::Limits& limits() const override;
  const nbd::Access& access() const override { return resource_.volumes[volume_].access; }
  std::expected<std::unique_ptr<blockdev::BlockDevice>, nbd::ExportRefusal> open(
      const std::string& client_name) override;

 private:
  replication::Resource& engine_;
  const ResourceSpec& resource_;
  std::uint32_t volume_;
  mutable blockdev::Limits limits_;
};

}  // namespace baton::control
