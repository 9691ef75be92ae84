// The four doors through which the engine reaches the world (design §2): BlockDevice, Link, Clock,
// Random; a fifth to the operator's programs; and the loop and buffers of the shard it runs on.
// Production fills this in from a Shard, the simulator from its world.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/buffer_pool.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/random.h"
#include "base/result.h"
#include "base/stream.h"
#include "base/task.h"
#include "blockdev/block_device.h"
#include "replication/core/handlers.h"

namespace baton::replication {

// What a volume stands on. Closing is destruction, with nothing in flight.
struct BackingStore {
  std::unique_ptr<blockdev::BlockDevice> data;
  std::unique_ptr<blockdev::BlockDevice> metadata;
};

class Disks {
 public:
  virtual ~Disks() = default;
  // Opens and locks the data and the metadata of volume number `volume`. Errors are sentences for a
  // person; missing metadata is an error that names create-md.
  virtual Result<BackingStore> open(std::uint32_t volume) = 0;
  // Makes the file in which a copy keeps what it loses when it yields (blockdev/undo/format.h):
  // `bytes` long, reading as zeroes, its name on stable storage. One of the same generation is
  // replaced. Refused where there is no room, with a sentence that names both figures.
  virtual Result<std::unique_ptr<blockdev::BlockDevice>> create_undo(std::uint32_t volume,
                                                                     std::uint64_t generation,
                                                                     std::uint64_t bytes) = 0;
  // Removes one that could not be finished.
  virtual void remove_undo(std::uint32_t volume, std::uint64_t generation) = 0;
};

// One established, not yet authenticated byte stream to the peer's daemon.
using Link = std::unique_ptr<Stream>;

class Links {
 public:
  virtual ~Links() = default;
  // Dials the peer's replication address once. No retry, bounded by `deadline`.
  virtual Task<Result<Link>> dial(std::string peer, TimePoint deadline) = 0;
  // Incoming links are handed to Resource::accept() by whoever listens.
};

// One line per change of state, for the log and for `events`; never on the data path.
class Journal {
 public:
  virtual ~Journal() = default;
  enum class Level : std::uint8_t { debug, notice, warning, error };
  virtual void line(Level level, std::string text) = 0;
};

// Programs of the operator's (core/handlers.h).
class Handlers {
 public:
  virtual ~Handlers() = default;
  virtual bool configured(Handler handler) const = 0;
  // Runs it to its end, however long that takes, and returns its exit code. Absent: it could not be
  // started, was ended by a signal, or was abandoned.
  virtual Task<std::optional<int>> run(Handler handler) = 0;
  // Starts it; nobody waits for how it ends.
  virtual void start(Handler handler) = 0;
  // Every run() that is under way completes now; the programs go on by themselves.
  virtual void abandon() = 0;
};

struct Environment {
  Loop& loop;
  Clock& clock;
  Random& random;
  BufferPool& buffers;
  Disks& disks;
  Links& links;
  Journal& journal;
  Handlers& handlers;
};

}  // namespace baton::replication
