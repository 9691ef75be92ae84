// A volume of a resource as an NBD export: "vm1" for volume 0, "vm1/1" for volume 1 (design §8).
#pragma once

#include <string>

#include "nbd_server/export.h"
#include "replication/engine/resource.h"

namespace baton::control {

class VolumeExport final : public nbd::Export {
 public:
  // `engine` outlives this.
  VolumeExport(replication::Resource& engine, std::string resource, std::uint32_t volume,
               nbd::Access access = {})
      : engine_(engine),
        resource_(std::move(resource)),
        volume_(volume),
        access_(std::move(access)) {}

  std::string name() const override;
  std::string description() const override;
  // Asked again each time: a copy that was created empty learns its size from the peer. Size 0
  // while it is not known; open() then refuses.
  const blockdev::Limits& limits() const override;
  const nbd::Access& access() const override { return access_; }
  std::expected<std::unique_ptr<blockdev::BlockDevice>, nbd::ExportRefusal> open(
      const std::string& client_name) override;

 private:
  replication::Resource& engine_;
  std::string resource_;
  std::uint32_t volume_;
  nbd::Access access_;
  mutable blockdev::Limits limits_;
};

}  // namespace baton::control
