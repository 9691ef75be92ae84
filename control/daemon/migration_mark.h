// That a guest is on its way from this node: a file in the run directory, so that a daemon finds
// what one that was killed has left. It is worth something in the same boot only, as the QEMUs are.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace baton::control {

class MigrationMark {
 public:
  MigrationMark(const std::string& run_directory, const std::string& resource);

  // Before a QEMU is touched. A few bytes in a memory file system: they are written at once.
  Result<> set(const std::string& destination) const;
  // Once it is known where the guest runs. Done as well when there is none.
  Result<> clear() const;
  // Where the guest was going; nothing where no migration was left.
  std::optional<std::string> destination() const;

 private:
  std::string path_;
};

}  // namespace baton::control
