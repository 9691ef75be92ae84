// A disk in memory with a volatile cache, for tests that cut the power.
//
// Requests wait until the test carries one out. A power cut keeps, loses or tears (at 512 bytes)
// every write that no flush made durable, also those that are still waiting.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "blockdev/block_device.h"

namespace baton::tests {

using DiskImage = std::vector<std::byte>;
using Rng = std::mt19937_64;

class CrashDisk final : public blockdev::BlockDevice {
 public:
  explicit CrashDisk(DiskImage image);

  const blockdev::Limits& limits() const override { return limits_; }
  std::string name() const override { return "/meta"; }
  void submit(blockdev::Request& request) override;

  // --- driving it ---
  bool idle() const { return waiting_.empty(); }
  // Carries out one of the waiting requests and completes it.
  void step(Rng& rng);
  void step();  // the oldest one
  std::uint64_t writes() const { return writes_; }
  std::uint64_t flushes() const { return flushes_; }

  // From now on every request fails with EIO; a write may have happened in part, and what a flush
  // should have covered may never reach the medium, though reads go on seeing it.
  void fail_everything() { failing_ = true; }
  // Reads that touch this byte fail with EIO.
  void fail_reads_of(std::uint64_t offset) { unreadable_.push_back(offset); }

  // --- what a successor finds ---
  DiskImage after_power_cut(Rng& rng) const;
  // The process was killed: completed writes are there, waiting ones perhaps, and the cache is as
  // volatile as before.
  std::unique_ptr<CrashDisk> after_kill(Rng& rng) const;
  // Everything completed.
  const DiskImage& visible() const { return visible_; }

 private:
  struct Write {
    std::uint64_t offset = 0;
    std::vector<std::byte> bytes;
  };
  struct Waiting {
    blockdev::Request* request = nullptr;
    std::size_t writes_before = 0;  // of a flush: how many of unflushed_ it makes durable
  };
  void carry_out(std::size_t index, Rng* rng);
  void forget_some(Rng& rng);
  IoError perform_now(const Waiting& waiting);

  blockdev::Limits limits_;
  DiskImage durable_;
  DiskImage visible_;
  std::vector<Write> unflushed_;  // completed, in order
  std::vector<Waiting> waiting_;
  std::vector<std::uint64_t> unreadable_;
  bool failing_ = false;
  std::uint64_t writes_ = 0;
  std::uint64_t flushes_ = 0;
};

}  // namespace baton::tests
