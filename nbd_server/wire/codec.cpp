#include "nbd_server/wire/codec.h"

#include <cstring>

#include "base/assert.h"

namespace baton::nbd {
namespace {

template <class Header>
std::optional<ClientRequest> decode(std::span<const std::byte> from, std::uint32_t magic) {
  Header header{};
  BATON_ASSERT(from.size() >= sizeof header, "a whole header is decoded");
  std::memcpy(&header, from.data(), sizeof header);
  if (header.magic != magic) return std::nullopt;
  return ClientRequest{.flags = header.flags,
                       .command = static_cast<Command>(header.command.value()),
                       .cookie = header.cookie,
                       .offset = header.offset,
                       .length = header.length};
}

}  // namespace

std::optional<ClientRequest> decode_request(Style style, std::span<const std::byte> from) {
  if (style == Style::extended) {
    auto request = decode<ExtendedRequestHeader>(from, extended_request_magic);
    if (request) request->has_payload = (request->flags & command_payload_len) != 0;
    return request;
  }
  auto request = decode<RequestHeader>(from, request_magic);
  if (request) request->has_payload = request->command == Command::write;
  return request;
}

void encode_request(const ClientRequest& request,
                    std::span<std::byte, sizeof(RequestHeader)> into) {
  RequestHeader header{};
  header.magic = request_magic;
  header.flags = request.flags;
  header.command = static_cast<std::uint16_t>(request.command);
  header.cookie = request.cookie;
  header.offset = request.offset;
  header.length = static_cast<std::uint32_t>(request.length);
  std::memcpy(into.data(), &header, sizeof header);
}

template <class... Part>
void ReplyHead::set(const Part&... parts) {
  static_assert((sizeof(Part) + ...) <= sizeof(bytes_));
  std::byte* into = bytes_.data();
  ((std::memcpy(into, &parts, sizeof parts), into += sizeof parts), ...);
  size_ = (sizeof(Part) + ...);
}

// `payload`: the bytes behind the parts.
template <class... Part>
void ReplyHead::chunk(const ReplyTo& to, std::uint16_t flags, ChunkType type, std::size_t payload,
                      const Part&... parts) {
  BATON_ASSERT(to.style != Style::simple, "the client must have agreed to chunks");
  const std::size_t length = (std::size_t{0} + ... + sizeof(Part)) + payload;
  const auto fill = [&](auto header) {
    header.flags = flags;
    header.type = static_cast<std::uint16_t>(type);
    header.cookie = to.cookie;
    return header;
  };
  if (to.style == Style::extended) {
    auto header = fill(ExtendedReplyHeader{});
    header.magic = extended_reply_magic;
    header.offset = to.offset;
    header.length = length;
    return set(header, parts...);
  }
  auto header = fill(ChunkHeader{});
  header.magic = chunk_magic;
  header.length = static_cast<std::uint32_t>(length);
  set(header, parts...);
}

void ReplyHead::simple(std::uint64_t cookie, IoError error) {
  SimpleReplyHeader header{};
  header.magic = simple_reply_magic;
  header.error = static_cast<std::uint32_t>(error);
  header.cookie = cookie;
  set(header);
}

// Reads are answered whole.
void ReplyHead::offset_data(const ReplyTo& to, std::uint32_t length) {
  BATON_ASSERT(length > 0, "the specification wants data in a data chunk; see none()");
  OffsetDataPrefix prefix{};
  prefix.offset = to.offset;
  chunk(to, chunk_done, ChunkType::offset_data, length, prefix);
}

void ReplyHead::none(const ReplyTo& to) {
  chunk(to, chunk_done, ChunkType::none, 0);
}

void ReplyHead::error(const ReplyTo& to, IoError error, std::string_view message) {
  BATON_ASSERT(error != IoError::none, "an error chunk carries an error");
  BATON_ASSERT(message.size() <= string_limit_bytes, "our messages are sentences, not texts");
  ErrorPrefix prefix{};
  prefix.error = static_cast<std::uint32_t>(error);
  prefix.message_length = static_cast<std::uint16_t>(message.size());
  chunk(to, chunk_done, ChunkType::error, message.size(), prefix);
}

void ReplyHead::block_status(const ReplyTo& to, std::uint32_t context_id, std::uint32_t descriptors,
                             bool last) {
  BATON_ASSERT(descriptors > 0, "the specification wants at least one descriptor");
  const std::uint16_t flags = last ? chunk_done : 0;
  if (to.style == Style::extended) {
    ExtendedStatusPrefix prefix{};
    prefix.context_id = context_id;
    prefix.descriptors = descriptors;
    return chunk(to, flags, ChunkType::block_status_ext,
                 descriptors * sizeof(ExtendedStatusDescriptor), prefix);
  }
  BlockStatusPrefix prefix{};
  prefix.context_id = context_id;
  chunk(to, flags, ChunkType::block_status, descriptors * sizeof(BlockStatusDescriptor), prefix);
}

}  // namespace baton::nbd
