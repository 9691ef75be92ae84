// The run directory: the lock that makes this the only daemon there, and the control socket's path.
#pragma once

#include <string>

#include "base/result.h"

namespace baton::control {

// Held for the life of the daemon; the kernel gives it back when the process ends, however it ends.
class RunDirectory {
 public:
  // Makes the directory when it is missing. Fails with one sentence when another daemon has it.
  static Result<RunDirectory> claim(const std::string& path);

  RunDirectory(RunDirectory&& other) noexcept;
  RunDirectory& operator=(RunDirectory&&) = delete;
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;
  ~RunDirectory();

  const std::string& path() const { return path_; }
  std::string control_socket() const;

 private:
  RunDirectory(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::string path_;
  int lock_;
};

}  // namespace baton::control
