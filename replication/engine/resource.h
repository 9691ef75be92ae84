// A resource on one node: its volumes, its peer, its role. The surface that control/ drives.
//
// Made once and kept: up() and down() may follow each other any number of times. What is down shows
// its volumes as Diskless, refuses every other verb, and ends the verbs that were waiting.
//
// Everything here is called on the resource's shard. Verbs are coroutines that complete when what
// they promise is true (and durable where durability is part of the promise), or fail with one
// sentence and have changed nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "blockdev/metadata/metadata.h"
#include "replication/core/after_sb.h"
#include "replication/core/first_write.h"
#include "replication/core/found_ranges.h"
#include "replication/core/peer_loss.h"
#include "replication/core/states.h"
#include "replication/engine/environment.h"
#include "replication/wire/messages.h"

namespace baton::replication {

struct VolumeConfig {
  std::uint64_t size = 0;  // 0: the size of the disk
};

struct NodeConfig {
  std::string name;
};

struct ResourceConfig {
  std::string name;
  std::string self;               // this node's name
  std::vector<NodeConfig> nodes;  // in the order of the file; one of them is `self`
  std::vector<VolumeConfig> volumes;
  Protocol protocol = Protocol::c;
  std::string secret;                          // empty: peers are not authenticated (loopback only)
  Duration timeout = std::chrono::seconds(6);  // a silent or stuck peer is dropped after this
  Duration ping_interval = std::chrono::seconds(2);
  Duration fence_hold = std::chrono::seconds(20);  // held writes get ENOSPC after this
  std::uint64_t boot_id = 0;                       // of this host; differs after a reboot
  // Both nodes may be Primary at once: protocol C only, and on both nodes or on none.
  bool two_primaries = false;
  bool auto_resume = true;  // design §4 "Restart"
  bool handover_on_silence =
      true;  // a window's first write may be granted by a guess (first_write.h)
  OnIoError on_io_error = OnIoError::detach;
  Duration disk_timeout{};  // without an answer for so long a disk has failed; 0: it is waited for
  bool checksum_based = false;                  // resync compares before it copies
  std::uint64_t resync_rate = 0;                // bytes per second; 0: as the link allows
  std::uint64_t verify_rate = 64U << 20U;       // bytes per second of each copy
  Duration verify_interval{};                   // since the last one has ended; 0: never
  OnPeerLost on_peer_lost = OnPeerLost::go_on;  // design §4 "Losing the peer"
  AfterSplitBrain after_sb;                     // the same on both nodes
  // Of the activity log; a small log makes regions leave it early, which is what tests want. Room
  // for every region of the largest request at least.
  std::size_t active_regions = blockdev::active_regions_default;
  // Of the wire protocol: what this node offers its peer. Tests offer what no peer speaks.
  std::uint16_t version_lowest = wire::version_min;
  std::uint16_t version_highest = wire::version_max;
};

// Somebody who has an export open.
struct ClientInfo {
  std::string name;  // "unix client, pid 4711"
};

struct VolumeStatus {
  std::uint32_t volume = 0;
  DiskState disk_state = DiskState::diskless;
  std::uint64_t size = 0;
  // Of the activity log since the start: writes whose regions were in it, regions that had to
  // enter, and writes that waited for room.
  std::uint64_t log_hits = 0;
  std::uint64_t log_misses = 0;
  std::uint64_t log_stalls = 0;
  // Of two primaries: regions of 4 MiB that the other node writes to without asking this one, or
  // this one without asking the other, and how often one was lent or came back since the start.
  std::uint64_t regions_lent = 0;
  std::uint64_t regions_borrowed = 0;
  std::uint64_t region_moves = 0;
  // Requests that the disk did not answer within `disk-timeout` and has not answered yet: until it
  // has, it cannot be attached.
  std::uint64_t unanswered = 0;
  std::uint64_t unanswered_ms = 0;
};

struct PeerVolumeStatus {
  std::uint32_t volume = 0;
  ReplicationState replication_state = ReplicationState::off;
  DiskState peer_disk_state = DiskState::unknown;
  std::uint64_t out_of_sync_bytes = 0;
  double percent_in_sync = 100.0;
  std::optional<std::uint64_t> seconds_to_go;  // of a resync, once there is a basis
  bool sync_held_here = false;                 // by pause_sync(), on this node
  bool sync_held_there = false;                // and on the other
};

// A comparison of the two copies: the one that is on, or the last one.
struct VerifyStatus {
  bool running = false;
  bool complete = false;  // it has come to its end; else, if not running, the next one goes on
  bool repair = false;
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t found_bytes = 0;  // that differ, in whole blocks
  std::uint64_t repaired_bytes = 0;
  std::uint64_t ranges = 0;        // in which they lie
  std::vector<FoundRange> listed;  // the first of them; only on the node that compares
  std::optional<std::uint64_t> seconds_to_go;
  friend bool operator==(const VerifyStatus&, const VerifyStatus&) = default;
};

// Both sides have generations that the other lacks. Nothing is copied until one side yields.
struct SplitBrain {
  std::string reason;            // one sentence: who wrote what since when
  std::uint64_t common = 0;      // the last generation that both have; 0: none is known any more
  std::uint64_t own_bytes = 0;   // that may have been changed here since
  std::uint64_t peer_bytes = 0;  // and there
  friend bool operator==(const SplitBrain&, const SplitBrain&) = default;
};

struct ConnectionStatus {
  std::string name;  // the peer's
  ConnectionState connection_state = ConnectionState::stand_alone;
  Role peer_role = Role::unknown;
  std::vector<PeerVolumeStatus> peer_devices;
  std::optional<SplitBrain> split_brain;
  std::optional<VerifyStatus> verify;  // absent: there was none since the start
  std::string last_error;              // why it is not Connected, or empty
};

// Clients' requests that wait for something outside this node's disks.
struct HeldStatus {
  std::uint64_t count = 0;
  std::string reason;  // of the last one that began to wait
  std::uint64_t oldest_ms = 0;
};

struct ResourceStatus {
  std::string name;
  Role role = Role::secondary;
  bool up = false;
  std::vector<VolumeStatus> devices;
  std::vector<ConnectionStatus> connections;
  std::string baton_holder;  // node name; empty: nobody known
  std::uint64_t baton_epoch = 0;
  bool window_open = false;
  bool baton_in_flight = false;  // granted away, and not known to have arrived: nobody's word yet
  std::string suspended;         // why no write is admitted although it is Primary; or empty
  HeldStatus held_writes;        // and flushes
  HeldStatus held_reads;         // of a copy that is not here
  double held_longest_ms = 0;    // that any write waited to be admitted
  std::uint64_t bytes_replicated = 0;  // payload sent to the peer since start
  std::vector<std::string> clients;
};

// Told after every change that `status()` would show. Called from the shard; must not call back.
class ResourceObserver {
 public:
  virtual ~ResourceObserver() = default;
  virtual void resource_changed(const std::string& resource) = 0;
};

struct PromoteOptions {
  bool force = false;
  bool confirmed = false;  // the operator has accepted the risk (`--yes` or a terminal answer)
};

struct VerifyOptions {
  bool repair = false;      // what differs is copied from the node that holds the baton, at once
  bool from_start = false;  // do not go on where the last one was cut off
  bool stop = false;        // end the one that is on
};

class Resource {
 public:
  virtual ~Resource() = default;

