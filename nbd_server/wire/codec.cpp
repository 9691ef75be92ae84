#include "nbd_server/wire/codec.h"

#include <cstring>

#include "base/assert.h"

namespace baton::nbd {
namespace {

// Every chunk we send is the last of its reply: reads are answered whole, and there is one metadata
// context.
ChunkHeader chunk(std::uint64_t cookie, ChunkType type, std::size_t length) {
  ChunkHeader header{};
  header.magic = chunk_magic;
  header.flags = chunk_done;
  header.type = static_cast<std::uint16_t>(type);
  header.cookie = cookie;
  header.length = static_cast<std::uint32_t>(length);
  return header;
}

}  // namespace

std::optional<ClientRequest> decode_request(
    std::span<const std::byte, sizeof(RequestHeader)> from) {
  RequestHeader header{};
  std::memcpy(&header, from.data(), sizeof header);
  if (header.magic != request_magic) return std::nullopt;
  return ClientRequest{.flags = header.flags,
                       .command = static_cast<Command>(header.command.value()),
                       .cookie = header.cookie,
                       .offset = header.offset,
                       .length = header.length};
}

void encode_request(const ClientRequest& request,
                    std::span<std::byte, sizeof(RequestHeader)> into) {
  RequestHeader header{};
  header.magic = request_magic;
  header.flags = request.flags;
  header.command = static_cast<std::uint16_t>(request.command);
  header.cookie = request.cookie;
  header.offset = request.offset;
  header.length = request.length;
  std::memcpy(into.data(), &header, sizeof header);
}

template <class... Part>
void ReplyHead::set(const Part&... parts) {
  static_assert((sizeof(Part) + ...) <= sizeof(bytes_));
  std::byte* into = bytes_.data();
  ((std::memcpy(into, &parts, sizeof parts), into += sizeof parts), ...);
  size_ = (sizeof(Part) + ...);
}

void ReplyHead::simple(std::uint64_t cookie, IoError error) {
  SimpleReplyHeader header{};
  header.magic = simple_reply_magic;
  header.error = static_cast<std::uint32_t>(error);
  header.cookie = cookie;
  set(header);
}

void ReplyHead::offset_data(std::uint64_t cookie, std::uint64_t offset, std::uint32_t length) {
  BATON_ASSERT(length > 0, "the specification wants data in a data chunk; see none()");
  OffsetDataPrefix prefix{};
  prefix.offset = offset;
  set(chunk(cookie, ChunkType::offset_data, sizeof prefix + length), prefix);
}

void ReplyHead::none(std::uint64_t cookie) {
  set(chunk(cookie, ChunkType::none, 0));
}

void ReplyHead::error(std::uint64_t cookie, IoError error, std::string_view message) {
  BATON_ASSERT(error != IoError::none, "an error chunk carries an error");
  BATON_ASSERT(message.size() <= string_limit_bytes, "our messages are sentences, not texts");
  ErrorPrefix prefix{};
  prefix.error = static_cast<std::uint32_t>(error);
  prefix.message_length = static_cast<std::uint16_t>(message.size());
  set(chunk(cookie, ChunkType::error, sizeof prefix + message.size()), prefix);
}

void ReplyHead::block_status(std::uint64_t cookie, std::uint32_t context_id,
                             std::uint32_t descriptors) {
  BATON_ASSERT(descriptors > 0, "the specification wants at least one descriptor");
  BlockStatusPrefix prefix{};
  prefix.context_id = context_id;
  set(chunk(cookie, ChunkType::block_status,
            sizeof prefix + descriptors * sizeof(BlockStatusDescriptor)),
      prefix);
}

}  // namespace baton::nbd
