#include "control/daemon/volume_export.h"

#include <fmt/format.h>

#include <utility>

namespace baton::control {

std::string VolumeExport::name() const {
  return volume_ == 0 ? resource_ : fmt::format("{}/{}", resource_, volume_);
}

std::string VolumeExport::description() const {
  return fmt::format("Baton resource {}, volume {}", resource_, volume_);
}

const blockdev::Limits& VolumeExport::limits() const {
  limits_ = engine_.limits(volume_).value_or(blockdev::Limits{});
  return limits_;
}

std::expected<std::unique_ptr<blockdev::BlockDevice>, nbd::ExportRefusal> VolumeExport::open(
    const std::string& client_name) {
  auto door = engine_.open(volume_, {.name = client_name});
  if (door) return std::move(*door);
  return std::unexpected(nbd::ExportRefusal{.message = door.error().message});
}

}  // namespace baton::control