  // Attaches every volume and starts to connect; Secondary at first. A one-node resource takes its
  // baton at once. Fails as a whole: nothing stays open.
  virtual Task<Result<>> up() = 0;
  // Before exports are closed for a stop, which waits for their requests: writes that are held
  // until the baton comes here end with an error from now on. down() has to follow.
  virtual void expect_down() = 0;
  // Clean stop: drains, flushes, releases the baton durably, tells the peer, closes the disks.
  // Afterwards there is nothing to resync. Exports must have been closed for new clients before.
  virtual Task<Result<>> down() = 0;

  // Where there is a risk to accept (design §8 `primary`), the error is needs_confirmation().
  virtual Task<Result<>> promote(PromoteOptions options) = 0;
  virtual Task<Result<>> demote(bool force) = 0;
  // `discard_my_data`: this node's copy yields, where the two have parted. `undo`: what differs is
  // kept first, as with resolve().
  virtual Task<Result<>> connect(bool discard_my_data, bool undo) = 0;
  virtual Task<Result<>> disconnect() = 0;
  // Opens the disks of a node that has gone on without, and connects again, so that what they lack
  // is copied to them. Its clients go on meanwhile. Fails with the disk's own sentence; the node is
  // then without its disk, as before.
  virtual Task<Result<>> attach() = 0;
  // Gives this node's disks up: everything acknowledged is on stable storage on both copies, the
  // peer has the baton, and the disks are closed. The role stays; clients here are served by the
  // peer. Refused where the peer's copy is not UpToDate; nothing has changed then.
  virtual Task<Result<>> detach() = 0;
  // Gives this node's copy up, to be filled anew by the node that holds the baton: done when that
  // is durable here, behind a flush of the holder's. The session ends and another one begins.
  // Failed, nothing was given up; refused where no holder is connected, or this node is Primary.
  virtual Task<Result<>> invalidate() = 0;
  // The peer's copy, on the node that holds the baton, whose copy is UpToDate: done when the peer
  // has durably recorded that it is no copy, and is being filled anew. Refused while the peer is
  // Primary.
  virtual Task<Result<>> invalidate_remote() = 0;
  // Holds resyncs: blocks are copied again when neither node holds them any more. Stays over lost
  // connections, until resume_sync() or down(). Writes of clients go to both copies meanwhile.
  virtual Task<Result<>> pause_sync() = 0;
  virtual Task<Result<>> resume_sync() = 0;
  // In split brain: the copy of node `keep` stays, the other one yields, whichever of the two is
  // asked. Returns when the other has durably recorded that it is being overwritten (SyncTarget).
  // `undo`: what differs is first saved, durably, on the side that yields; where that fails,
  // nothing is overwritten. Refused while the side that would yield is Primary; after any other
  // failure the split brain is as it was, or the other side still yields once the two are
  // connected.
  virtual Task<Result<>> resolve(std::string keep, bool undo) = 0;
  // A Primary whose writes wait for its lost peer (on-peer-lost) goes on without it; completes when
  // that is durable. Done as well when nothing waits.
  virtual Task<Result<>> resume_io() = 0;
  // This copy counts as Outdated, durably, until it has met the other one. Refused where it is
  // Primary, holds the baton or is connected. For fence-peer handlers.
  virtual Task<Result<>> outdate() = 0;
  // On the holder: gives the baton to the peer. On the other node: takes it. Both stay connected.
  virtual Task<Result<>> handover(std::string to) = 0;

