// Appends records until it is told to stop.
#pragma once

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "check.h"
#include "disk_file.h"
#include "records.h"
#include "stats.h"

namespace guest_writer {

inline volatile std::sig_atomic_t stop_asked = 0;  // set by a signal; the writer ends its record

inline constexpr u64 readback_every = 16;

inline u64 monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * 1'000'000'000 + static_cast<u64>(now.tv_nsec);
}

struct WriteOptions {
  std::string path;
  std::string name = "disk";
  std::string acks;
  std::string stats;
  u64 rate = 0;  // records per second, 0 as fast as the disk
  u64 keep_free_percent = 10;
};

class Writer {
 public:
  explicit Writer(WriteOptions options)
      : options_(std::move(options)), stats_(create_stats(options_.stats)) {
    if (!options_.acks.empty())
      acks_ = std::make_unique<File>(options_.acks, O_WRONLY | O_NOCTTY | O_CLOEXEC);
  }

  // Returns when asked to stop or when the disk is full; everything written is then on stable
  // storage. Throws on the first failed write or fsync (never retried: the kernel may have dropped
  // the pages) or on a readback that is not what was acknowledged.
  void run() {
    try {
      open_or_create();
      loop();
    } catch (const std::exception& error) {
      std::snprintf(stats_->error.data(), stats_->error.size(), "%s", error.what());
      stats_->state = StatsPage::failed;
      throw;
    }
  }

 private:
  void open_or_create() {
    struct stat st{};
    if (stat(options_.path.c_str(), &st) != 0) create();
    DiskReader reader(options_.path);
    const ScanResult found = scan(reader, 0);
    // Behind the last good record there may be the one that a crash cut short, and no more.
    if (found.file_bytes > found.end_offset + record_bytes_max)
      throw std::runtime_error(options_.path + ": record " + std::to_string(found.records + 1) +
                               " is damaged and others follow it; run --check");
    data_ = std::make_unique<File>(options_.path, O_WRONLY | O_CLOEXEC);
    if (ftruncate(data_->fd(), static_cast<off_t>(found.end_offset)) != 0)
      fail("cut " + options_.path);
    seed_ = found.seed;
    sequence_ = found.records;
    offset_ = found.end_offset;
    newest_ = found.newest;
    stats_->records = sequence_;
    if (sequence_ != 0) rewrite_last_slot();
  }

  // A crash may have kept the last record in the log and not yet in its slot.
  void rewrite_last_slot() {
    std::array<std::byte, block_bytes> block;
    build_record(block, seed_, sequence_, RecordKind::slot, monotonic_ns());
    data_->write_at(slot_offset(slot_of(sequence_)), block);
    if (fsync(data_->fd()) != 0) fail("fsync " + options_.path);
  }

  void create() {
    const File made(options_.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
    std::array<std::byte, block_bytes> block{};
    for (u64 slot = 0; slot < slot_count; ++slot) made.write_at(slot_offset(slot), block);
    FileHeader header{file_magic, 0, 0};
    if (getrandom(&header.seed, sizeof header.seed, GRND_INSECURE) != sizeof header.seed)
      fail("getrandom");
    header.checksum = header_checksum(header);
    std::memcpy(block.data(), &header, sizeof header);
    made.write_at(0, block);
    if (fsync(made.fd()) != 0) fail("fsync " + options_.path);
    sync();  // the directory entry
  }

  void loop() {
    const u64 started = monotonic_ns();
    u64 previous = 0;
    u64 reported = started;
    reader_ = std::make_unique<DiskReader>(options_.path, block_bytes);
    stats_->state = StatsPage::writing;
    while (stop_asked == 0) {
      if (sequence_ % 64 == 0 && nearly_full()) {
        stats_->state = StatsPage::full;
        return;
      }
      append(sequence_ + 1);
      const u64 now = monotonic_ns();
      acknowledge();
      if (previous != 0 && now - previous > stats_->gap_ns) note_gap(now, now - previous);
      previous = now;
      stats_->run_ns = now - started;
      if (sequence_ % readback_every == 0) read_back(mix(sequence_) % slot_count);
      if (now - reported >= 1'000'000'000) {
        report();
        reported = now;
      }
      pace(started);
    }
    stats_->state = StatsPage::stopped;
  }

  void append(u64 sequence) {
    const u64 now = monotonic_ns();
    const u64 size = size_of(sequence);
    const u64 slot = slot_of(sequence);
    std::array<std::byte, record_bytes_max> buffer;
    const std::span in_slot = std::span(buffer).first(block_bytes);
    build_record(in_slot, seed_, sequence, RecordKind::slot, now);
    data_->write_at(slot_offset(slot), in_slot);
    const std::span in_log = std::span(buffer).first(size);
    build_record(in_log, seed_, sequence, RecordKind::log, now);
    data_->write_at(offset_, in_log);
    if (fsync(data_->fd()) != 0) fail("fsync of record " + std::to_string(sequence));
    sequence_ = sequence;
    offset_ += size;
    newest_[slot] = sequence;
    stats_->records = sequence_;
    ++stats_->records_this_run;
    stats_->log_bytes = offset_ - log_offset;
  }

  // One line per acknowledged record, written as a whole. Blocks if a reader is attached outside
  // and does not read; the words of nobody attached are dropped by QEMU.
  void acknowledge() {
    if (!acks_) return;
    const std::string line = options_.name + ' ' + std::to_string(sequence_) + '\n';
    if (write(acks_->fd(), line.data(), line.size()) < 0) fail("write " + acks_->path());
  }

  void note_gap(u64 now, u64 gap) {
    stats_->gap_ns = gap;
    stats_->gap_at_ns = now;
    stats_->gap_before_record = sequence_;
  }

  void read_back(u64 slot) {
    if (newest_[slot] == 0) return;
    reader_->forget();
    const std::span found = reader_->at(slot_offset(slot), block_bytes);
    const auto wrong = verify_record(found, seed_, newest_[slot], RecordKind::slot);
    if (wrong)
      throw std::runtime_error("read back slot " + std::to_string(slot) + " for record " +
                               std::to_string(newest_[slot]) + ": " + *wrong);
    ++stats_->readbacks;
  }

  bool nearly_full() const {
    struct statvfs fs{};
    if (fstatvfs(data_->fd(), &fs) != 0) fail("statvfs " + options_.path);
    return fs.f_bavail * 100 < fs.f_blocks * options_.keep_free_percent;
  }

  void report() const {
    std::fprintf(stderr,
                 "guest_writer %s: %ju records, largest fsync gap %.1f ms before record %ju\n",
                 options_.name.c_str(), sequence_, static_cast<double>(stats_->gap_ns) / 1e6,
                 stats_->gap_before_record.load());
  }

  // Keeps to the asked rate on average; what a pause cost is not caught up with a burst.
  void pace(u64 started) {
    if (options_.rate == 0) return;
    due_ = std::max(due_ == 0 ? started : due_, monotonic_ns() - 1'000'000'000 / options_.rate) +
           1'000'000'000 / options_.rate;
    const timespec until{static_cast<time_t>(due_ / 1'000'000'000),
                         static_cast<long>(due_ % 1'000'000'000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);  // a signal ends it early
  }

  WriteOptions options_;
  StatsPage* stats_;  // kept until the process ends
  std::unique_ptr<File> data_;
  std::unique_ptr<File> acks_;
  std::unique_ptr<DiskReader> reader_;
  u64 seed_ = 0;
  u64 sequence_ = 0;
  u64 offset_ = log_offset;
  u64 due_ = 0;
  std::array<u64, slot_count> newest_{};
};

}  // namespace guest_writer
