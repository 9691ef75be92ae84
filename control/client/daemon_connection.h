// batonctl's side of the control socket. Blocking: batonctl does one thing at a time.
#pragma once

#include <string>

#include "base/result.h"
#include "control/protocol.h"

namespace baton::control {

class DaemonConnection {
 public:
  // The error says how to start the daemon that is missing; `how_to_start` is that command.
  static Result<DaemonConnection> open(const std::string& run_directory,
                                       const std::string& how_to_start);

  DaemonConnection(DaemonConnection&& other) noexcept;
  DaemonConnection& operator=(DaemonConnection&&) = delete;
  DaemonConnection(const DaemonConnection&) = delete;
  DaemonConnection& operator=(const DaemonConnection&) = delete;
  ~DaemonConnection();

  Result<> send(const Request& request);
  // The next reply, whatever request it belongs to.
  Result<Reply> receive();

 private:
  explicit DaemonConnection(int fd) : fd_(fd) {}
  int fd_;
  LineSplitter lines_{reply_bytes_max};
};

}  // namespace baton::control