  // Compares the two copies block by block, on the node that holds the baton, whichever is asked.
  // Done: all of it was compared, and nothing differs (any more, with `repair`). An error: what
  // differs, in one sentence (those blocks are durably recorded as out of sync, and the next
  // connect copies them from the holder); or why it could not begin, or was cut off and where: the
  // next one goes on there. With `stop`: done when none is on any more.
  virtual Task<Result<>> verify(VerifyOptions options) = 0;

  virtual ResourceStatus status() const = 0;
  virtual void observe(ResourceObserver* observer) = 0;

  // What open() of this volume would show. Fails with a sentence like open() does.
  virtual Result<blockdev::Limits> limits(std::uint32_t volume) const = 0;

  // Opens volume `volume` for one NBD connection. The device lives as long as the connection, and
  // shows the same limits on every node and in every role (design §4 "A Secondary's export").
  // Fails with a sentence when the volume does not exist or has no size yet.
  virtual Result<std::unique_ptr<blockdev::BlockDevice>> open(std::uint32_t volume,
                                                              ClientInfo client) = 0;

  // The first write of a client here may bring the role, for so long (design §4 "Who asks (c)"): it
  // is held until the other node's clients (that ever wrote or flushed) are gone or silent, and
  // admitted once the role is here with everything that was acknowledged; or it gets `no_space`,
  // when the other node's guest goes on, when the window closes or at the write's own deadline.
  // Refused where the two are not connected; nothing to do, and done, on a Primary. Not durable. A
  // second call sets the time anew.
  virtual Task<Result<>> allow_first_write(Duration time) = 0;
  // Closes the window, here or on the other node. Done as well when there is none.
  virtual Task<Result<>> deny_first_write() = 0;
  // The word of whoever watches the guest on this node. `stopped` is as good as silence; `running`
  // behind it, or while the other node asks, closes the other node's window for good.
  virtual void guest_is(GuestWord word) = 0;

  // The migration coordinator's way (design §4 "Who asks (b)"), on the Primary: stops admitting
  // writes, brings everything acknowledged to stable storage on both copies (on the one that is
  // whole, where the other one is not), and tells the peer that the role is to be had, with the
  // baton where the peer's copy is whole. This node keeps both: its own client's next write voids
  // the offer and goes on; the peer's first write, or handover() there, brings the grant.
  virtual Task<Result<>> offer() = 0;
  // The coordinator's word that the destination's guest runs, on the Primary: grants what was
  // offered if the offer is still open, and completes when the peer has taken it. An offer that a
  // client's write has voided meanwhile fails and changes nothing: that guest goes on (two guests
  // never both write).
  virtual Task<Result<>> grant_offered() = 0;
  // Ends the offer: writes are admitted again. Done as well when there is none (any more), unless
  // the baton has gone.
  virtual Task<Result<>> withdraw_offer() = 0;

  // An incoming link on this resource's replication address.
  virtual void accept(Link link) = 0;

  // Bytes for the other node's control plane, over the authenticated link; at most 64 KiB a call.
  // Fails when not connected; what was handed over may be lost with the link.
  virtual Result<> tunnel(std::span<const std::byte> bytes) = 0;
  using TunnelHandler = std::function<void(std::span<const std::byte>)>;
  virtual void on_tunnel(TunnelHandler handler) = 0;
};

std::unique_ptr<Resource> make_resource(Environment environment, ResourceConfig config);

}  // namespace baton::replication
