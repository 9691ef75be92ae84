#include "control/daemon/role_mark.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <system_error>

namespace baton::control {

RoleMark::RoleMark(const std::string& run_directory, const std::string& resource,
                   std::uint64_t boot_id)
    : path_(fmt::format("{}/{}.primary", run_directory, resource)), boot_id_(boot_id) {}

Result<> RoleMark::set() const {
  std::ofstream file(path_, std::ios::trunc);
  file << boot_id_ << std::flush;
  if (file) return {};
  return failure(
      fmt::format("{} cannot be written: is there room, and may batond write there", path_));
}

bool RoleMark::take() const {
  std::uint64_t boot_id = 0;
  const bool there = static_cast<bool>(std::ifstream(path_) >> boot_id);
  std::error_code gone;
  std::filesystem::remove(path_, gone);
  return there && boot_id == boot_id_;
}

}  // namespace baton::control
