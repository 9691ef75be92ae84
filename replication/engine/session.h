// One established link to the peer: greeting, proof, settling, then the exchange of messages.
// It knows which of our writes, flushes and reads wait for an answer. The engine decides what the
// answers mean.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <memory>
#include <string>
#include <vector>

#include "replication/core/write_ids.h"
#include "replication/engine/auth.h"
#include "replication/engine/environment.h"
#include "replication/engine/receiver.h"
#include "replication/engine/sender.h"
#include "replication/engine/volume.h"

namespace baton::replication {

// A flush, a read or a question for sums that the peer has to answer; lives in the waiting
// coroutine's frame.
struct PeerRequest
    : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
  std::uint64_t number = 0;
  TimePoint sent_at;
  std::span<std::byte> into;  // of a read, or of sums
  std::uint32_t flags = 0;    // out: of the answer
  IoError error = IoError::none;
  bool lost = false;   // out: the session ended first
  bool again = false;  // out: nothing was begun, and may be asked for once more
  Latch* answered = nullptr;
};

class Session {
 public:
  Session(Engine& engine, Link link);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Who is there, and can it prove it; neither side has promised anything yet. False: see fault().
  Task<bool> greet();
  // Exchanges states, decides, exchanges bits, makes everything durable. False: see fault().
  Task<bool> settle();
  // Receives until the link is lost; returns when nothing of the session is in progress any more.
  Task<> run();
  // Ends run() soon. `reason` goes to the log; the first one stays.
  void drop(std::string reason);
  // Tells the peer why, then drops.
  void refuse(const std::string& reason);

  const std::string& fault() const { return fault_; }
  const std::string& peer() const { return peer_; }
  Stream& stream() { return *link_; }

  // Write authority of before this session means nothing in it (rule: a session voids earlier
  // ones).
  std::uint64_t id() const { return stamp_.id; }
  bool established() const { return established_ && !dropped_; }
  bool dropped() const { return dropped_; }
  std::uint64_t bytes_sent() const { return sender_.bytes_sent(); }

  // --- the holder's side ---
  bool window_full() const;
  Signal& window_moved() { return window_moved_; }
  // Numbers and queues a write or zeroing.
  void send(SentWrite& write, wire::Type type);
  std::uint64_t last_number() const { return next_number_ - 1; }
  // Sends a flush or read and registers it; the caller waits for request.answered.
  void ask(PeerRequest& request, wire::Header header, wire::Type type);
  // The same for a client's write, whose payload stays as it is until message.on_sent().
  // `id` is the write's own (core/write_ids.h).
  void forward(PeerRequest& request, OutMessage& message, wire::Type type, std::uint64_t id);
  void tell(wire::Header header, wire::Type type, std::span<const std::byte> payload = {}) {
    sender_.urgent(header, type, payload);
  }
  void send_bulk(OutMessage& message, wire::Type type) { sender_.bulk(message, type); }

  // --- what the peer last said of itself ---
  Role peer_role = Role::unknown;
  bool peer_holding = false;
  // The peer fills the copy here: one sync after the other, each with one end.
  enum class Filling : std::uint8_t { no, begins, goes_on, ends };
  Filling filling = Filling::no;
  // One of the two has no usable disk: nothing is replicated, and the holder serves the other.
  bool service = false;
  bool role_given = false;  // it was told to be Primary, and has not said that it is
  std::vector<DiskState> peer_disks;
  bool peer_pauses_sync = false;
  Verdict verdict;
  Yields yields = Yields::nobody;  // in split brain, by the policy
  std::uint64_t received_number() const { return received_number_; }

  // The newest number received in the bulk lane, for `follows`.
  Signal& bulk_received() { return bulk_received_; }
  Scope& scope() { return scope_; }

  blockdev::SessionStamp stamp() const { return stamp_; }
  const wire::State& peer_state() const { return peer_state_; }
  std::uint64_t peer_instance() const { return peer_hello_.instance; }

 private:
  friend class Engine;
  void note_loss();
  Task<bool> expect(wire::Type type, Incoming& message);
  Task<bool> exchange_hello();
  Task<bool> exchange_proof();
  Task<bool> exchange_bits();
  wire::State own_state() const;
  void dispatch(Incoming& message);
  void write_acknowledged(const wire::Header& header, bool done);
  void request_answered(Incoming& message);
  Task<> watch();
  void lose_everything();
  bool may_write_here(const wire::Header& header, const Volume& volume);

  Engine& engine_;
  Link link_;
  Sender sender_;
  Receiver receiver_;
  Scope scope_;
  std::string peer_;
  std::string fault_;
  wire::Hello own_hello_;
  wire::Hello peer_hello_;
  wire::State own_state_;
  wire::State peer_state_;
  std::vector<blockdev::Bitmap> peer_bits_;  // by volume, until they are settled
  blockdev::SessionStamp stamp_;
  bool fault_is_a_reason_ = true;  // of a person's kind, not merely that the link is gone
  bool established_ = false;
  bool dropped_ = false;

  static constexpr std::uint64_t window_writes = DoneWrites::under_way_most;
  static constexpr std::uint64_t window_bytes = 64U << 20U;
  std::vector<SentWrite*> sent_;  // by number modulo window_writes; null: answered
  std::uint64_t next_number_ = 1;
  std::uint64_t oldest_number_ = 1;
  std::uint64_t bytes_in_window_ = 0;
  boost::intrusive::list<PeerRequest, boost::intrusive::constant_time_size<false>> asked_;
  std::uint64_t next_request_ = 1;
  std::uint64_t received_number_ = 0;
  Signal window_moved_;
  Signal bulk_received_;
  Signal wake_watch_;
  TimePoint heard_at_;
};

}  // namespace baton::replication
