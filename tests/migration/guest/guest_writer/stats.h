// What a running writer tells the others in the guest: a page in a file that both map.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <new>
#include <string>

#include "disk_file.h"
#include "records.h"

namespace guest_writer {

// What a running writer shows to --show; lives in a file on a tmpfs that both map.
struct StatsPage {
  enum State : u64 { starting, writing, stopped, full, failed };
  std::atomic<u64> state;
  std::atomic<u64> records;
  std::atomic<u64> records_this_run;
  std::atomic<u64> log_bytes;
  std::atomic<u64> readbacks;
  std::atomic<u64> run_ns;
  std::atomic<u64> gap_ns;  // largest time between two fsync completions of this run, guest's clock
  std::atomic<u64> gap_at_ns;
  std::atomic<u64> gap_before_record;
  std::array<char, 240> error;  // written before `state` becomes failed
};
static_assert(std::atomic<u64>::is_always_lock_free);
constexpr std::array<const char*, 5> state_names{"starting", "writing", "stopped", "full",
                                                 "failed"};

// The page of a new run, all zero. Stays mapped until the process ends. An empty path: a page that
// nobody else sees.
inline StatsPage* create_stats(const std::string& path) {
  if (path.empty()) return new StatsPage{};
  const File page(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC);
  if (ftruncate(page.fd(), sizeof(StatsPage)) != 0) fail("resize " + path);
  void* at = mmap(nullptr, sizeof(StatsPage), PROT_READ | PROT_WRITE, MAP_SHARED, page.fd(), 0);
  if (at == MAP_FAILED) fail("map " + path);
  return new (at) StatsPage{};
}

// The page of a writer, running or gone.
inline const StatsPage* open_stats(const std::string& path) {
  const File page(path, O_RDONLY | O_CLOEXEC);
  void* at = mmap(nullptr, sizeof(StatsPage), PROT_READ, MAP_SHARED, page.fd(), 0);
  if (at == MAP_FAILED) fail("map " + path);
  return static_cast<const StatsPage*>(at);
}

}  // namespace guest_writer
