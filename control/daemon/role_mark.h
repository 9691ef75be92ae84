// That clients were attached to the Primary on this node when its daemon was told to stop: a file
// in the run directory, for the daemon that is started next. It is worth something in the same boot
// only, as the clients are.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace baton::control {

class RoleMark {
 public:
  RoleMark(const std::string& run_directory, const std::string& resource, std::uint64_t boot_id);

  Result<> set() const;
  // True once after set(), in the same boot.
  bool take() const;

 private:
  std::string path_;
  std::uint64_t boot_id_;
};

}  // namespace baton::control
