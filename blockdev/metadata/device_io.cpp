#include "blockdev/metadata/device_io.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace baton::blockdev {

Task<IoError> read_at(BlockDevice& device, std::uint64_t offset, std::span<std::byte> into) {
  Request request;
  request.op = Op::read;
  request.offset = offset;
  request.length = into.size();
  request.data = into.data();
  co_await perform(device, request);
  co_return request.error;
}

Task<IoError> write_at(BlockDevice& device, std::uint64_t offset, std::span<const std::byte> from) {
  Request request;
  request.op = Op::write;
  request.offset = offset;
  request.length = from.size();
  request.data = const_cast<std::byte*>(from.data());  // a write only reads it
  co_await perform(device, request);
  co_return request.error;
}

Task<IoError> flush(BlockDevice& device) {
  Request request;
  request.op = Op::flush;
  co_await perform(device, request);
  co_return request.error;
}

WriteWindow::WriteWindow(BlockDevice& device) : device_(device) {
  for (Request& request : requests_) {
    request.op = Op::write;
    request.on_complete(&WriteWindow::completed, this);
  }
}

std::size_t WriteWindow::free_place() const {
  const auto place = std::ranges::find(busy_, false);
  BATON_ASSERT(place != busy_.end(), "the caller has awaited room()");
  return static_cast<std::size_t>(place - busy_.begin());
}

void WriteWindow::start(std::size_t place, std::uint64_t offset, std::span<std::byte> from) {
  BATON_ASSERT(!busy_[place], "free_place() gave it out");
  Request& request = requests_[place];
  request.offset = offset;
  request.length = from.size();
  request.data = from.data();
  request.error = IoError::none;
  busy_[place] = true;
  ++busy_count_;
  device_.submit(request);
}

void WriteWindow::completed(Operation& operation) {
  auto& request = static_cast<Request&>(operation);
  auto& self = *static_cast<WriteWindow*>(operation.context());
  self.busy_[static_cast<std::size_t>(&request - self.requests_.data())] = false;
  --self.busy_count_;
  if (self.error_ == IoError::none) self.error_ = request.error;
  if (self.waiter_ && self.busy_count_ <= self.resume_at_) {
    std::exchange(self.waiter_, nullptr).resume();  // the window may be gone afterwards
  }
}

}  // namespace baton::blockdev
