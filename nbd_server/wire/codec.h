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
  std::uint64_t length = 0;
  bool has_payload = false;  // `length` bytes follow the header
  friend bool operator==(const ClientRequest&, const ClientRequest&) = default;
};

inline std::size_t request_header_bytes(Style style) {
  return style == Style::extended ? sizeof(ExtendedRequestHeader) : sizeof(RequestHeader);
}

// `from`: request_header_bytes(style) of them. Nothing when the magic number is wrong: the stream
// is out of step and cannot be followed.
std::optional<ClientRequest> decode_request(Style style, std::span<const std::byte> from);
// For tests and tools that play the client.
void encode_request(const ClientRequest& request, std::span<std::byte, sizeof(RequestHeader)> into);

// What a reply answers.
struct ReplyTo {
  Style style = Style::simple;
  std::uint64_t cookie = 0;
  std::uint64_t offset = 0;
};

// The fixed part of a reply: what precedes the data, the descriptors or the message. All but
// simple() need structured replies or extended headers.
class ReplyHead {
 public:
  // Payload: the data of a successful read without structured replies, else nothing.
  void simple(std::uint64_t cookie, IoError error);
  // Payload: `length` bytes of data from the request's offset on, at least 1.
  void offset_data(const ReplyTo& to, std::uint32_t length);
  // No payload.
  void none(const ReplyTo& to);
  // Payload: `message`, whose length must fit string_limit_bytes.
  void error(const ReplyTo& to, IoError error, std::string_view message);
  // Payload: `descriptors` BlockStatusDescriptors, or ExtendedStatusDescriptors. `last`: no chunk
  // of another context follows.
  void block_status(const ReplyTo& to, std::uint32_t context_id, std::uint32_t descriptors,
                    bool last);

  const std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return size_; }
  std::span<const std::byte> span() const { return {bytes_.data(), size_}; }

 private:
  template <class... Part>
  void set(const Part&... parts);
  template <class... Part>
  void chunk(const ReplyTo& to, std::uint16_t flags, ChunkType type, std::size_t payload,
             const Part&... parts);

  std::array<std::byte, sizeof(ExtendedReplyHeader) + sizeof(ExtendedStatusPrefix)> bytes_;
  std::uint8_t size_ = 0;
};

}  // namespace baton::nbd
