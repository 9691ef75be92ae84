#include "control/daemon/peer_tunnel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/endian.h"

namespace baton::control {
namespace {

// One migration needs two; a peer that wants many more is out of order.
constexpr std::size_t conversations_max = 16;
// Lines that nobody has read yet. QMP's replies have a few KiB; one line may have 1 MiB.
constexpr std::size_t unread_bytes_max = std::size_t{4} << 20U;
// Half of what Resource::tunnel() takes, so that header and payload fit by far.
constexpr std::size_t piece_bytes_max = std::size_t{32} << 10U;

// Before every payload. Little-endian, as everything between the nodes.
struct FrameHeader {
  le32 kind;
  le32 number;       // of the conversation, chosen by the side that opened it
  le32 from_opener;  // 1 or 0: both sides number their own from 1
};
static_assert(sizeof(FrameHeader) == 12);

}  // namespace

enum class PeerTunnel::Kind : std::uint32_t {
  open = 1,    // payload: one byte, the PeerService
  opened = 2,  // the service has begun
  lines = 3,   // payload: a piece of the stream of lines
  close = 4,   // payload: why, for a person; may be empty
};

PeerConversation::PeerConversation(PeerTunnel& tunnel, Name name)
    : tunnel_(tunnel), name_(name), changed_(tunnel.loop_) {
  tunnel_.conversations_[name_] = this;
}

PeerConversation::~PeerConversation() {
  if (!ended_) tunnel_.conversations_.erase(name_);
}

void PeerConversation::end(std::string reason) {
  if (ended_) return;
  ended_ = reason.empty() ? "the conversation with the other node was ended" : std::move(reason);
  tunnel_.conversations_.erase(name_);
  changed_.notify_all();
}

void PeerConversation::close_with(std::string_view reason) {
  if (ended_) return;
  // Without a link the other side knows already.
  static_cast<void>(tunnel_.send(PeerTunnel::Kind::close, name_, reason));
  end(std::string(reason));
}

void PeerConversation::tell_opened() {
  if (!ended_) static_cast<void>(tunnel_.send(PeerTunnel::Kind::opened, name_, {}));
}

bool PeerConversation::send_line(std::string_view line) {
  std::string text(line);
  text.push_back('\n');
  for (std::size_t at = 0; at < text.size() && !ended_; at += piece_bytes_max) {
    const std::string_view piece = std::string_view(text).substr(at, piece_bytes_max);
    const Result<> sent = tunnel_.send(PeerTunnel::Kind::lines, name_, piece);
    if (!sent) end(sent.error().message);
  }
  return !ended_;
}

void PeerConversation::take(std::string_view bytes) {
  cutter_.add(bytes);
  while (auto line = cutter_.next()) {
    unread_bytes_ += line->size();
    lines_.push_back(std::move(*line));
  }
  if (cutter_.overlong() || unread_bytes_ > unread_bytes_max) {
    close_with("more was sent than is taken");
  }
  changed_.notify_all();
}

Task<Result<>> PeerConversation::opened(TimePoint deadline) {
  bool in_time = true;
  while (in_time && !served_ && !ended_) {
    in_time = co_await changed_.wait_until(tunnel_.clock_, deadline);
  }
  if (served_) co_return Result<>();
  co_return failure(ended_ ? *ended_ : "the other node's batond does not answer");
}

Task<Result<>> PeerConversation::send(std::string line) {
  if (!send_line(line)) co_return failure(*ended_);
  co_return Result<>();
}

Task<Result<std::string>> PeerConversation::receive() {
  while (lines_.empty() && !ended_) co_await changed_.wait();
  if (lines_.empty()) co_return failure(*ended_);
  std::string line = std::move(lines_.front());
  lines_.pop_front();
  unread_bytes_ -= line.size();
  co_return line;
}

Result<> PeerTunnel::send(Kind kind, PeerConversation::Name name, std::string_view payload) {
  FrameHeader header;
  header.kind = static_cast<std::uint32_t>(kind);
  header.number = name.number;
  header.from_opener = name.opened_here ? 1 : 0;
  std::vector<std::byte> message(sizeof header + payload.size());
  std::memcpy(message.data(), &header, sizeof header);
  if (!payload.empty()) {
    std::memcpy(message.data() + sizeof header, payload.data(), payload.size());
  }
  return send_(message);
}

Result<std::unique_ptr<PeerConversation>> PeerTunnel::open(PeerService service) {
  const PeerConversation::Name name{.opened_here = true, .number = ++last_number_};
  const char byte = static_cast<char>(service);
  if (auto sent = send(Kind::open, name, std::string_view(&byte, 1)); !sent) {
    return std::unexpected(sent.error());
  }
  return std::unique_ptr<PeerConversation>(new PeerConversation(*this, name));
}

void PeerTunnel::peer_opens(PeerConversation::Name name, std::string_view payload) {
  const auto service = static_cast<PeerService>(payload.empty() ? 0 : payload.front());
  const bool known = service == PeerService::qmp || service == PeerService::migrate;
  if (!known || conversations_.size() >= conversations_max) {
    const std::string_view why =
        known ? "too many conversations between the nodes" : "this batond does not know that";
    static_cast<void>(send(Kind::close, name, why));
    return;
  }
  serve_(service, std::unique_ptr<PeerConversation>(new PeerConversation(*this, name)));
}

void PeerTunnel::receive(std::span<const std::byte> message) {
  FrameHeader header;
  if (message.size() < sizeof header) return;  // no conversation to end for it
  std::memcpy(&header, message.data(), sizeof header);
  const PeerConversation::Name name{.opened_here = header.from_opener == 0,
                                    .number = header.number};
  const auto* text = reinterpret_cast<const char*>(message.data());
  const std::string_view payload(text + sizeof header, message.size() - sizeof header);
  const auto kind = static_cast<Kind>(header.kind.value());
  const auto found = conversations_.find(name);
  if (found == conversations_.end()) {
    if (kind == Kind::open && !name.opened_here) return peer_opens(name, payload);
    // One end is left of a conversation that we have forgotten (the link was lost): it ends too.
    if (kind != Kind::close) static_cast<void>(send(Kind::close, name, "it is over here"));
    return;
  }
  PeerConversation& conversation = *found->second;
  switch (kind) {
    case Kind::opened:
      conversation.served_ = true;
      conversation.changed_.notify_all();
      return;
    case Kind::lines:
      return conversation.take(payload);
    case Kind::close:
      return conversation.end(std::string(payload));
    case Kind::open:
      break;
  }
  conversation.close_with("the message makes no sense");
}

void PeerTunnel::close_all(const std::string& reason) {
  while (!conversations_.empty()) conversations_.begin()->second->close_with(reason);
}

}  // namespace baton::control
