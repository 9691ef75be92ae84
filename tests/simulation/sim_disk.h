// A disk with a volatile cache, as quality.md B3 models it, per 512 B sector: a durable value,
// completed values that no flush has covered, and values in flight.
//
// Reads see the newest completed value. A flush makes durable what had completed when it was
// submitted. The disk outlives the process that uses it: a SIGKILL forgets the requests (they never
// complete into memory that is gone) and lets each sector in flight land or not; a power cut
// besides loses, keeps or tears what no flush covered.
//
// All of that is within what the promises cover. Beyond it a disk may lie: forget, misplace or
// shred what it was given, rot, or be another disk altogether (sim_disk_lies.cpp).
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "blockdev/block_device.h"
#include "tests/simulation/sparse_image.h"
#include "tests/simulation/world.h"

namespace baton::sim {

// What a power cut does to completed writes that no flush has covered. `shred` goes beyond what a
// disk may do: a sector is kept, lost, half of it or noise.
enum class PowerLoss : std::uint8_t { lose, keep, tear, shred };

struct DiskModel {
  Duration latency_min = std::chrono::microseconds(20);
  Duration latency_max = std::chrono::microseconds(200);
  std::uint64_t slow_permille = 0;  // requests that take up to `slow_max`
  Duration slow_max = std::chrono::milliseconds(50);
  bool discard = true;
  bool discard_zeroes = true;  // otherwise a discarded sector keeps its content or reads as zeroes
};

// A range in which requests of one kind fail, so many times or until mended.
struct DiskFault {
  blockdev::Op op = blockdev::Op::write;
  std::uint64_t count = 1;  // sticky: UINT64_MAX
  std::uint64_t offset = 0;
  std::uint64_t length = UINT64_MAX;
  IoError error = IoError::io;
  bool guarded = false;  // strikes only when DiskWatch allows it
};

// Writes that are answered as done and are not, so many of those that touch a range.
struct DiskLie {
  enum class Kind : std::uint8_t { lost, misdirected };
  Kind kind = Kind::lost;
  std::uint64_t count = 1;  // sticky: UINT64_MAX
  std::uint64_t offset = 0;
  std::uint64_t length = UINT64_MAX;
  std::uint64_t to = UINT64_MAX;  // misdirected: lands there; UINT64_MAX: at any sector
};

class SimDisk;

// Whoever keeps faults within what the promises cover (quality.md B5, the fault atlas).
class DiskWatch {
 public:
  virtual ~DiskWatch() = default;
  // A write, zeroing or discard is on its way to the disk.
  virtual void submitted(const SimDisk& disk, std::uint64_t offset, std::uint64_t length) = 0;
  // May a guarded fault strike now?
  virtual bool may_fail(const SimDisk& disk) = 0;
  // The disk has failed a request; what that leaves on the medium is settled.
  virtual void failed(const SimDisk& disk, blockdev::Op op) = 0;
  // The range does not hold any more what was written there, and nobody was told.
  virtual void damaged(const SimDisk& disk, std::uint64_t offset, std::uint64_t length) = 0;
  // The range holds what was written there.
  virtual void stored(const SimDisk& disk, std::uint64_t offset, std::uint64_t length) = 0;
};

class SimDisk {
 public:
  // `number` names it in the trace: volume * 2, plus 1 for its metadata, plus 33 for an undo file.
  SimDisk(World& world, int node, std::uint64_t number, std::uint64_t size, DiskModel model);
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;
  ~SimDisk();

  // Opens and locks it for `process`; an error while another handle is open. Completions are
  // delivered on the process's loop.
  Result<std::unique_ptr<blockdev::BlockDevice>> open(Process& process);

