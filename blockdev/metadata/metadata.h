// What a node remembers about one copy of one volume: superblock, activity log, bitmaps (design
// §6). The format is docs/on-disk-format.md. All calls from the shard that owns the volume.
//
// Everything that completes successfully here is on stable storage of the metadata device (written
// and flushed), unless the comment says otherwise. An error from the metadata device is final: the
// caller treats the copy as failed; nothing is retried.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "blockdev/block_device.h"
#include "blockdev/metadata/bitmap.h"

namespace baton::blockdev {

inline constexpr std::uint64_t region_bytes = 4U << 20U;  // of the activity log (design §1)
inline constexpr std::size_t lineage_max = 64;            // ids kept; root and bases never dropped
inline constexpr std::size_t peer_slots_max = 8;
// 25 GiB of hot data at once. The format has no limit: this one bounds what is to be compared
// after a crash.
inline constexpr std::size_t active_regions_default = 6400;

// A session between two nodes: ordered by number, made unmistakable by a random id (design §5).
struct SessionStamp {
  std::uint64_t number = 0;
  std::uint64_t id = 0;
  friend bool operator==(const SessionStamp&, const SessionStamp&) = default;
};

// What is remembered about one peer's copy. A slot without a name is free.
struct PeerSlot {
  std::string name;  // node name, at most 63 bytes
  std::uint64_t base_id =
      0;  // generation the peer's copy had when the bitmap began to fill; 0: none
  std::uint64_t told_id = 0;  // generation the peer was told to adopt since; 0: none
  SessionStamp session;       // newest session that was stamped here
  SessionStamp confirmed;     // newest session that both sides are known to have stamped
  bool behind = false;        // durable claim: this peer's copy lacks acknowledged writes
  friend bool operator==(const PeerSlot&, const PeerSlot&) = default;
};

// The superblock without its framing. Lineage is root first, newest last.
struct Superblock {
  std::string resource;  // at most 127 bytes
  std::string node;      // at most 63 bytes
  std::uint32_t volume = 0;
  std::uint64_t size = 0;  // bytes of the volume
  std::vector<std::uint64_t> lineage;
  std::vector<std::uint64_t> towards;  // not empty: an interrupted sync target (never complete)
  std::uint64_t epoch = 0;
  std::string holder;         // of that epoch; empty: nobody
  std::uint64_t boot_id = 0;  // of the host when this was written
  bool clean = false;         // nothing was in flight when the daemon stopped
  bool released = false;      // the daemon stopped in order: all that it wrote is on the disk
  bool primary = false;       // role when this was written
  bool inconsistent = true;   // the copy is no complete image of any generation
  bool outdated = false;      // known to lack acknowledged writes
  bool doubtful = false;      // its host crashed or its disk failed, and it has not met its peer
                              // since: may lack what its node acknowledged
  bool flush_failed = false;  // what reads of the disk show may not be durable
  bool adopted = false;       // the disk held data before it was Baton's (never a sync target
                              // without --discard-my-data)
  std::array<PeerSlot, peer_slots_max> peers;
  friend bool operator==(const Superblock&, const Superblock&) = default;
};

class Metadata {
 public:
  // Bytes of a metadata device for a volume of `volume_size` with `slots` bitmaps.
  static std::uint64_t bytes_needed(std::uint64_t volume_size, std::uint32_t slots);

  // Writes a new, empty metadata area: `initial`, empty activity log, clear bitmaps. Durable.
  static Task<Result<>> format(Loop& loop, BlockDevice& device, Superblock initial,
                               std::uint32_t slots);

  // Reads and checks everything. A torn or corrupt superblock copy falls back to the other one;
  // with no good copy, or one that a newer version wrote, it fails. A damaged bitmap page or
  // activity log page is widened ("all of this may differ") and reported in `warnings`. `device`
  // outlives the result. The regions of the activity log are *not* turned into bits here: see
  // recovered_regions().
  //
  // For a reader (dump-md): nothing is written, and what is found may not be durable.
  static Task<Result<std::unique_ptr<Metadata>>> read(Loop& loop, BlockDevice& device,
                                                      std::vector<std::string>& warnings);
  // For use: what is found is durable when this completes, whatever a killed predecessor left in
  // the disk's cache, and even if its last flush has failed (write_again.h).
  static Task<Result<std::unique_ptr<Metadata>>> open(
      Loop& loop, BlockDevice& device, std::vector<std::string>& warnings,
      std::size_t active_regions_limit = active_regions_default);

