// One volume of a resource on this node: the path of every request, on both sides of the link.
//
// As holder: client writes go to the own disk and to the peer, in one order per block (RangeLock).
// As the other node: applies what the holder sends, in the holder's order, and asks the holder for
// what its own clients read. docs/replication.md draws the life of one write.
#pragma once

#include <boost/intrusive/list.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blockdev/metadata/metadata.h"
#include "blockdev/timed_device.h"
#include "blockdev/undo/format.h"
#include "replication/core/estimate.h"
#include "replication/core/range_lock.h"
#include "replication/core/regions.h"
#include "replication/core/sums.h"
#include "replication/core/unflushed.h"
#include "replication/engine/latch.h"
#include "replication/engine/receiver.h"
#include "replication/engine/resource.h"
#include "replication/engine/sender.h"

namespace baton::replication {

class Engine;
class RangeGuard;
class Session;
class Volume;

// What one NBD connection holds of a volume.
class ClientDevice final : public blockdev::BlockDevice,
                           public boost::intrusive::list_base_hook<
                               boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  ClientDevice(Engine& engine, Volume& volume, ClientInfo info);
  ~ClientDevice() override;
  const blockdev::Limits& limits() const override { return limits_; }
  void submit(blockdev::Request& request) override;
  std::string name() const override { return info_.name; }

  // Wrote after its last answered flush: its memory may hold what the disk has not (design §8,
  // `secondary`).
  bool unflushed_writes = false;
  // Was attached while this node was Primary, in which of its terms: once that is over its writes
  // are held, then ENOSPC (design §4 "The fence and going back"; Engine::fenced()).
  bool knows_the_disk = false;
  std::uint64_t term = 0;
  // Since when its last request is a flush that was answered; never(): it is another.
  TimePoint silent_since = TimePoint::never();
  std::uint64_t requests = 0;
  // Has only read since it was attached: a backup, a look from outside, and no guest that stops.
  bool only_reads = true;
  // A refused write is worth a line of the log, but one for each client is enough.
  bool refusal_logged = false;
  void orphan() { volume_ = nullptr; }  // the volume goes first (only in a killed world)

 private:
  Loop& loop_;
  Volume* volume_;
  ClientInfo info_;
  blockdev::Limits limits_;
};

// A write or zeroing on its way to the peer; known to the session by its number.
struct SentWrite : OutMessage {
  std::uint64_t number = 0;
  TimePoint sent_at;
  Protocol protocol = Protocol::c;
  Latch* acknowledged = nullptr;  // arrives when the protocol lets the client's write complete
  Latch* finished = nullptr;      // arrives when the peer has written it, or is lost
  bool peer_lost = false;         // out: the session ended first; its range is in the bitmap
  bool again = false;             // out: not written there, for a disk that has failed
  Session* session = nullptr;

  // Protocol A: handed to the transport.
  static void handed_over(OutMessage& message);
};

// A write received from the holder, until the own disk has it.
struct Applied
    : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
  std::uint64_t number = 0;
};

struct SyncRound;  // resync.cpp

// A range as both copies have it, while nobody writes it.
struct Comparison {
  IoError error = IoError::none;    // of the own disk, or no_memory
  bool answered = false;            // else the peer was lost, or could not answer
  bool holes = false;               // both disks know that all of it reads as zeroes
  Buffer data;                      // the own copy's; empty for holes
  std::vector<BlockRun> differing;  // counted from the range's first block
  bool known() const { return error == IoError::none && answered; }
};

// What became of one chunk of a verify.
struct VerifiedChunk {
  bool counts = false;  // compared, and the baton was here all the time
  bool holes = false;
  std::uint64_t blocks = 0;
  std::vector<blockdev::BlockRange> differing;
  std::uint64_t repaired_bytes = 0;
};

class Volume final : blockdev::TimedDeviceOwner {
 public:
  Volume(Engine& engine, std::uint32_t index, VolumeConfig config);
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;
  ~Volume() override;

  std::uint32_t index() const { return index_; }

  // --- the copy ---
  Task<Result<>> attach();
  // Refused while a disk still has requests that were given up: a write among them may reach it at
  // any time, and come over a newer one.
  Result<> may_attach() const;
  const blockdev::Unanswered& unanswered() const { return unanswered_; }
  // Whether a disk that had failed answers again.
  Task<Result<>> try_disk();
  // Nothing may be in flight. The disks are closed.
  void close();
  bool attached() const { return metadata_ != nullptr; }
  bool failed() const { return failed_; }
  blockdev::Metadata& metadata() { return *metadata_; }
  const blockdev::Superblock& superblock() const { return metadata_->superblock(); }
  // Bytes that the peer may lack; 0 when there are no disks.
  std::uint64_t metadata_bits_set() const {
    return metadata_ == nullptr ? 0 : metadata_->bitmap(0).bytes_set();
  }
  blockdev::Bitmap& bits() { return metadata_->bitmap(0); }
  blockdev::BlockDevice& disk() { return *store_.data; }
  const blockdev::Limits& export_limits() const { return export_limits_; }
  std::uint64_t size() const { return export_limits_.size; }

