#include "blockdev/file/backing_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <utility>

namespace baton::blockdev {

BackingFile::BackingFile(BackingFile&& other) noexcept
    : fd(std::exchange(other.fd, -1)),
      path(std::move(other.path)),
      limits(other.limits),
      block_device(other.block_device),
      direct(other.direct),
      in_memory(other.in_memory),
      submission_waits(other.submission_waits),
      block(other.block),
      memory_alignment(other.memory_alignment),
      can_punch(other.can_punch),
      zero_range_is_fast(other.zero_range_is_fast),
      note(std::move(other.note)) {}

BackingFile::~BackingFile() {
  if (fd >= 0) close(fd);
}

namespace {

constexpr std::uint32_t largest_block = 4096;

std::unexpected<Error> cannot_open(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
      return failure(fmt::format(
          "cannot open the disk {}: there is no such file; check the path, or create it", path));
    case EACCES:
    case EPERM:
      return failure(
          fmt::format("cannot open the disk {}: permission to read and write it is missing", path));
    case EROFS:
      return failure(fmt::format(
          "cannot open the disk {}: it lies on a read-only filesystem; remount that read-write",
          path));
    case EBUSY:
      return failure(fmt::format(
          "cannot open the disk {}: another process or the system uses it (a running batond, a "
          "mounted filesystem, LVM, md or swap); stop that use first",
          path));
    default:
      return failure(fmt::format("cannot open the disk {}: {}", path, std::strerror(error)));
  }
}

// F_OFD locks rather than flock: they belong to the open file description, so an io_uring request
// of a killed process still holds them, and QEMU's programs look at them. QEMU takes shared locks
// on byte 100+n for each permission n it uses and 200+n for each that it denies to others
// (block/file-posix.c; 1: write, 2: write unchanged, 3: resize). Exclusive locks on these bytes
// keep away QEMU's writers, and readers that cannot bear a writer; `qemu-img -U` may still look.
Result<> take_lock(const BackingFile& file) {
  for (const off_t first : {off_t{101}, off_t{201}}) {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = first;
    lock.l_len = 3;
    if (fcntl(file.fd, F_OFD_SETLK, &lock) == 0) continue;
    if (errno == EAGAIN || errno == EACCES) {
      Error held{
          fmt::format("cannot use the disk {}: another process holds it (a running batond, or a "
                      "QEMU program that opened the image itself); stop that process first",
                      file.path)};
      // A killed daemon's requests hold the file until they are over.
      held.try_again = true;
      return std::unexpected(std::move(held));
    }
    return failure(fmt::format("cannot lock the disk {}: {}", file.path, std::strerror(errno)));
  }
  return {};
}

std::uint64_t queue_attribute(dev_t device, const char* name) {
  const std::string base = fmt::format("/sys/dev/block/{}:{}/", major(device), minor(device));
  // A partition has no queue of its own; its disk is the folder above.
  for (const char* queue : {"queue/", "../queue/"}) {
    std::ifstream attribute(base + queue + name);
    std::uint64_t value = 0;
    if (attribute >> value) return value;
  }
  return 0;  // not a disk of this kernel (a network filesystem): nothing is known
}

bool can_read(int fd, std::byte* buffer, std::size_t length) {
  return pread(fd, buffer, length, 0) >= 0;
}

// Sets `block` and `memory_alignment`; false when the file has to go through the page cache.
bool find_alignment(BackingFile& file) {
  struct statx facts = {};
  if (statx(file.fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &facts) == 0 &&
      (facts.stx_mask & STATX_DIOALIGN) != 0) {
    file.block = facts.stx_dio_offset_align;
    file.memory_alignment = facts.stx_dio_mem_align;
    return std::has_single_bit(file.block) && file.block <= largest_block &&
           std::has_single_bit(file.memory_alignment) && file.memory_alignment <= largest_block;
  }
  // Linux before 6.1, or a filesystem that does not say: try. One byte works where direct I/O is
  // the page cache in disguise (tmpfs) or somebody else's business (network filesystems).
  alignas(largest_block) std::array<std::byte, std::size_t{2} * largest_block> buffer;
  if (can_read(file.fd, buffer.data() + 1, 1)) {
    file.block = file.memory_alignment = 1;
    return true;
  }
  for (const std::uint32_t block : {512U, 4096U}) {
    if (!can_read(file.fd, buffer.data(), block)) continue;
    file.block = file.memory_alignment = block;
    return true;
  }
  return false;
}

void use_page_cache(BackingFile& file, std::string note) {
  const int flags = fcntl(file.fd, F_GETFL);
  if (file.direct) fcntl(file.fd, F_SETFL, flags & ~O_DIRECT);
  file.direct = false;
  file.block = file.memory_alignment = 1;
  file.note = std::move(note);
}

void choose_direct_or_cached(BackingFile& file, bool wanted) {
  if (!wanted) return use_page_cache(file, "");
  if (!file.direct || !find_alignment(file)) {
    return use_page_cache(
        file,
        fmt::format("{} goes through the page cache: its filesystem has no direct I/O", file.path));
  }
  if (file.limits.size % file.block != 0) {
    // A direct write of the last block would make the file longer.
    return use_page_cache(
        file, fmt::format("{} goes through the page cache: its size, {} bytes, is not a multiple "
                          "of the disk's {}-byte blocks",
                          file.path, file.limits.size, file.block));
  }
}

Result<> learn_block_device(BackingFile& file, const struct stat& facts) {
  std::uint64_t size = 0;
  unsigned physical_block = 0;
  if (ioctl(file.fd, BLKGETSIZE64, &size) != 0 ||
      ioctl(file.fd, BLKPBSZGET, &physical_block) != 0) {
    return cannot_open(file.path, errno);
  }
  file.limits.size = size;
  file.limits.preferred_block = std::clamp(std::bit_ceil(physical_block), 4096U, 65536U);
  file.limits.rotational = queue_attribute(facts.st_rdev, "rotational") != 0;
  // Where the disk itself can write zeroes, PUNCH_HOLE and ZERO_RANGE are one command; elsewhere
  // the first is refused and the second writes zeroes.
  file.can_punch = queue_attribute(facts.st_rdev, "write_zeroes_max_bytes") != 0;
  file.zero_range_is_fast = file.can_punch;
  return {};
}

void learn_regular_file(BackingFile& file, const struct stat& facts) {
  file.limits.size = static_cast<std::uint64_t>(facts.st_size);
  file.limits.rotational = queue_attribute(facts.st_dev, "rotational") != 0;
  struct statfs filesystem = {};
  if (fstatfs(file.fd, &filesystem) == 0) {
    const auto type = static_cast<std::uint32_t>(filesystem.f_type);
    file.in_memory = type == TMPFS_MAGIC || type == RAMFS_MAGIC;
    constexpr std::array waiting = {std::uint32_t{FUSE_SUPER_MAGIC}, std::uint32_t{NFS_SUPER_MAGIC},
                                    std::uint32_t{CIFS_SUPER_MAGIC},
                                    std::uint32_t{SMB2_SUPER_MAGIC},
                                    std::uint32_t{CEPH_SUPER_MAGIC}};
    file.submission_waits = std::ranges::find(waiting, type) != waiting.end();
  }
  // A hole punched past the end changes nothing, and shows whether the filesystem knows how.
  const off_t past_the_end = (facts.st_size + largest_block) & -off_t{largest_block};
  file.can_punch = fallocate(file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, past_the_end,
                             largest_block) == 0;
}

Result<> open_descriptor(BackingFile& file, const struct stat& facts, bool direct) {
  int flags = O_RDWR | O_CLOEXEC;
  // On a block device, O_EXCL without O_CREAT claims it: nobody can mount it meanwhile.
  if (file.block_device) flags |= O_EXCL;
  if (direct) file.fd = open(file.path.c_str(), flags | O_DIRECT);
  file.direct = file.fd >= 0;
  if (file.fd < 0) file.fd = open(file.path.c_str(), flags);
  if (file.fd < 0) return cannot_open(file.path, errno);
  struct stat now = {};
  if (fstat(file.fd, &now) != 0) return cannot_open(file.path, errno);
  if (now.st_dev != facts.st_dev || now.st_ino != facts.st_ino) {
    return failure(fmt::format("cannot open the disk {}: it was replaced meanwhile", file.path));
  }
  return {};
}

}  // namespace

