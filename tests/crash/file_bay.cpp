#include "tests/crash/file_bay.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "base/assert.h"
#include "blockdev/file_device.h"

namespace baton::crash {
namespace {

constexpr std::size_t buffer_limit_bytes = 256U << 20U;
constexpr int kernel_patience_ms = 60'000;

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags, 0600)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), path);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd_); }
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void refuse(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

FileBay::FileBay(const std::string& folder) : buffers_(buffer_limit_bytes) {
  std::string name = folder + "/baton_crash_XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) refuse(folder);
  folder_ = name;
  auto ring = blockdev::Ring::open(loop_);
  if (!ring) throw std::runtime_error(ring.error().message);
  ring_ = std::move(*ring);
}

FileBay::~FileBay() {
  drain();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

Result<std::unique_ptr<blockdev::BlockDevice>> FileBay::open(const std::string& path) {
  return blockdev::open_file_device(*ring_, buffers_, path);
}

void FileBay::submit(blockdev::BlockDevice& device, Passage& passage) {
  passage.bay = this;
  passage.ended = false;
  ++passages_;
  passage.on_complete(&FileBay::passage_ended, nullptr);
  device.submit(passage);
}

void FileBay::passage_ended(Operation& operation) {
  auto& passage = static_cast<Passage&>(operation);
  passage.ended = true;
  --passage.bay->passages_;
}

void FileBay::wait_for(const Passage& passage) {
  until([&passage] { return passage.ended; });
}

void FileBay::drain() {
  until([this] { return passages_ == 0; });
}

void FileBay::block() {
  BATON_ASSERT(ring_->in_flight() > 0, "who waits here waits for the kernel");
  pollfd news{.fd = ring_->event_fd(), .events = POLLIN, .revents = 0};
  if (::poll(&news, 1, kernel_patience_ms) != 1) refuse("waiting for io_uring");
  std::uint64_t count = 0;
  if (::read(ring_->event_fd(), &count, sizeof(count)) < 0 && errno != EAGAIN) refuse("eventfd");
}

void write_image(const std::string& path, const sim::SparseImage& image) {
  const Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
  if (::ftruncate(file.get(), static_cast<off_t>(image.size())) != 0) refuse(path);
  std::array<std::byte, sim::image_block_bytes> block{};
  for (std::uint64_t i = 0; i < image.blocks(); ++i) {
    if (image.hole(i)) continue;
    const std::uint64_t at = i * block.size();
    const std::size_t length = std::min<std::uint64_t>(block.size(), image.size() - at);
    image.read(at, std::span(block).first(length));
    if (::pwrite(file.get(), block.data(), length, static_cast<off_t>(at)) !=
        static_cast<ssize_t>(length)) {
      refuse(path);
    }
  }
}

sim::SparseImage read_image(const std::string& path) {
  const Descriptor file(path, O_RDONLY | O_CLOEXEC);
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) refuse(path);
  const auto size = static_cast<std::uint64_t>(facts.st_size);
  sim::SparseImage image(size);
  std::array<std::byte, 64U << 10U> buffer{};
  for (std::uint64_t at = 0; at < size;) {
    const off_t data = ::lseek(file.get(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    const off_t hole = data < 0 ? data : ::lseek(file.get(), data, SEEK_HOLE);
    if (data < 0 || hole < 0) refuse(path);
    for (at = static_cast<std::uint64_t>(data); at < static_cast<std::uint64_t>(hole);) {
      const std::size_t length =
          std::min<std::uint64_t>(buffer.size(), static_cast<std::uint64_t>(hole) - at);
      if (::pread(file.get(), buffer.data(), length, static_cast<off_t>(at)) !=
          static_cast<ssize_t>(length)) {
        refuse(path);
      }
      image.write(at, std::span(buffer).first(length));
      at += length;
    }
  }
  return image;
}

}  // namespace baton::crash
