#include "control/daemon/control_session.h"

#include <fmt/format.h>
#include <sys/uio.h>

#include <utility>

#include "control/daemon/log.h"

namespace baton::control {
namespace {

// Requests of one client side by side; batonctl has one.
constexpr std::size_t running_max = 16;
// A client that reads no events this far behind is dropped, so that it costs no more memory.
constexpr std::size_t output_bytes_max = std::size_t{4} * 1024 * 1024;
constexpr Duration finish_patience = std::chrono::seconds(1);

}  // namespace

// Progress and events of one running request.
class ControlSession::Answering final : public ReplySink {
 public:
  Answering(ControlSession& session, std::uint64_t id) : session_(session), id_(id) {}
  void progress(std::string text, double fraction) override {
    session_.send(progress_reply(id_, text, fraction));
  }
  void event(const Change& change) override {
    session_.send(event_reply(id_, change.data, change.text));
  }

 private:
  ControlSession& session_;
  std::uint64_t id_;
};

ControlSession::ControlSession(Shard& shard, ControlPlane& plane, std::unique_ptr<Stream> stream)
    : shard_(shard),
      plane_(plane),
      stream_(std::move(stream)),
      output_ready_(shard.loop()),
      answered_(shard.loop()),
      io_(shard.loop()),
      answers_(shard.loop()) {}

Task<> ControlSession::run() {
  io_.spawn(write_replies());
  co_await read_requests();
  ended_ = true;
  stream_->close();
  output_ready_.notify_all();
  answered_.notify_all();
  co_await io_.join();
}

Task<> ControlSession::read_requests() {
  while (!ended_) {
    ReadOperation read;
    read.buffer = received_;
    co_await read_some(*stream_, read);
    if (read.error != StreamError::none) co_return;
    const char* text = reinterpret_cast<const char*>(received_.data());
    lines_.feed(std::string_view(text, read.transferred));
    if (!take_lines()) co_return;
  }
}

// False when the client is to be dropped.
bool ControlSession::take_lines() {
  if (finishing_) return true;
  while (const auto line = lines_.next()) {
    auto request = decode_request(*line);
    if (!request) {
      log_line(LogLevel::warning, fmt::format("{} on the control socket sent no request: {}",
                                              stream_->peer_name(), request.error().message));
      return false;
    }
    if (answers_.size() >= running_max) {
      send(error_reply(request->id, {.message = fmt::format("{} requests of this client are "
                                                            "running already: wait for one",
                                                            running_max)}));
      continue;
    }
    answers_.spawn(answer(std::move(*request)));
  }
  return !lines_.overflown();
}

Task<> ControlSession::answer(Request request) {
  Answering sink(*this, request.id);
  auto result = co_await plane_.perform(request, sink);
  if (result) {
    send(result_reply(request.id, std::move(*result)));
  } else {
    send(error_reply(request.id, result.error()));
  }
  answered_.notify_all();
}

void ControlSession::send(const Reply& reply) {
  if (ended_) return;
  output_ += encode(reply);
  output_ += '\n';
  if (output_.size() > output_bytes_max) {
    log_line(LogLevel::warning, fmt::format("{} on the control socket reads too slowly: dropped",
                                            stream_->peer_name()));
    ended_ = true;
    stream_->close();  // ends the read in progress, and with it the session
  }
  output_ready_.notify_all();
}

Task<> ControlSession::write_replies() {
  while (!ended_) {
    if (output_.empty()) {
      answered_.notify_all();
      co_await output_ready_.wait();
      continue;
    }
    sending_ = std::exchange(output_, {});
    const iovec part{sending_.data(), sending_.size()};
    WriteOperation write;
    write.buffers = std::span(&part, 1);
    co_await write_all(*stream_, write);
    sending_.clear();
    if (write.error != StreamError::none) co_return;  // reading sees it as well
  }
}

void ControlSession::turn_away(std::size_t clients_max) {
  send(error_reply(no_request, {.message = fmt::format("batond has {} clients already: end one "
                                                       "(a forgotten batonctl events?)",
                                                       clients_max)}));
  finish();
}

void ControlSession::finish() {
  finishing_ = true;
  io_.spawn(close_when_done());
}

Task<> ControlSession::close_when_done() {
  const TimePoint deadline = shard_.now() + finish_patience;
  bool in_time = true;
  while (in_time && !ended_ && !(answers_.empty() && output_.empty() && sending_.empty())) {
    in_time = co_await answered_.wait_until(shard_, deadline);
  }
  ended_ = true;
  stream_->close();
}

}  // namespace baton::control