  // --- clients ---
  void start(blockdev::Request& request, ClientDevice& client);
  void client_left();
  using Clients = boost::intrusive::list<ClientDevice, boost::intrusive::constant_time_size<false>>;
  Clients& clients() { return clients_; }
  // Client writes past admission that are not finished on every copy.
  std::uint64_t writes_in_flight() const { return writes_in_flight_; }

  // Everything acknowledged before is on stable storage here and, if the peer takes part, there
  // (whatever the protocol, unless `own_protocol` lets A skip the peer).
  Task<IoError> flush_copies(bool own_protocol);
  // The same, done by the holder for a Primary that it serves.
  Task<IoError> flush_through_holder(TimePoint deadline);
  // Rule 5 without a peer: flush, write the bitmap, let regions leave the activity log.
  Task<IoError> settle_alone();
  // Nothing of this node's uses the disks any more, except what a session has begun.
  bool disk_in_use() const { return writes_in_flight_ > 0 || disk_users_ > 0 || cleaning_; }

  // --- the peer's side of it ---
  void apply(Incoming&& message, Session& session);
  void serve_flush(const wire::Header& flush, Session& session);
  void serve_forwarded(Incoming&& message, Session& session);  // forwarding.cpp
  void serve_read(const wire::Header& read, Session& session);
  void serve_sums(const wire::Header& asked, Session& session);
  // --- regions of two primaries; see regions.cpp ---
  // Regions of this volume are lent to this node, or asked for. False: there are none such.
  bool region_lent(const wire::Header& header);
  bool region_recalled(const wire::Header& header, Session& session);
  bool region_returned(const wire::Header& header);
  // Whether the other node may do this write itself.
  bool lent_to_peer(const wire::Header& write) const;
  void tell_regions(VolumeStatus& status) const;
  // Nothing of the volume is lent when it is done, unless the session has ended or it is too late.
  Task<bool> take_regions_back(TimePoint deadline);
  bool applying() const { return !applying_.empty(); }
  Task<> applied_all();

  // Notes in the bitmap what the peer may lack, and forgets the session's part of every write.
  // True if the peer may lack something that a client was told is written.
  bool session_lost();
  UnflushedLog& unflushed() { return unflushed_; }
  RangeLock& ranges() { return ranges_; }

  // Reads own blocks, and returns only what is finished on every copy (schedules: dirty-read).
  Task<IoError> read_own(std::uint64_t offset, std::uint64_t length, std::byte* data);

  // --- resync; see resync.cpp ---
  Task<> sync_source(Session& session);
  // --- verify; see verify.cpp and sums.cpp ---
  // The chunk that begins at `block`. With `repair`, what differs is copied to the peer.
  Task<VerifiedChunk> verify_chunk(std::uint64_t block, bool repair, Session& session);
  // --- undo.cpp ---
  // Keeps what the disk shows of `what`, durably; or nothing is left behind, and the error says why
  // not. The caller answers for nobody writing meanwhile.
  // Given up, with an error, when the word that it is for is overtaken.
  Task<Result<>> save_undo(const blockdev::Bitmap& what, blockdev::UndoInfo info,
                           std::uint64_t word);

  bool syncing = false;          // SyncSource or SyncTarget in the session that is on
  std::uint64_t sync_total = 0;  // bytes to copy when it began
  std::uint64_t sync_done = 0;   // of them, copied or found equal
  std::uint64_t sync_saved = 0;  // found equal
  bool compares_first = false;   // by checksum
  Estimate sync_estimate;
  void begin_sync(bool by_checksum);
  void sync_progressed(std::uint64_t bytes);
  void sync_received(const wire::Header& header);
  std::uint64_t sync_to_go() const;
  // As the target: from now on it is known which blocks are here. Until stop_filling().
  void start_filling();
  void stop_filling();

