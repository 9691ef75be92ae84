// Conversations with the daemon of the other node, inside the replication link (design §8
// `migrate`: "QMP and control for the other node travel over the authenticated replication link").
//
// A conversation is opened for one service and then carries lines both ways, in order. It is lost
// with the link. What a peer sends is bounded: conversations by number, unread lines by bytes; a
// peer that exceeds either loses the conversation and nothing else.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/task.h"
#include "control/migration/qmp.h"
#include "control/migration/qmp_channel.h"

namespace baton::control {

// What can be asked of the other node. Neither takes a path: each node uses its own configuration.
enum class PeerService : std::uint8_t {
  qmp = 1,      // the lines of the configured guest's QMP
  migrate = 2,  // one request of control/protocol.h, and its replies
};

class PeerTunnel;

// One end of a conversation. Whoever has one closes it: destroying it tells nobody, and the other
// end learns of it with its next line only.
class PeerConversation final : public migration::QmpChannel {
 public:
  ~PeerConversation() override;
  PeerConversation(const PeerConversation&) = delete;
  PeerConversation& operator=(const PeerConversation&) = delete;

  // For the side that opened it: the other side has begun to serve, or the reason why not.
  Task<Result<>> opened(TimePoint deadline);
  // For the side that serves.
  void tell_opened();
  // False when the conversation is over.
  bool send_line(std::string_view line);
  // Tells the other side why, then ends.
  void close_with(std::string_view reason);
  bool over() const { return ended_.has_value(); }

  // QmpChannel
  Task<Result<>> send(std::string line) override;
  Task<Result<std::string>> receive() override;
  void close() override { close_with(""); }

 private:
  friend class PeerTunnel;
  struct Name {
    bool opened_here;
    std::uint32_t number;
    friend auto operator<=>(const Name&, const Name&) = default;
  };
  PeerConversation(PeerTunnel& tunnel, Name name);
  void take(std::string_view bytes);
  void end(std::string reason);  // keeps what was received

  PeerTunnel& tunnel_;
  Name name_;
  bool served_ = false;
  std::optional<std::string> ended_;  // why; what was received before can still be read
  migration::LineCutter cutter_;
  std::deque<std::string> lines_;
  std::size_t unread_bytes_ = 0;
  Signal changed_;
};

class PeerTunnel {
 public:
  // Sends one message to the other node's tunnel; Resource::tunnel().
  using Send = std::function<Result<>(std::span<const std::byte>)>;
  // The other node opened a conversation.
  using Serve = std::function<void(PeerService, std::unique_ptr<PeerConversation>)>;

  PeerTunnel(Loop& loop, Clock& clock, Send send, Serve serve)
      : loop_(loop), clock_(clock), send_(std::move(send)), serve_(std::move(serve)) {}
  PeerTunnel(const PeerTunnel&) = delete;
  PeerTunnel& operator=(const PeerTunnel&) = delete;

  // Fails when the nodes are not connected.
  Result<std::unique_ptr<PeerConversation>> open(PeerService service);
  // A message from the other node's tunnel.
  void receive(std::span<const std::byte> message);
  // Every conversation is over; its other end is told if it can be.
  void close_all(const std::string& reason);

 private:
  friend class PeerConversation;
  enum class Kind : std::uint32_t;
  Result<> send(Kind kind, PeerConversation::Name name, std::string_view payload);
  void peer_opens(PeerConversation::Name name, std::string_view payload);

  Loop& loop_;
  Clock& clock_;
  Send send_;
  Serve serve_;
  std::map<PeerConversation::Name, PeerConversation*> conversations_;
  std::uint32_t last_number_ = 0;
};

}  // namespace baton::control
