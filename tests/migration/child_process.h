// Processes that never outlive the test that started them.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace baton::migration_test {

class ChildProcess {
 public:
  // `inherited`: descriptors that stay open in the child. Its stdout is kept where `keep_output`.
  ChildProcess(const std::vector<std::string>& command, const std::vector<int>& inherited,
               bool keep_output);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();  // SIGKILL, and waits

  pid_t pid() const { return pid_; }
  // The exit code, 128 + signal, or nothing when it still runs after `limit`.
  std::optional<int> wait(std::chrono::milliseconds limit);
  // All it wrote, once it has ended.
  std::string output();

 private:
  pid_t pid_ = -1;
  int ended_ = -1;  // pidfd: readable once the child has ended
  int output_ = -1;
  std::optional<int> code_;
};

// A listening unix socket at `path`, to be handed to a child: whoever connects before the child is
// ready just waits, so that no test has to.
int listening_socket(const std::string& path);

// Where a program is, or nothing.
std::optional<std::string> find_program(const std::string& name);

}  // namespace baton::migration_test