 private:
  friend class Engine;
  friend class ClientDevice;
  struct Piece {
    blockdev::Request* request;
    std::uint64_t offset;
    std::uint64_t length;
    std::byte* data;
    std::uint64_t id = 0;       // of the peer's client's write that it is, or 0
    bool asked_before = false;  // of the holder, who may have done it
  };
  // What has become of a write, whole or in pieces.
  struct Outcome {
    // Nothing that the request waits for is waited for longer, however many waits there are (rule
    // 11).
    TimePoint hold_until;
    IoError error = IoError::none;  // the first
    // Not done, or not done where it counts: the disk or the baton has gone meanwhile. The whole
    // write is to be begun once more.
    bool elsewhere = false;
    bool lost = false;  // besides: with the link, so that it may have been done
    // This disk has failed it and the peer has it: done when the peer has taken over. Before, a
    // restart here would not know that this copy lacks it.
    bool with_peer = false;
    // Arrives once for each piece that is answered; whoever waits for it answers the request and
    // holds the range. Null: there is one piece, which does both.
    Latch* answered = nullptr;
    // The request's place among those that overlap it, for when it is begun once more.
    RangeGuard* order = nullptr;
  };
  // A write that has gone to the holder, piece by piece.
  struct Forwarded {
    std::uint64_t first_id = 0;  // of its pieces; 0: it has not
    std::uint64_t pieces = 0;
    std::uint64_t done = 0;      // pieces that the holder has answered, first to last
    std::uint64_t asked = 0;     // the process that may have done the next one, unheard; 0: none
    std::uint64_t asked_in = 0;  // in which session
    std::uint64_t batons = 0;    // how many had been granted to this node when the holder was asked
  };
  // This disk's part of a request that goes to both copies. A failure is known at once, and not
  // when the peer has answered too: what follows from losing the peer depends on it.
  struct OwnShare {
    static void done(Operation& operation);
    Volume& volume;
    const char* what;
    Latch& latch;
  };

  Task<> serve(blockdev::Request& request, ClientDevice& client);
  Task<> serve_write(blockdev::Request& request, ClientDevice& client);
  Task<> serve_client_read(blockdev::Request& request);
  Task<IoError> flush_for_client();
  Task<> serve_client_flush(blockdev::Request& request, ClientDevice& client);
  Task<> serve_sync_status(blockdev::Request& request);
  Task<> serve_status(blockdev::Request& request);
  // These answer the request, unless it is to be done elsewhere.
  Task<> write_large(blockdev::Request& request, std::uint64_t from, Outcome& outcome);
  void keep_place(Outcome& outcome);
  std::optional<IoError> fate_of(const Forwarded& forwarded) const;
  std::uint64_t pieces_done(const Forwarded& forwarded) const;
  Task<> write_piece(Piece piece, Outcome& outcome);
  // forwarding.cpp
  Task<> write_through_holder(blockdev::Request& request, Outcome& outcome, Forwarded& forwarded);
  Task<IoError> forward_piece(Piece piece, Outcome& outcome);
  Task<> write_for_peer(Incoming message, Session& session);
  // regions.cpp
  Task<> take_back(RegionRun run);
  void consider_lending(std::uint64_t offset, std::uint64_t length, Session& session);
  Session* lender(std::uint64_t offset, std::uint64_t length);
  Task<IoError> write_borrowed(Piece piece, Outcome& outcome);
  Task<> return_regions(RegionRun run, Session& session);
  static void answer_forwarded(wire::Header reply, const Outcome& outcome, Session& session);
  void fill_header(SentWrite& sent, const blockdev::Request& request, const Piece& piece) const;
  Task<IoError> read_from_holder(std::uint64_t offset, std::uint64_t length, std::byte* data,
                                 TimePoint arrived, const char** reason);
  Task<> apply_one(Incoming message, Session& session);
  Task<> flush_for_peer(wire::Header flush, Session& session);
  Task<> read_for_peer(wire::Header read, Session& session);
  // Read here, by leave of the holder, though the copy is still being filled. False: ask for it.
  Task<bool> read_filled(std::uint64_t offset, std::uint64_t length, std::byte* data);
  bool filled(std::uint64_t offset, std::uint64_t length) const;
  void take_back_idle(RegionRun run, Session& session);
  Task<> until_borrower_has_it(std::uint64_t offset, std::uint64_t length);
  Task<bool> leave_to_show(std::uint64_t offset, std::uint64_t length, Session& session);
  // Into the activity log. Error: it was not; `io`: the log takes nothing any more.
  Task<IoError> log_region(std::uint64_t offset, std::uint64_t length);
  // A served guest has asked for blocks that its copy lacks: they are copied before others.
  void note_hot(std::uint64_t offset, std::uint64_t length);
  std::optional<blockdev::BlockRange> next_hot(std::uint64_t blocks_max);
  std::uint64_t bytes_of(blockdev::BlockRange range) const;
  Task<bool> known_zero(std::uint64_t offset, std::uint64_t length);
  Task<> cut_at_hole(blockdev::BlockRange& range, std::uint64_t data_blocks_max);
  Task<> copy_range(blockdev::BlockRange range, Session& session, SyncRound& round);
  Task<> sums_for_peer(wire::Header asked, Session& session);
  Task<bool> both_holes(std::uint64_t offset, std::uint64_t length, Session& session);
  Task<Comparison> compare(blockdev::BlockRange range, Session& session);
  Task<bool> copy_runs(std::uint64_t first_block, const std::vector<BlockRun>& runs,
                       std::span<const std::byte> data, RangeGuard& guard, Session& session);
  void note_equal(blockdev::BlockRange range);
  Task<> copy_what_differs(blockdev::BlockRange range, RangeGuard& guard, Session& session,
                           SyncRound& round);
  Task<blockdev::BlockRange> next_to_keep(const blockdev::Bitmap& what, std::uint64_t block,
                                          bool& zeroes);
  Task<> measure_undo(const blockdev::Bitmap& what, blockdev::UndoInfo& info, std::uint64_t word);
  Task<IoError> fill_undo(const blockdev::Bitmap& what, const blockdev::UndoInfo& measured,
                          std::uint64_t word, blockdev::BlockDevice& file);
  // suspended.cpp
  Task<IoError> replicate_again(const blockdev::Request& request, const Piece& piece,
                                TimePoint deadline, const char** reason);
  // Waits while the range shows a write whose fate is open. Error: io, at the deadline.
  Task<IoError> until_settled(std::uint64_t offset, std::uint64_t length);
  bool shows_open_write(std::uint64_t offset, std::uint64_t length) const;
  Task<> clean_activity_log();
  void flush_peer_soon();
  Task<> flush_peer();
  IoError disk_error(IoError error, const char* what);
  void leave_disk_alone() {
    if (--disk_users_ == 0) drained_.notify_all();
  }
  // room.cpp
  Task<IoError> write_when_there_is_room(blockdev::Request& own, TimePoint deadline,
                                         const char** reason);
  Task<IoError> forward_when_there_is_room(Piece piece, Outcome& outcome);
  Task<IoError> write_same_again(std::uint64_t offset, std::uint64_t length);
  Task<IoError> read_and_write_again(std::uint64_t offset, std::uint64_t length);
  void give_time_limits(BackingStore& store);
  void gave_up(const blockdev::BlockDevice& device, blockdev::Op oldest,
               std::uint64_t requests) override;
  void all_answered(const std::string& device) override;
  Task<Result<>> make_readable_durable();
  // failed_flush.cpp
  Task<> record_failed_flush();
  Task<IoError> write_recovered_regions_again();
  Task<IoError> write_again(std::uint64_t offset, std::uint64_t& length);

