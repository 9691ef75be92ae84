#include "control/client/read_only_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "control/backing_disk.h"

namespace baton::control {
namespace {

using blockdev::Op;
using blockdev::Request;

class ReadOnlyFile final : public blockdev::BlockDevice, Runnable {
 public:
  ReadOnlyFile(Loop& loop, std::string path, int fd, std::uint64_t size)
      : Runnable([](Runnable& self) { static_cast<ReadOnlyFile&>(self).complete(); }),
        loop_(loop),
        path_(std::move(path)),
        fd_(fd) {
    limits_.size = size;
  }
  ~ReadOnlyFile() override { close(fd_); }

  const blockdev::Limits& limits() const override { return limits_; }
  std::string name() const override { return path_; }

  void submit(Request& request) override {
    request.error = request.op == Op::read ? read(request) : IoError::not_permitted;
    if (request.op == Op::flush) request.error = IoError::none;
    done_.push_back(&request);
    loop_.post(*this);
  }

 private:
  IoError read(const Request& request) const {
    for (std::uint64_t done = 0; done < request.length;) {
      const ssize_t count = pread(fd_, request.data + done, request.length - done,
                                  static_cast<off_t>(request.offset + done));
      if (count < 0) return io_error_from_errno(errno);
      if (count == 0) return IoError::io;  // the file became shorter
      done += static_cast<std::uint64_t>(count);
    }
    return IoError::none;
  }
  void complete() {
    for (Request* request : std::exchange(done_, {})) request->complete();
  }

  Loop& loop_;
  std::string path_;
  int fd_;
  blockdev::Limits limits_;
  std::vector<Request*> done_;
};

}  // namespace

Result<std::unique_ptr<blockdev::BlockDevice>> open_read_only(Loop& loop, const std::string& path) {
  const auto facts = inspect_disk(path);
  if (!facts) return std::unexpected(facts.error());
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failure(fmt::format("{} cannot be read: {}", path, std::strerror(errno)));
  return std::make_unique<ReadOnlyFile>(loop, path, fd, facts->size);
}

}  // namespace baton::control
