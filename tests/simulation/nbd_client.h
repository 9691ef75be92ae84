// A guest's NBD client: one connection to the production session of a node, as the device behind
// it. The protocol as the specification has it (fixed newstyle, GO, transmission); with structured
// replies or without, by its random stream.
//
// Whatever the server says that it may not say is a violation ("contract of NBD").
#pragma once

#include <string>
#include <vector>

#include "blockdev/block_device.h"
#include "nbd_server/wire/protocol.h"
#include "tests/simulation/nbd_socket.h"

namespace baton::sim {

class Node;

class NbdClient final : public blockdev::BlockDevice, NbdSocket::Client {
 public:
  class Owner {
   public:
    // The handshake is over: see serves().
    virtual void connection_answered() = 0;
    // No answer comes any more, and none of its requests is in flight. The client may go now, but
    // not inside this call.
    virtual void connection_ended() = 0;

   protected:
    ~Owner() = default;
  };

  // Dials; in a turn of the node, which is up. `number` names the connection.
  NbdClient(World& world, Node& node, std::uint32_t volume, std::uint64_t number, Owner& owner);

  // Requests may be submitted. What is in flight when the connection is lost is never completed.
  bool serves() const { return state_ == State::serving; }
  // In order, once nothing is in flight; connection_ended() follows.
  void disconnect();
  void break_soon() { socket_.break_soon(); }
  // The session's run() has ended.
  void session_ended(const std::string& reason);

  // As the export's: more than the protocol tells a client, which the oracle knows all the same.
  const blockdev::Limits& limits() const override { return limits_; }
  void submit(blockdev::Request& request) override;
  std::string name() const override;

 private:
  enum class State : std::uint8_t { greeting, options, serving, refused, leaving, lost };
  struct Asked {
    std::uint64_t cookie;
    blockdev::Request* request;
  };

  void heard(std::span<const std::byte> bytes) override;
  void connection_lost() override;
  bool take_message();
  bool take_greeting();
  bool take_option_answer();
  void take_info(std::span<const std::byte> data);
  bool take_reply();
  bool take_simple_reply();
  bool take_chunk();
  void take_chunk_payload(const nbd::ChunkHeader& header, std::span<const std::byte> payload,
                          blockdev::Request& request);
  void say_hello();
  void send_option(nbd::Option option, std::string_view data);
  void send_disconnect();
  blockdev::Request* find(std::uint64_t cookie) const;
  void answer(std::uint64_t cookie, std::uint32_t error);
  void complain(std::string what);
  std::size_t unheard() const { return heard_.size() - taken_; }
  template <class Struct>
  Struct peek(std::size_t at = 0) const;

  World& world_;
  Node& node_;
  std::uint32_t volume_;
  std::uint64_t number_;
  Owner& owner_;
  bool structured_;
  State state_ = State::greeting;
  bool leaves_ = false;  // as soon as it serves
  TimePoint began_;      // in the daemon's time
  blockdev::Limits limits_;
  std::uint64_t next_cookie_;
  std::vector<Asked> asked_;
  std::vector<std::byte> heard_;
  std::size_t taken_ = 0;  // of heard_
  NbdSocket socket_;       // last: it may speak while it is made
};

}  // namespace baton::sim
