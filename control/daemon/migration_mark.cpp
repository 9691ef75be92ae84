#include "control/daemon/migration_mark.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <system_error>

namespace baton::control {

MigrationMark::MigrationMark(const std::string& run_directory, const std::string& resource)
    : path_(fmt::format("{}/{}.migrating", run_directory, resource)) {}

Result<> MigrationMark::set(const std::string& destination) const {
  std::ofstream file(path_, std::ios::trunc);
  file << destination << std::flush;
  if (file) return {};
  return failure(
      fmt::format("{} cannot be written: is there room, and may batond write there", path_));
}

Result<> MigrationMark::clear() const {
  std::error_code error;
  std::filesystem::remove(path_, error);
  if (!error) return {};
  return failure(fmt::format("{} cannot be removed: {}; remove it", path_, error.message()));
}

std::optional<std::string> MigrationMark::destination() const {
  std::ifstream file(path_);
  std::string name;
  if (!(file >> name)) return std::nullopt;
  return name;
}

}  // namespace baton::control
