#include "child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace baton::migration_test {

ChildProcess::ChildProcess(const std::vector<std::string>& command,
                           const std::vector<int>& inherited, bool keep_output) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  int pipe_ends[2] = {-1, -1};
  if (keep_output && pipe2(pipe_ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ == 0) {
    // Should the test be killed, its children go with it.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    if (keep_output) dup2(pipe_ends[1], STDOUT_FILENO);
    for (const int descriptor : inherited) fcntl(descriptor, F_SETFD, 0);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  ended_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (keep_output) {
    close(pipe_ends[1]);
    output_ = pipe_ends[0];
  }
}

ChildProcess::~ChildProcess() {
  if (!code_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(ended_);
  if (output_ >= 0) close(output_);
}

std::optional<int> ChildProcess::wait(std::chrono::milliseconds limit) {
  if (code_) return code_;
  pollfd end{ended_, POLLIN, 0};
  if (poll(&end, 1, static_cast<int>(limit.count())) != 1) return std::nullopt;
  int status = 0;
  waitpid(pid_, &status, 0);
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return code_;
}

std::string ChildProcess::output() {
  std::string all;
  char part[4096];
  for (;;) {
    const ssize_t got = read(output_, part, sizeof part);
    if (got <= 0) return all;
    all.append(part, static_cast<std::size_t>(got));
  }
}

int listening_socket(const std::string& path) {
  const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  unlink(path.c_str());
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (bind(descriptor, generic, sizeof address) != 0 || listen(descriptor, 4) != 0) {
    throw std::runtime_error("cannot listen at " + path);
  }
  return descriptor;
}

std::optional<std::string> find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/bin:/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string candidate = std::move(folder);
    candidate.append("/").append(name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return std::nullopt;
}

}  // namespace baton::migration_test
