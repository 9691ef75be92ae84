#include "nbd_server/session.h"

#include <fmt/format.h>

#include <utility>

#include "base/tls/tls_stream.h"

namespace baton::nbd {

// Answers the handshake's questions from the listener's table, and opens the device.
class Session::Directory final : public ExportDirectory {
 public:
  explicit Directory(Session& session) : session_(session) {}

  std::vector<ExportFacts> list() override { return session_.exports_.list(session_.client_); }

  std::expected<ExportFacts, ExportRefusal> describe(std::string_view name) override {
    const auto found = session_.exports_.find(name, session_.client_);
    if (!found) return std::unexpected(found.error());
    return facts_of(**found);
  }

  std::expected<ExportFacts, ExportRefusal> open(std::string_view name) override {
    const auto found = session_.exports_.find(name, session_.client_);
    if (!found) return std::unexpected(found.error());
    auto device = (*found)->open(session_.client_.text);
    if (!device) return std::unexpected(std::move(device.error()));
    session_.device_ = std::move(*device);
    return facts_of(**found);
  }

 private:
  Session& session_;
};

Session::Session(const World& world, std::unique_ptr<Stream> stream, const ExportTable& exports,
                 const SessionLimits& limits, SessionSecurity security)
    : world_(world),
      stream_(std::move(stream)),
      exports_(exports),
      limits_(limits),
      security_(std::move(security)),
      client_{.text = stream_->peer_name(), .address = security_.address},
      handshake_deadline_(
          [](Timer& timer) {
            static_cast<Session*>(timer.context())->end_handshake("its handshake took too long");
          },
          this),
      shutting_down_(world.loop) {}

Session::~Session() = default;

Task<> Session::run() {
  world_.clock.arm_after(handshake_deadline_, limits_.handshake);
  const bool agreed = co_await shake_hands();
  handshake_deadline_.cancel();
  if (agreed) {
    const Transmission::World world{world_.loop,   world_.clock, world_.buffers,
                                    world_.budget, *stream_,     *device_};
    transmission_.emplace(world, input_, terms_, limits_.transmission);
    co_await transmission_->run();
    co_await shutting_down_.join();
    reason_ = transmission_->reason();
  }
  stream_->close();
}

// True when the client may send requests.
Task<bool> Session::shake_hands() {
  Directory directory(*this);
  Negotiation negotiation(directory, security_.tls);
  bool goes_on = co_await answer_options(negotiation);
  while (goes_on && negotiation.state() == Negotiation::State::start_tls) {
    goes_on = co_await encrypt(negotiation);
    if (goes_on) goes_on = co_await answer_options(negotiation);
  }
  if (!goes_on) co_return false;
  reason_ = negotiation.reason();
  if (negotiation.state() == Negotiation::State::broken) co_return false;
  terms_ = negotiation.terms();
  export_name_ = negotiation.export_name();  // before the client can know that it is in
  const bool sent = co_await send(negotiation.replies());
  co_return sent&& negotiation.state() == Negotiation::State::transmission;
}

// Until the handshake goes on in another way. False when the connection is lost.
Task<bool> Session::answer_options(Negotiation& negotiation) {
  // Replies gather up to here while the client's options keep coming.
  constexpr std::size_t reply_batch_bytes = 64U << 10U;
  ReadOperation read;
  while (negotiation.state() == Negotiation::State::running) {
    if (input_.size() == 0 || negotiation.replies().size() > reply_batch_bytes) {
      const bool sent = co_await send(negotiation.replies());
      if (!sent) co_return false;
    }
    if (input_.size() == 0) {
      read.buffer = input_.space();
      co_await read_some(*stream_, read);
      if (read.error != StreamError::none) {
        if (reason_.empty()) reason_ = "the connection was lost during the handshake";
        co_return false;
      }
      input_.filled(read.transferred);
    }
    input_.consume(negotiation.feed(input_.unread()));
  }
  co_return true;
}

Task<bool> Session::encrypt(Negotiation& negotiation) {
  // Whoever put them there, they would pass for what was said inside of TLS.
  if (input_.size() > 0) {
    reason_ = "it went on after STARTTLS without waiting for the answer";
    co_return false;
  }
  const bool sent = co_await send(negotiation.replies());
  if (!sent) co_return false;
  auto encrypted = std::make_unique<tls::TlsStream>(
      world_.loop, std::move(stream_), security_.credentials->current(), tls::Side::accepted);
  tls::TlsStream& stream = *encrypted;
  stream_ = std::move(encrypted);
  const Result<> agreed = co_await stream.shake_hands();
  if (!agreed && reason_.empty()) reason_ = "no TLS session: " + agreed.error().message;
  if (!agreed) co_return false;
  client_.encrypted = true;
  client_.names = stream.peer_names();
  client_.text = stream.peer_name();
  negotiation.go_on_encrypted();
  co_return true;
}

Task<bool> Session::send(std::vector<std::byte>& replies) {
  if (replies.empty()) co_return true;
  const iovec all{replies.data(), replies.size()};
  WriteOperation write;
  write.buffers = std::span(&all, 1);
  co_await write_all(*stream_, write);
  replies.clear();
  if (write.error == StreamError::none) co_return true;
  if (reason_.empty()) reason_ = "the connection was lost during the handshake";
  co_return false;
}

void Session::end_handshake(std::string reason) {
  reason_ = std::move(reason);
  stream_->close();
}

void Session::shut_down() {
  if (!transmission_) return end_handshake("the server is shutting down");
  shutting_down_.spawn(transmission_->shut_down());
}

void Session::close() {
  stream_->close();
  if (transmission_) transmission_->give_up();
}

std::size_t Session::requests_in_flight() const {
  return transmission_ ? transmission_->requests_in_flight() : 0;
}

std::size_t Session::bytes_in_flight() const {
  return transmission_ ? transmission_->bytes_in_flight() : 0;
}

}  // namespace baton::nbd
