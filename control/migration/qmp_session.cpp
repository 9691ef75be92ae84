#include "control/migration/qmp_session.h"

#include <fmt/format.h>

namespace baton::control::migration {

std::uint64_t QmpSession::submit(std::string_view command, const boost::json::object& arguments) {
  const std::uint64_t id = ++last_id_;
  if (lost_) return id;
  outbox_.push_back(format_qmp(command, arguments, id));
  ++unanswered_;
  changed_.notify_all();
  return id;
}

Task<> QmpSession::send_all() {
  while (!lost_) {
    if (!greeted_ || outbox_.empty()) {
      co_await changed_.wait();
      continue;
    }
    std::string line = std::move(outbox_.front());
    outbox_.pop_front();
    const Result<> sent = co_await channel_.send(std::move(line));
    if (!sent) lose(sent.error().message);
  }
}

Task<> QmpSession::receive_all() {
  while (!lost_) {
    const Result<std::string> line = co_await channel_.receive();
    if (lost_) break;  // closed while we waited
    if (!line) {
      lose(line.error().message);
      break;
    }
    const Result<QmpMessage> message = parse_qmp(*line);
    if (!message) {
      lose(fmt::format("what it sent is {}", message.error().message));
      channel_.close();
      break;
    }
    take(*message);
  }
}

void QmpSession::take(const QmpMessage& message) {
  if (std::holds_alternative<QmpGreeting>(message)) {
    // Ahead of whatever was queued meanwhile: QEMU accepts nothing else first.
    outbox_.push_front(format_qmp("qmp_capabilities", {}, 0));
    greeted_ = true;
  } else if (const auto* reply = std::get_if<QmpReply>(&message)) {
    const std::uint64_t id = reply->id.value_or(0);
    if (id != 0) {
      if (unanswered_ > 0) --unanswered_;
      listener_.qmp_reply(side_, id, reply->value);
    } else if (!reply->value) {
      lose(fmt::format("QEMU refuses to speak QMP: {}", reply->value.error().message));
    }
  } else {
    listener_.qmp_event(side_, std::get<QmpEvent>(message));
  }
  changed_.notify_all();
}

void QmpSession::lose(const std::string& reason) {
  if (lost_) return;
  lost_ = true;
  outbox_.clear();
  changed_.notify_all();
  listener_.qmp_lost(side_, reason);
}

void QmpSession::close() {
  lost_ = true;
  outbox_.clear();
  channel_.close();
  changed_.notify_all();
}

}  // namespace baton::control::migration
