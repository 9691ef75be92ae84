// Files with errors as exceptions, and a reader that looks past the page cache.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "records.h"

namespace guest_writer {

// Throws errno with what was tried.
[[noreturn]] inline void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// A file descriptor with whole-or-throw I/O.
class File {
 public:
  File(std::string path, int flags)
      : path_(std::move(path)), fd_(open(path_.c_str(), flags, 0644)) {
    if (fd_ < 0) fail("open " + path_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { close(fd_); }

  int fd() const { return fd_; }
  const std::string& path() const { return path_; }

  u64 size() const {
    struct stat st{};
    if (fstat(fd_, &st) != 0) fail("stat " + path_);
    return static_cast<u64>(st.st_size);
  }

  // May return less than asked for at the end of the file only.
  u64 read_at(u64 offset, std::span<std::byte> out) const {
    const ssize_t n = pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0) fail("read " + path_ + " at " + std::to_string(offset));
    return static_cast<u64>(n);
  }

  void write_at(u64 offset, std::span<const std::byte> in) const {
    while (!in.empty()) {
      const ssize_t n = pwrite(fd_, in.data(), in.size(), static_cast<off_t>(offset));
      if (n < 0) fail("write " + path_ + " at " + std::to_string(offset));
      in = in.subspan(static_cast<std::size_t>(n));
      offset += static_cast<u64>(n);
    }
  }

 private:
  std::string path_;
  int fd_;
};

// Reads past the page cache where the filesystem can (not on tmpfs): what counts is what the disk
// says, not what this guest's memory remembers. Keeps one window of the file.
class DiskReader {
 public:
  // `window_bytes`: what one read fetches; a multiple of a block, and no `at` asks for more.
  explicit DiskReader(const std::string& path, u64 window_bytes = 1 << 20)
      : window_bytes_(window_bytes),
        window_(static_cast<std::byte*>(std::aligned_alloc(block_bytes, window_bytes))) {
    try {
      file_ = std::make_unique<File>(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
      direct_ = true;
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::invalid_argument) throw;
      file_ = std::make_unique<File>(path, O_RDONLY | O_CLOEXEC);
    }
  }

  bool direct() const { return direct_; }
  u64 size() const { return file_->size(); }

  // The bytes at `offset`, fewer at the end of the file. Valid until the next call.
  std::span<const std::byte> at(u64 offset, u64 length) {
    if (offset < start_ || offset + length > start_ + filled_) {
      start_ = offset / block_bytes * block_bytes;
      filled_ = file_->read_at(start_, {window_.get(), window_bytes_});
    }
    const u64 skip = offset - start_;
    return {window_.get() + std::min(skip, filled_),
            std::min(length, filled_ - std::min(skip, filled_))};
  }

  void forget() { filled_ = 0; }  // the next `at` asks the disk again

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  u64 window_bytes_;
  std::unique_ptr<std::byte, Free> window_;
  std::unique_ptr<File> file_;
  bool direct_ = false;
  u64 start_ = 0;
  u64 filled_ = 0;
};

}  // namespace guest_writer
