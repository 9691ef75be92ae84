#include "counting_guest.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace baton::migration_test {
namespace {

constexpr std::size_t sector_bytes = 512;

// The guest's code (counting_sector.hex: bytes in hexadecimal, comments behind '#').
std::array<std::uint8_t, sector_bytes> boot_sector() {
  std::array<std::uint8_t, sector_bytes> sector{};
  std::ifstream file(BATON_COUNTING_SECTOR);
  std::size_t at = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream bytes(line.substr(0, line.find('#')));
    for (unsigned byte = 0; bytes >> std::hex >> byte;) {
      sector.at(at++) = static_cast<std::uint8_t>(byte);
    }
  }
  if (at == 0) throw std::runtime_error("cannot read " BATON_COUNTING_SECTOR);
  sector[510] = 0x55;
  sector[511] = 0xaa;
  return sector;
}

constexpr std::size_t image_bytes = 1 << 20;
constexpr int longest_silence_ms = 60000;  // booting under TCG beside a build takes half of it

}  // namespace

CountingDisk::CountingDisk(std::string path) : path_(std::move(path)) {
  image_ = open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const auto boot = boot_sector();
  if (image_ < 0 || ftruncate(image_, image_bytes) != 0 ||
      pwrite(image_, boot.data(), boot.size(), 0) != static_cast<ssize_t>(boot.size())) {
    throw std::runtime_error("cannot make " + path_);
  }
  changes_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  inotify_add_watch(changes_, path_.c_str(), IN_MODIFY);
}

CountingDisk::~CountingDisk() {
  close(changes_);
  close(image_);
}

std::uint32_t CountingDisk::read_at(std::uint64_t sector) const {
  std::uint32_t value = 0;
  if (pread(image_, &value, sizeof value, static_cast<off_t>(sector * 512)) != sizeof value)
    return 0;
  return value;
}

bool CountingDisk::wait_beyond(std::uint32_t count_before) {
  while (count() <= count_before) {
    pollfd changed{changes_, POLLIN, 0};
    if (poll(&changed, 1, longest_silence_ms) != 1) return count() > count_before;
    char events[4096];
    while (read(changes_, events, sizeof events) > 0) {
    }
  }
  return true;
}

}  // namespace baton::migration_test
