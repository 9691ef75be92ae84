// The door to one QEMU's QMP: whole lines, in order, both ways.
//
// The local QEMU is reached through its unix socket; the other node's through the replication link,
// which carries the lines without looking into them. The coordinator cannot tell them apart.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/stream.h"
#include "base/task.h"
#include "control/migration/qmp.h"

namespace baton {
class Shard;
}

namespace baton::control::migration {

// One send and one receive at a time. Lines carry no line end.
class QmpChannel {
 public:
  virtual ~QmpChannel() = default;

  // Completes when the line was handed to the transport. An error means that the channel is lost;
  // receive() says so as well.
  virtual Task<Result<>> send(std::string line) = 0;
  // The next line. An error says why there will be no other: "closed by QEMU", "connection reset".
  virtual Task<Result<std::string>> receive() = 0;
  // A receive in progress completes with an error. May be called twice.
  virtual void close() = 0;
};

// QMP over any stream.
class StreamQmpChannel final : public QmpChannel {
 public:
  explicit StreamQmpChannel(std::unique_ptr<Stream> stream);

  Task<Result<>> send(std::string line) override;
  Task<Result<std::string>> receive() override;
  void close() override { stream_->close(); }

 private:
  std::unique_ptr<Stream> stream_;
  LineCutter lines_;
  std::string buffer_;
};

// A QMP that could not be reached: Coordinator::recover() goes on with the other one.
class LostQmpChannel final : public QmpChannel {
 public:
  explicit LostQmpChannel(std::string reason) : reason_(std::move(reason)) {}

  Task<Result<>> send(std::string line) override;
  Task<Result<std::string>> receive() override;
  void close() override {}

 private:
  std::string reason_;
};

// Dials a QEMU's `-qmp unix:PATH,server=on,wait=off`. Connecting to a unix socket does not wait: a
// QEMU whose only QMP client is somebody else accepts no more and is reported by the missing
// greeting, or here once its queue is full.
Result<std::unique_ptr<QmpChannel>> dial_qmp(Shard& shard, const std::string& path);

}  // namespace baton::control::migration
