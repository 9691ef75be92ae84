// One client of the control socket.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/runtime/shard.h"
#include "base/stream.h"
#include "base/task.h"
#include "control/daemon/control_plane.h"
#include "control/protocol.h"

namespace baton::control {

class ControlSession {
 public:
  ControlSession(Shard& shard, ControlPlane& plane, std::unique_ptr<Stream> stream);
  ControlSession(const ControlSession&) = delete;
  ControlSession& operator=(const ControlSession&) = delete;

  // Serves until the client is gone or misbehaves; then its waits are thrown away.
  Task<> run();
  // Before run(): tells the client that there are too many, and closes.
  void turn_away(std::size_t clients_max);
  // Closes once the requests that are running have been answered and the answers sent, at the
  // latest after a second.
  void finish();

 private:
  class Answering;
  Task<> read_requests();
  Task<> write_replies();
  Task<> answer(Request request);
  Task<> close_when_done();
  bool take_lines();
  void send(const Reply& reply);

  Shard& shard_;
  ControlPlane& plane_;
  std::unique_ptr<Stream> stream_;
  LineSplitter lines_{request_bytes_max};
  std::array<std::byte, 4096> received_;
  std::string output_;   // waits to be sent
  std::string sending_;  // belongs to the write in progress
  bool ended_ = false;
  bool finishing_ = false;  // no more requests are taken
  Signal output_ready_;
  Signal answered_;  // a request, or the last byte of the output
  Scope io_;         // reading and writing: always joined, their operations are with the stream
  Scope answers_;    // running requests: may be thrown away
};

}  // namespace baton::control