  virtual ~Metadata() = default;

  // The newest durable content.
  virtual const Superblock& superblock() const = 0;

  // What the last commit() asked for, durable or on its way: the content to change and commit next.
  // A change made to superblock() instead would undo a commit that is still being written.
  virtual const Superblock& latest() const { return superblock(); }

  // Replaces the superblock. Commits are carried out in order of the calls; calls that arrive while
  // one is being written may share the next write. Durable in one copy at least, and written to
  // both. `next` keeps size and fits the format (superblock.h, check_encodable).
  virtual Task<IoError> commit(Superblock next) = 0;

  // --- activity log: the set of regions that may have writes in flight ---

  // Regions that were in the log when it was loaded: after a crash only they need looking at. They
  // stay in the log, as if released in interval 1 (the first), until they are marked clean.
  virtual const std::vector<std::uint64_t>& recovered_regions() const = 0;

  // True if every region of the range is durable in the log, and then notes the use (recency, and
  // that the region is in use until release()). Costs nothing. `length` > 0.
  virtual bool acquire_if_active(std::uint64_t offset, std::uint64_t length) = 0;
  // Same, but makes the missing regions durable first; calls that arrive meanwhile share the next
  // transaction. Waits (see set_pressure_handler) when the log is full of regions in use.
  virtual Task<IoError> acquire(std::uint64_t offset, std::uint64_t length) = 0;
  // Ends one use. The region stays in the log, and counts as dirty until mark_clean().
  virtual void release(std::uint64_t offset, std::uint64_t length) = 0;

  // Rule 5: a region leaves the log only when no write in it is in use and everything written in it
  // has been flushed on every copy, or is durable in a bitmap. The owner numbers its flush
  // intervals: begin_interval() starts a new one and returns the number of the one that ended (do
  // this before submitting the flush); mark_clean(n) says that whatever was released in interval n
  // or before is now safe everywhere.
  virtual std::uint64_t begin_interval() = 0;
  virtual void mark_clean(std::uint64_t interval) = 0;
  // Called when somebody waits in acquire() and some region is dirty: the owner shall flush every
  // copy (and write its bitmaps) soon and call mark_clean(); until then it is not called again. May
  // be called from inside acquire(), release() or mark_clean(), so it only takes note.
  virtual void set_pressure_handler(void (*handler)(void*), void* context) = 0;
  // The volume's own disk is lost, so no region becomes clean any more: whoever waits in acquire(),
  // and whoever calls it from now on, gets `io`.
  virtual void refuse_acquires() = 0;
  // Empties the log durably. For a clean stop. `invalid`, and nothing done, if a region is in use
  // or dirty.
  virtual Task<IoError> empty_activity_log() = 0;
  virtual std::size_t active_regions() const = 0;
  virtual std::size_t active_regions_max() const = 0;

  struct ActivityCounters {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;        // regions that had to be made durable
    std::uint64_t transactions = 0;  // writes of the log
    std::uint64_t stalls = 0;        // acquire() had to wait for a region to become clean
  };
  virtual const ActivityCounters& activity_counters() const = 0;

  // --- bitmaps: one bit per 4 KiB block and peer slot: that peer may lack this block ---

  virtual std::uint32_t slots() const = 0;
  // In memory; changes reach the device with write_bitmap().
  virtual Bitmap& bitmap(std::uint32_t slot) = 0;
  // Writes every page that changed since it was last written. Bits changed during the write go with
  // the next one.
  virtual Task<IoError> write_bitmap(std::uint32_t slot) = 0;
};

}  // namespace baton::blockdev
