// The only program of a guest that shows whether two of it have written to its disk: it writes a
// counter, block after block, round and round, reads every second block back before it is
// overwritten, and says so on the console when one holds anything but what it wrote there itself.
//
//   stamper DEVICE
//
// It keeps next to nothing in memory and is slow on purpose: QEMU under TCG can lose stores of a
// guest that is migrated while it writes much (README.md "Memory").
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

constexpr unsigned long blocks = 1024;
constexpr std::size_t block_bytes = 4096;
constexpr unsigned long flush_every = 16;
constexpr unsigned long report_every = 64;
constexpr unsigned pause_us = 3000;

}  // namespace

int main(int count, char** words) {
  const int disk = count == 2 ? open(words[1], O_RDWR | O_DIRECT) : -1;
  void* memory = nullptr;
  if (disk < 0 || posix_memalign(&memory, block_bytes, block_bytes) != 0) {
    std::printf("stamper: no disk: %s\n", std::strerror(errno));
    return 1;
  }
  char* const block = static_cast<char*>(memory);
  unsigned long mismatches = 0;
  unsigned long errors = 0;
  std::vector<bool> ours(blocks);
  const auto failed = [&](const char* what, unsigned long n) {
    ++errors;
    std::printf("stamper: ERROR %s n=%lu: %s\n", what, n, std::strerror(errno));
  };
  for (unsigned long n = 1;; ++n) {
    const unsigned long place = n % blocks;
    const auto offset = static_cast<off_t>(place * block_bytes);
    if (n % 2 == 0 && ours[place]) {
      unsigned long found = 0;
      if (pread(disk, block, block_bytes, offset) != block_bytes) {
        failed("read", n);
      } else if (std::sscanf(block, "stamp %lu", &found) != 1 || found != n - blocks) {
        ++mismatches;
        std::printf("stamper: MISMATCH block %lu holds %lu and not %lu\n", place, found,
                    n - blocks);
      }
    }
    std::memset(block, 0, block_bytes);
    std::snprintf(block, block_bytes, "stamp %lu", n);
    ours[place] = pwrite(disk, block, block_bytes, offset) == block_bytes;
    if (!ours[place]) failed("write", n);
    if (n % flush_every == 0 && fdatasync(disk) != 0) failed("flush", n);
    if (n % report_every == 0) {
      std::printf("stamper: n=%lu mismatches=%lu errors=%lu\n", n, mismatches, errors);
      std::fflush(stdout);
    }
    usleep(pause_us);
  }
}
