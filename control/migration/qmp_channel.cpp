#include "control/migration/qmp_channel.h"

#include <array>
#include <cstddef>
#include <span>
#include <utility>

namespace baton::control::migration {
namespace {

constexpr std::size_t read_bytes = 16384;  // a greeting and a few replies at once

const char* reason_of(StreamError error) {
  switch (error) {
    case StreamError::end_of_stream:
      return "QEMU closed its QMP connection";
    case StreamError::closed:
      return "the QMP connection was closed on our side";
    case StreamError::broken:
    case StreamError::none:
      return "the QMP connection broke";
  }
  return "the QMP connection broke";
}

}  // namespace

StreamQmpChannel::StreamQmpChannel(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {
  buffer_.resize(read_bytes);
}

Task<Result<>> StreamQmpChannel::send(std::string line) {
  line.push_back('\n');
  const std::array<iovec, 1> parts{{{line.data(), line.size()}}};
  WriteOperation write;
  write.buffers = parts;
  co_await write_all(*stream_, write);
  if (write.error != StreamError::none) co_return failure(reason_of(write.error));
  co_return Result<>();
}

Task<Result<std::string>> StreamQmpChannel::receive() {
  for (;;) {
    if (auto line = lines_.next()) co_return std::move(*line);
    if (lines_.overlong()) {
      close();
      co_return failure("QEMU sent a QMP line that is longer than 1 MiB");
    }
    ReadOperation read;
    read.buffer = std::as_writable_bytes(std::span(buffer_));
    co_await read_some(*stream_, read);
    if (read.error != StreamError::none) co_return failure(reason_of(read.error));
    lines_.add(std::string_view(buffer_.data(), read.transferred));
  }
}

Task<Result<>> LostQmpChannel::send(std::string /*line*/) {
  co_return failure(reason_);
}

Task<Result<std::string>> LostQmpChannel::receive() {
  co_return failure(reason_);
}

}  // namespace baton::control::migration
