// One conversation with one QEMU: greeting, capabilities, replies matched to commands by id.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "base/task.h"
#include "control/migration/qmp_channel.h"

namespace baton::control::migration {

// Which QEMU speaks.
enum class Side : std::uint8_t { source, destination };

// Called from the loop while the session receives.
class QmpListener {
 public:
  virtual ~QmpListener() = default;
  virtual void qmp_reply(Side side, std::uint64_t id, const Result<boost::json::value>& value) = 0;
  virtual void qmp_event(Side side, const QmpEvent& event) = 0;
  // Once, and nothing after it.
  virtual void qmp_lost(Side side, const std::string& reason) = 0;
};

class QmpSession {
 public:
  QmpSession(Side side, QmpChannel& channel, Loop& loop, QmpListener& listener)
      : side_(side), channel_(channel), listener_(listener), changed_(loop) {}

  // Queues a command and returns its id. It is sent after the greeting was answered; if the channel
  // is lost it is dropped, and qmp_lost() has been or will be called.
  std::uint64_t submit(std::string_view command, const boost::json::object& arguments = {});

  // The two halves: spawn both in one scope. They end when the channel is lost or closed.
  Task<> receive_all();
  Task<> send_all();

  // True when every command has its reply, or none will come.
  bool settled() const { return lost_ || (unanswered_ == 0 && greeted_); }
  // Told after every message and when the channel is lost.
  Signal& changed() { return changed_; }
  // Ends both halves. The listener is not told.
  void close();

 private:
  void take(const QmpMessage& message);
  void lose(const std::string& reason);

  Side side_;
  QmpChannel& channel_;
  QmpListener& listener_;
  Signal changed_;
  std::deque<std::string> outbox_;
  std::uint64_t last_id_ = 0;  // 0 itself belongs to qmp_capabilities
  std::uint64_t unanswered_ = 0;
  bool greeted_ = false;
  bool lost_ = false;
};

}  // namespace baton::control::migration
