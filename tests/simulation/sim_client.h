// A guest's disk driver: a number of requests in flight, tagged data, and an oracle that is told of
// every call and every answer. It calls the engine's device, or speaks NBD to the node's session.
//
// A client belongs to one node for good. When the node's process dies its connection is lost and
// whatever was in flight is never answered; it connects again when the node is up. When only the
// connection breaks, the outcome of what was in flight is settled once the session has ended.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "tests/simulation/nbd_client.h"
#include "tests/simulation/node.h"
#include "tests/simulation/oracle.h"

namespace baton::sim {

// A number of requests, in a mix given in percent of all; the rest are writes.
struct Burst {
  std::uint64_t requests = 20;
  std::uint64_t depth = 4;
  std::uint64_t reads = 30;
  std::uint64_t flushes = 5;
  std::uint64_t discards = 3;
  std::uint64_t zeroes = 3;
  std::uint64_t fua = 10;         // of the writes
  std::uint64_t hot_blocks = 16;  // places the zipf distribution picks from
  std::uint64_t max_bytes = 65536;
  std::optional<std::uint64_t> at;  // every request goes there, and has `max_bytes`
  Duration think_max{};             // between an answer and the next request of that slot
  std::uint64_t stream = 0;         // names its random stream
};

// Asked at the moment of an acknowledgement.
class Witness {
 public:
  virtual ~Witness() = default;
  // Copies that count as UpToDate, as the node that answered says it.
  virtual NodeSet up_to_date_copies(int node, std::uint32_t volume) = 0;
  // `node` has acknowledged `write` and counts no copy any more: it had the peer's answer before
  // its disk failed. The other copies that show the write; a violation if there must be one.
  virtual NodeSet others_with(int node, std::uint64_t write) = 0;
  // The node whose history a reader on `node` is shown: after a fork, that of the holder it
  // follows.
  virtual int whose_history(int node) const = 0;
  // A write was acknowledged on `node`; it was invoked at `invoked` (oracle's time).
  virtual void write_acknowledged(int node, std::uint64_t invoked) = 0;
};

enum class Door : std::uint8_t { engine, nbd };

class SimClient final : Node::Attached, NbdClient::Owner {
 public:
  SimClient(World& world, Node& node, Oracle& oracle, Witness& witness, std::uint32_t volume,
            std::uint64_t number, Door door);
  SimClient(const SimClient&) = delete;
  SimClient& operator=(const SimClient&) = delete;
  ~SimClient() override;

  // Starts it; several bursts of one client follow one another.
  void run(const Burst& burst);
  // No new requests; those in flight end.
  void stop();
  // Closes the connection once nothing is in flight.
  void disconnect();
  // Its NBD connection breaks, in the middle of a request as a rule; it connects anew.
  void drop_connection();

  bool idle() const { return bursts_.empty() && in_flight_ == 0; }
  bool connected() const { return device_ != nullptr; }
  Node& node() const { return node_; }
  // When the oldest request in flight was submitted; never() if there is none.
  TimePoint oldest_in_flight() const;
  std::string describe_oldest() const;

  struct Counters {
    std::uint64_t submitted = 0;
    std::uint64_t done = 0;
    std::uint64_t refused = 0;
    std::uint64_t failed = 0;
    std::uint64_t unanswered = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  struct Slot;
  void process_is_dying() override;
  void process_is_gone() override;
  void connection_answered() override;
  void connection_ended() override;

  bool connect();
  void hang_up();
  bool holder_may_still_write() const;
  void abandon();
  void pump();
  void wake();
  int writer() const;
  void start(Slot& slot);
  void choose(Slot& slot, const Burst& burst);
  void choose_place(Slot& slot, const Burst& burst);
  void completed(Slot& slot);
  void settle(Slot& slot);

  World& world_;
  Node& node_;
  Oracle& oracle_;
  Witness& witness_;
  std::uint32_t volume_;
  std::uint64_t number_;
  Door door_;
  struct Running {
    Burst burst;
    Prng random;
  };
  std::deque<Running> bursts_;
  std::unique_ptr<blockdev::BlockDevice> device_;
  NbdClient* nbd_ = nullptr;                 // device_, when it is one
  std::vector<std::uint64_t> acknowledged_;  // writes, on this connection
  std::uint64_t connections_ = 0;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::uint64_t in_flight_ = 0;
  bool closing_ = false;
  Timer timer_;
  Counters counters_;
};

}  // namespace baton::sim