  // --- faults ---
  // The process is gone: nothing in flight will complete; each sector of it lands or not.
  void process_killed();
  // After process_killed().
  void power_cut(PowerLoss how);
  // A failed write leaves each sector old or new; a failed flush may drop what it should have made
  // durable, as Linux does. A fault of writes is one of zeroing and discarding, too.
  void fail(DiskFault fault) { faults_.push_back(fault); }
  // Everything fails from now on (until mend()).
  void fail_for_good() { dead_ = true; }
  // Nothing completes and nothing reaches the medium until mend(), or until the process dies.
  void hang() { hung_ = true; }
  void mend();
  // Nothing is wrong with it, nor due to go wrong.
  bool sound() const { return faults_.empty() && lies_.empty() && !dead_ && !hung_; }
  // Some read has failed, ever.
  bool unreadable_once() const { return unreadable_once_; }
  void watch(DiskWatch* watch) { watch_ = watch; }
  void set_model(DiskModel model) { model_ = model; }

  // --- faults that nobody is told of ---
  // Flips a bit in each of `sectors` sectors of the range, rather where something was written.
  void rot(std::uint64_t offset, std::uint64_t length, std::uint64_t sectors);
  void lie(DiskLie lie) { lies_.push_back(lie); }
  // Keeps what a reader sees now, one copy.
  void take_snapshot();
  bool has_snapshot() const { return snapshot_ != nullptr; }
  // Replaced by that copy, by a new disk of the same size. Not while open.
  void restore_snapshot();
  void replace_by_blank();

  // What a successor would find if the process died now, and with it the power unless that is
  // nullopt. Nothing happens to the disk, nor to its random numbers.
  SparseImage after_crash(std::optional<PowerLoss> power, Prng& random) const;

  // --- for the oracle: what a read would return now ---
  const SparseImage& visible() const { return visible_; }
  const SparseImage& durable() const { return durable_; }
  bool idle() const { return in_flight_.empty(); }
  // Or since the disk was opened one of its requests has taken that long: then it was given up,
  // with all that were in flight beside it, and whoever gave them up may end without them.
  bool idle_or_given_up(Duration patience) const;
  // Something that came no later than then is still in flight.
  bool owes_since(TimePoint then) const;
  std::uint64_t size() const { return visible_.size(); }
  std::string name() const;
  int node() const { return node_; }
  bool holds_data() const { return number_ % 2 == 0; }
  std::uint32_t volume() const { return static_cast<std::uint32_t>(number_ / 2); }

 private:
  class Handle;
  struct InFlight;
  // A completed write that no flush has covered, rounded out to sectors; without data: zeroes.
  struct Unflushed {
    std::uint64_t sequence;
    std::uint64_t offset;
    std::uint64_t length;
    std::vector<std::byte> data;
  };

  void submit(Handle& handle, blockdev::Request& request);
  Duration latency();
  static void land(Timer& timer);
  static void deliver(Runnable& runnable);
  void carry_out(InFlight& io);
  IoError failure_of(const blockdev::Request& request);
  void apply(std::uint64_t offset, std::uint64_t length, const std::byte* data, bool fua);
  void apply_some_sectors(const InFlight& io);
  void discard_some(std::uint64_t offset, std::uint64_t length);
  void make_durable_over_older(std::uint64_t offset, std::uint64_t length);
  void store(SparseImage& image, const Unflushed& write, std::uint64_t offset,
             std::uint64_t length) const;
  void flush_up_to(std::uint64_t sequence);
  bool lied(const InFlight& io);
  void overwrite(std::uint64_t offset, std::span<const std::byte> content);
  void note_damage(std::uint64_t offset, std::span<const std::byte> expected);
  void shred(std::uint64_t offset, std::span<const std::byte> next);
  void become(const SparseImage& image);
  void fill_extents(const blockdev::Request& request) const;

  World& world_;
  int node_;
  std::uint64_t number_;
  DiskModel model_;
  blockdev::Limits limits_;
  Prng random_;
  SparseImage visible_;
  SparseImage durable_;
  std::deque<Unflushed> unflushed_;
  std::uint64_t sequence_ = 0;  // of completed writes
  std::list<InFlight> in_flight_;
  Handle* handle_ = nullptr;
  Process* process_ = nullptr;
  std::vector<DiskFault> faults_;
  std::vector<DiskLie> lies_;
  std::unique_ptr<SparseImage> snapshot_;
  DiskWatch* watch_ = nullptr;
  bool dead_ = false;
  bool hung_ = false;
  bool unreadable_once_ = false;
  Duration slowest_{};  // request since it was opened
};

}  // namespace baton::sim
