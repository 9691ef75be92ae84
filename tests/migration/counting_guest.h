// A complete guest in one sector: it counts on its disk, and notices whoever else writes there.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace baton::migration_test {

// A disk image with the guest in it, seen from outside through the page cache of its NBD server.
class CountingDisk {
 public:
  explicit CountingDisk(std::string path);
  CountingDisk(const CountingDisk&) = delete;
  CountingDisk& operator=(const CountingDisk&) = delete;
  ~CountingDisk();

  const std::string& path() const { return path_; }
  // What the guest has counted to.
  std::uint32_t count() const { return read_at(1); }
  // The guest found something on its disk that it had not written: another one runs.
  bool foreign_write_seen() const { return read_at(2) != 0; }
  // Waits for writes until the count has passed `count`; false when there was none for 60 s.
  bool wait_beyond(std::uint32_t count);

 private:
  std::uint32_t read_at(std::uint64_t sector) const;
  std::string path_;
  int image_ = -1;
  int changes_ = -1;
};

}  // namespace baton::migration_test
