#include "counting_guest.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <utility>

namespace baton::migration_test {
namespace {

// 16-bit code at 0x7c00; the BIOS reads and writes (int 0x13, AH 42 and 43), buffer at 0x8000.
constexpr std::uint8_t code[] = {
    0x31, 0xc0,                                            // xor ax, ax
    0x8e, 0xd8, 0x8e, 0xd0,                                // mov ds, ax; mov ss, ax
    0xbc, 0x00, 0x7c,                                      // mov sp, 0x7c00
    0x88, 0x16, 0x00, 0x7e,                                // mov [0x7e00], dl: the boot drive
    0xb4, 0x42, 0xe8, 0x39, 0x00,                          // read sector 1
    0x66, 0x8b, 0x1e, 0x00, 0x80,                          // mov ebx, [buffer]: count on from there
                                                           // next:
    0xb4, 0x42, 0xe8, 0x2f, 0x00,                          // read sector 1
    0x66, 0x39, 0x1e, 0x00, 0x80,                          // cmp [buffer], ebx: still ours?
    0x75, 0x13,                                            // jne foreign
    0x66, 0x43,                                            // inc ebx
    0x66, 0x89, 0x1e, 0x00, 0x80,                          // mov [buffer], ebx
    0x66, 0x89, 0x1e, 0xfc, 0x81,                          // mov [buffer + 508], ebx
    0xb4, 0x43, 0xe8, 0x17, 0x00,                          // write sector 1
    0xeb, 0xe1,                                            // jmp next
                                                           // foreign:
    0x66, 0xc7, 0x06, 0x00, 0x80, 0x32, 0x54, 0x57, 0x4f,  // mov dword [buffer], "2TWO"
    0xff, 0x06, 0x63, 0x7c,                                // inc word [sector]: 2
    0xb4, 0x43, 0xe8, 0x03, 0x00,                          // write it
    0xf4, 0xeb, 0xfd,                                      // stop: hlt; jmp stop
                                                           // disk: (AH: the command)
    0x50, 0x30, 0xc0,                                      // push ax; xor al, al
    0x8a, 0x16, 0x00, 0x7e,                                // mov dl, [0x7e00]
    0xbe, 0x5b, 0x7c,                                      // mov si, packet
    0xcd, 0x13, 0x58,                                      // int 0x13; pop ax
    0x72, 0xf1, 0xc3,                                      // jc disk: try again; ret
    0x10, 0x00, 0x01, 0x00, 0x00, 0x80, 0x00, 0x00,        // packet: one sector to 0:0x8000
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,        // sector 1
};
static_assert(sizeof code == 107);

constexpr std::size_t image_bytes = 1 << 20;
constexpr int longest_silence_ms = 60000;  // booting under TCG beside a build takes half of it

}  // namespace

CountingDisk::CountingDisk(std::string path) : path_(std::move(path)) {
  image_ = open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  std::array<std::uint8_t, 512> boot{};
  std::memcpy(boot.data(), code, sizeof code);
  boot[510] = 0x55;
  boot[511] = 0xaa;
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
