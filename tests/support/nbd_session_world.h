// One NBD session with a scripted client, all in memory, on virtual time.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nbd_server/session.h"
#include "tests/support/memory_stream.h"
#include "tests/support/nbd_bytes.h"
#include "tests/support/test_export.h"
#include "tests/support/virtual_clock.h"

namespace baton::test {

// Sends what it is told to, and keeps what it hears.
class ScriptedClient {
 public:
  explicit ScriptedClient(std::unique_ptr<MemoryStream> stream) : stream_(std::move(stream)) {
    read_.buffer = chunk_;
    read_.on_complete(
        [](Operation& self) { static_cast<ScriptedClient*>(self.context())->heard_some(); }, this);
    write_.on_complete(
        [](Operation& self) { static_cast<ScriptedClient*>(self.context())->sent(); }, this);
    stream_->read(read_);
  }

  void send(const Bytes& bytes) {
    queue_.push_back(bytes.get());
    if (queue_.size() == 1) send_next();
  }
  // A client that has stopped reading; start_listening() ends that.
  void stop_listening() { listening_ = false; }
  void start_listening() {
    listening_ = true;
    if (!reading_ && !ended_) read_on();
  }
  void hang_up() { stream_->close(); }
  void end_writing() { stream_->end_writing(); }

  const std::vector<std::byte>& heard() const { return heard_; }
  void forget() { heard_.clear(); }
  bool sent_all() const { return queue_.empty(); }
  bool ended() const { return ended_; }

 private:
  void read_on() {
    reading_ = true;
    stream_->read(read_);
  }
  void heard_some() {
    reading_ = false;
    if (read_.error != StreamError::none) {
      ended_ = true;
      return;
    }
    heard_.insert(heard_.end(), chunk_.begin(),
                  chunk_.begin() + static_cast<std::ptrdiff_t>(read_.transferred));
    if (listening_) read_on();
  }
  void send_next() {
    part_ = {queue_.front().data(), queue_.front().size()};
    write_.buffers = {&part_, 1};
    stream_->write(write_);
  }
  void sent() {
    queue_.pop_front();
    if (write_.error != StreamError::none) queue_.clear();
    if (!queue_.empty()) send_next();
  }

  std::unique_ptr<MemoryStream> stream_;
  std::vector<std::byte> chunk_ = std::vector<std::byte>(1U << 20U);
  ReadOperation read_;
  WriteOperation write_;
  iovec part_{};
  std::deque<std::vector<std::byte>> queue_;
  std::vector<std::byte> heard_;
  bool reading_ = true;
  bool listening_ = true;
  bool ended_ = false;
};

struct SessionWorldOptions {
  std::uint64_t size = 1U << 20U;
  std::size_t pool_bytes = 256U << 20U;
  std::size_t budget_bytes = 256U << 20U;
  bool has_copies = false;  // the device answers sync_status
  MemoryStreamOptions stream;
  nbd::SessionLimits limits;
  nbd::SessionSecurity security;
};

class SessionWorld {
 public:
  explicit SessionWorld(const SessionWorldOptions& options = {})
      : buffers(options.pool_bytes),
        budget(loop, clock, options.budget_bytes),
        device(loop, options.size),
        offered("disk", device) {
    if (options.has_copies) device.change_limits().sync_status = true;
    exports.add(offered);
    auto [client_end, server_end] = MemoryStream::make_pair(loop, options.stream);
    server_stream = server_end.get();
    const nbd::Session::World world{loop, clock, buffers, budget};
    session.emplace(world, std::move(server_end), exports, options.limits, options.security);
    client.emplace(std::move(client_end));
    tasks.emplace(loop);
    tasks->spawn(session->run());
    settle();
  }
  ~SessionWorld() {
    client->hang_up();
    device.let_go();
    settle();
  }

  void settle() {
    while (!loop.idle()) loop.run_turn();
  }
  bool session_ended() const { return tasks->empty(); }
  void send(const Bytes& bytes) {
    client->send(bytes);
    settle();
  }
  // Up to the transmission phase, and forgets what was heard on the way.
  void shake_hands(bool structured = true) {
    Bytes hello = client_flags();
    if (structured) {
      hello.add(option(nbd::Option::structured_reply))
          .add(option(nbd::Option::set_meta_context, context_request("", {"base:allocation"})));
    }
    send(hello.add(option(nbd::Option::go, info_request(""))));
    client->forget();
  }
  // The same with extended headers and every context.
  void shake_extended_hands() {
    send(client_flags()
             .add(option(nbd::Option::extended_headers))
             .add(option(nbd::Option::set_meta_context,
                         context_request("", {"base:allocation", "x-baton:out-of-sync"})))
             .add(option(nbd::Option::go, info_request(""))));
    client->forget();
  }
  // The one reply to `sent`.
  Reply ask(const Bytes& sent, std::uint32_t read_length = 0) {
    client->forget();
    send(sent);
    Heard heard_now(client->heard());
    Reply reply = heard_now.reply(read_length);
    if (heard_now.bad() || heard_now.left() > 0) reply.message = "not exactly one reply";
    return reply;
  }

  Loop loop;
  VirtualClock clock;
  BufferPool buffers;
  nbd::MemoryBudget budget;
  MemoryDevice device;
  DeviceExport offered;
  nbd::ExportTable exports;
  MemoryStream* server_stream = nullptr;
  std::optional<nbd::Session> session;
  std::optional<ScriptedClient> client;
  std::optional<Scope> tasks;
};

}  // namespace baton::test
