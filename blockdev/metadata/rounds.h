// Group commit: calls that arrive while a round is under way share the next one.
#pragma once

#include <cstdint>

#include "base/task.h"
#include "blockdev/metadata/device_io.h"

namespace baton::blockdev {

class Rounds {
 public:
  // A round makes durable whatever was asked for before it began; its error goes to `fault`.
  using Body = Task<IoError> (*)(void* context);
  Rounds(Loop& loop, Fault& fault, Body body, void* context)
      : loop_(loop),
        fault_(fault),
        body_(body),
        context_(context),
        ended_signal_(loop),
        scope_(loop) {}

  // Completes when a round that began after this call has ended. Rounds run on although a caller
  // was thrown away meanwhile.
  Task<IoError> next();

 private:
  Task<> run();

  Loop& loop_;
  Fault& fault_;
  Body body_;
  void* context_;
  std::uint64_t wanted_ = 0;
  std::uint64_t begun_ = 0;
  std::uint64_t ended_ = 0;
  bool running_ = false;
  Signal ended_signal_;
  Scope scope_;  // last: its frames use the rest
};

}  // namespace baton::blockdev
