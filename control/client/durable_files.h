// Small files that others may read while they are written, and the folders for them.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace baton::control {

// Closes what it owns.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor();
  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }

 private:
  int fd_;
};

// Makes `path` hold `content`, with `mode` whatever the umask: written to PATH.new, synced,
// renamed. Who reads finds the old file or the new one, never a part of one. Durable when it
// returns; after an error the old file is there, or the new one, which a loss of power may undo.
Result<> replace_file(const std::string& path, std::string_view content, mode_t mode);

// Makes the folder, for its owner alone (0700), and those above it, where they are missing. One
// that is there keeps its mode.
Result<> make_folder(const std::string& path);

// Empty where there is no such file.
Result<std::string> read_if_there(const std::string& path);

// Keeps other processes that ask for the same out of the folder, while the result lives. `what`
// they do is for the error: "another tls-init".
Result<Descriptor> lock_folder(const std::string& path, std::string_view what);

}  // namespace baton::control