Result<BackingFile> open_backing_file(const std::string& path, bool direct) {
  BackingFile file;
  file.path = path;
  struct stat facts = {};
  if (stat(path.c_str(), &facts) != 0) return cannot_open(path, errno);
  file.block_device = S_ISBLK(facts.st_mode);
  if (!file.block_device && !S_ISREG(facts.st_mode)) {
    return failure(fmt::format("cannot use {} as a disk: it is {}, not a file or a block device",
                               path, S_ISDIR(facts.st_mode) ? "a directory" : "a special file"));
  }
  if (auto opened = open_descriptor(file, facts, direct); !opened) {
    return std::unexpected(opened.error());
  }
  if (auto locked = take_lock(file); !locked) return std::unexpected(locked.error());
  if (file.block_device) {
    if (auto learnt = learn_block_device(file, facts); !learnt) {
      return std::unexpected(learnt.error());
    }
  } else {
    if (fstat(file.fd, &facts) != 0) return cannot_open(path, errno);  // the size under the lock
    learn_regular_file(file, facts);
  }
  if (file.limits.size == 0) {
    return failure(fmt::format(
        "cannot use {} as a disk: it is empty; give it a size (truncate -s 8G {})", path, path));
  }
  choose_direct_or_cached(file, direct);
  file.limits.discard = file.limits.discard_zeroes = file.can_punch;
  file.limits.fast_zero = true;
  return file;
}

}  // namespace baton::blockdev
