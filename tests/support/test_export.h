// An export of a device that a test owns.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "nbd_server/export.h"
#include "tests/support/test_devices.h"

namespace baton::test {

class DeviceExport final : public nbd::Export {
 public:
  DeviceExport(std::string name, blockdev::BlockDevice& device, std::string description = {})
      : name_(std::move(name)), description_(std::move(description)), device_(device) {}

  std::string name() const override { return name_; }
  std::string description() const override { return description_; }
  const blockdev::Limits& limits() const override { return device_.limits(); }
  const nbd::Access& access() const override { return who; }
  std::expected<std::unique_ptr<blockdev::BlockDevice>, nbd::ExportRefusal> open(
      const std::string& client_name) override {
    ++opened;
    last_client = client_name;
    if (refusal) return std::unexpected(*refusal);
    return std::make_unique<DeviceDoor>(device_);
  }

  nbd::Access who;
  std::optional<nbd::ExportRefusal> refusal;  // of open()
  int opened = 0;
  std::string last_client;

 private:
  std::string name_;
  std::string description_;
  blockdev::BlockDevice& device_;
};

}  // namespace baton::test
