// Requests and replies of the transmission phase, to and from bytes. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "nbd_server/wire/protocol.h"

namespace baton::nbd {

// A request as it was sent: nothing in it has been checked but the magic number. `command` may be
// a value that Command does not name.
struct ClientRequest {
  std::uint16_t flags = 0;
  Command command = Command::read;
  std::uint64_t cookie = 0;  // returned to the client as it is
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  friend bool operator==(const ClientRequest&, const ClientRequest&) = default;
};

// Nothing when the magic number is wrong: the stream is out of step and cannot be followed.
std::optional<ClientRequest> decode_request(std::span<const std::byte, sizeof(RequestHeader)> from);
// For tests and tools that play the client.
void encode_request(const ClientRequest& request, std::span<std::byte, sizeof(RequestHeader)> into);

// The fixed part of a reply: what precedes the data, the descriptors or the message.
class ReplyHead {
 public:
  // Payload: the data of a successful read without structured replies, else nothing.
  void simple(std::uint64_t cookie, IoError error);
  // Payload: `length` bytes of data, at least 1.
  void offset_data(std::uint64_t cookie, std::uint64_t offset, std::uint32_t length);
  // No payload.
  void none(std::uint64_t cookie);
  // Payload: `message`, whose length must fit string_limit_bytes.
  void error(std::uint64_t cookie, IoError error, std::string_view message);
  // Payload: `descriptors` BlockStatusDescriptors.
  void block_status(std::uint64_t cookie, std::uint32_t context_id, std::uint32_t descriptors);

  const std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return size_; }
  std::span<const std::byte> span() const { return {bytes_.data(), size_}; }

 private:
  template <class... Part>
  void set(const Part&... parts);

  std::array<std::byte, sizeof(ChunkHeader) + sizeof(OffsetDataPrefix)> bytes_;
  std::uint8_t size_ = 0;
};

}  // namespace baton::nbd