  Engine& engine_;
  std::uint32_t index_;
  VolumeConfig config_;
  blockdev::Unanswered unanswered_;
  BackingStore store_;
  std::unique_ptr<blockdev::Metadata> metadata_;
  blockdev::Limits export_limits_;
  bool failed_ = false;
  bool flush_failed_ = false;
  bool room_wait_logged_ = false;      // and there was none since
  bool cleaning_ = false;              // clean_activity_log() runs
  bool room_wanted_ = false;           // the log has asked for room and not been served yet
  std::uint64_t regions_cleaned_ = 0;  // how often the log was told that an interval is clean
  bool barrier_running_ = false;
  std::uint64_t disk_users_ = 0;  // reads, flushes and looks at the disk that are under way
  Clients clients_;
  RangeLock ranges_;
  // Writes that go to the holder, or are begun once more, and while there are any all that come
  // after them. Not `ranges_`: the holder may send this very write back to the copy here.
  RangeLock forwarding_;
  // On the own disk, perhaps not on the peer's, and failed for the client: written while the peer
  // was being lost. Until the suspension ends.
  struct OpenWrite {
    std::uint64_t offset;
    std::uint64_t length;
  };
  std::vector<OpenWrite> open_;
  LentRegions lent_;
  BorrowedRegions borrowed_;
  Signal regions_moved_;
  UnflushedLog unflushed_;
  std::unique_ptr<blockdev::Bitmap> missing_;  // as the target: what has not come yet
  std::deque<blockdev::BlockRange> hot_;       // as the source
  std::uint64_t writes_in_flight_ = 0;
  Signal drained_;
  // Received writes in the order of their numbers, until their disk write is done.
  boost::intrusive::list<Applied, boost::intrusive::constant_time_size<false>> applying_;
  Signal applied_;

 public:
  Signal& drained() { return drained_; }
};

}  // namespace baton::replication
