// NBD as a client says and hears it, byte by byte and with no opinion: tests build illegal messages
// with it as well as legal ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nbd_server/wire/codec.h"

namespace baton::test {

class Bytes {
 public:
  Bytes() = default;
  Bytes& u16(std::uint16_t value) { return number<be16>(value); }
  Bytes& u32(std::uint32_t value) { return number<be32>(value); }
  Bytes& u64(std::uint64_t value) { return number<be64>(value); }
  Bytes& text(std::string_view chars) { return raw(chars.data(), chars.size()); }
  Bytes& string(std::string_view chars) {
    return u32(static_cast<std::uint32_t>(chars.size())).text(chars);
  }
  Bytes& fill(std::size_t count, std::uint8_t value) {
    bytes_.insert(bytes_.end(), count, std::byte{value});
    return *this;
  }
  Bytes& add(const Bytes& other) { return raw(other.bytes_.data(), other.bytes_.size()); }
  Bytes& raw(const void* from, std::size_t count) {
    const auto* const at = static_cast<const std::byte*>(from);
    bytes_.insert(bytes_.end(), at, at + count);
    return *this;
  }
  const std::vector<std::byte>& get() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }

 private:
  template <class Number, class Value>
  Bytes& number(Value value) {
    Number wire{};
    wire = value;
    return raw(&wire, sizeof wire);
  }
  std::vector<std::byte> bytes_;
};

inline Bytes client_flags(std::uint32_t flags = nbd::client_fixed_newstyle |
                                                nbd::client_no_zeroes) {
  return Bytes().u32(flags);
}

// `length` where it is to differ from the data's.
inline Bytes option(std::uint32_t number, const Bytes& data = {},
                    std::optional<std::uint32_t> length = {}) {
  return Bytes()
      .u64(nbd::option_magic)
      .u32(number)
      .u32(length.value_or(static_cast<std::uint32_t>(data.size())))
      .add(data);
}
inline Bytes option(nbd::Option number, const Bytes& data = {},
                    std::optional<std::uint32_t> length = {}) {
  return option(static_cast<std::uint32_t>(number), data, length);
}

// The data of INFO and GO.
inline Bytes info_request(std::string_view name, const std::vector<std::uint16_t>& types = {}) {
  Bytes data = Bytes().string(name).u16(static_cast<std::uint16_t>(types.size()));
  for (const std::uint16_t type : types) data.u16(type);
  return data;
}
// The data of LIST_META_CONTEXT and SET_META_CONTEXT.
inline Bytes context_request(std::string_view name, const std::vector<std::string>& queries) {
  Bytes data = Bytes().string(name).u32(static_cast<std::uint32_t>(queries.size()));
  for (const std::string& query : queries) data.string(query);
  return data;
}

inline Bytes request(nbd::Command command, std::uint64_t cookie, std::uint64_t offset,
                     std::uint32_t length, std::uint16_t flags = 0) {
  return Bytes()
      .u32(nbd::request_magic)
      .u16(flags)
      .u16(static_cast<std::uint16_t>(command))
      .u64(cookie)
      .u64(offset)
      .u32(length);
}
// With extended headers; `flags` decide whether a payload follows.
inline Bytes extended_request(nbd::Command command, std::uint64_t cookie, std::uint64_t offset,
                              std::uint64_t length, std::uint16_t flags = 0) {
  return Bytes()
      .u32(nbd::extended_request_magic)
      .u16(flags)
      .u16(static_cast<std::uint16_t>(command))
      .u64(cookie)
      .u64(offset)
      .u64(length);
}
inline Bytes write_request(std::uint64_t cookie, std::uint64_t offset, std::uint32_t length,
                           std::uint8_t value, std::uint16_t flags = 0) {
  return request(nbd::Command::write, cookie, offset, length, flags).fill(length, value);
}

struct OptionAnswer {
  std::uint32_t option = 0;
  nbd::OptionReply type = nbd::OptionReply::ack;
  std::string data;
  friend bool operator==(const OptionAnswer&, const OptionAnswer&) = default;
};

using Extents = std::vector<std::pair<std::uint64_t, std::uint64_t>>;  // length and status

struct Reply {
  nbd::Style style = nbd::Style::simple;
  std::uint16_t flags = 0;  // of its last chunk
  std::uint16_t type = 0;   // the same
  std::uint64_t cookie = 0;
  std::uint64_t request_offset = 0;  // in an extended header
  IoError error = IoError::none;
  std::string message;          // of an error chunk
  std::uint64_t offset = 0;     // of a data chunk
  std::vector<std::byte> data;  // of a read
  Extents extents;              // of base:allocation
  Extents out_of_sync;          // of x-baton:out-of-sync
};

// Takes messages off the front of what a client has received.
class Heard {
 public:
  explicit Heard(const std::vector<std::byte>& bytes) : left_(bytes) {}

  std::size_t left() const { return left_.size(); }
  template <class Struct>
  Struct take() {
    Struct value{};
    if (left_.size() < sizeof value) return short_ = true, value;
    std::memcpy(&value, left_.data(), sizeof value);
    left_ = left_.subspan(sizeof value);
    return value;
  }
  std::vector<std::byte> bytes(std::size_t count) {
    if (left_.size() < count) return short_ = true, std::vector<std::byte>();
    std::vector<std::byte> taken(left_.begin(), left_.begin() + static_cast<std::ptrdiff_t>(count));
    left_ = left_.subspan(count);
    return taken;
  }
  std::string text(std::size_t count) {
    const auto taken = bytes(count);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  // Something was asked for that is not there, or a magic number was wrong.
  bool bad() const { return short_; }

  OptionAnswer option_answer() {
    const auto header = take<nbd::OptionReplyHeader>();
    if (header.magic != nbd::option_reply_magic) short_ = true;
    OptionAnswer answer{header.option, static_cast<nbd::OptionReply>(header.type.value()), {}};
    answer.data = text(header.length);
    return answer;
  }

  // `read_length`: of the data behind a simple reply to a read.
  Reply reply(std::uint32_t read_length = 0) {
    Reply reply;
    be32 magic{};
    if (left_.size() < sizeof magic) return short_ = true, reply;
    std::memcpy(&magic, left_.data(), sizeof magic);
    if (magic == nbd::simple_reply_magic) {
      const auto header = take<nbd::SimpleReplyHeader>();
      reply.cookie = header.cookie;
      reply.error = static_cast<IoError>(header.error.value());
      if (reply.error == IoError::none) reply.data = bytes(read_length);
      return reply;
    }
    reply.style =
        magic == nbd::extended_reply_magic ? nbd::Style::extended : nbd::Style::structured;
    do {
      if (reply.style == nbd::Style::extended) {
        const auto header = take<nbd::ExtendedReplyHeader>();
        reply.request_offset = header.offset;
        take_chunk(reply, header, nbd::extended_reply_magic);
      } else {
        take_chunk(reply, take<nbd::ChunkHeader>(), nbd::chunk_magic);
      }
    } while (!short_ && (reply.flags & nbd::chunk_done) == 0);
    return reply;
  }

 private:
  template <class Header>
  void take_chunk(Reply& reply, const Header& header, std::uint32_t magic) {
    if (header.magic != magic) short_ = true;
    reply.flags = header.flags;
    reply.type = header.type;
    reply.cookie = header.cookie;
    take_payload(reply, header.length);
  }

  void take_payload(Reply& reply, std::size_t length) {
    switch (static_cast<nbd::ChunkType>(reply.type)) {
      case nbd::ChunkType::offset_data:
        reply.offset = take<nbd::OffsetDataPrefix>().offset;
        reply.data = bytes(length - sizeof(nbd::OffsetDataPrefix));
        return;
      case nbd::ChunkType::error: {
        const auto prefix = take<nbd::ErrorPrefix>();
        reply.error = static_cast<IoError>(prefix.error.value());
        reply.message = text(prefix.message_length);
        if (length != sizeof prefix + prefix.message_length) short_ = true;
        return;
      }
      case nbd::ChunkType::block_status: {
        if (reply.style != nbd::Style::structured) short_ = true;
        const auto prefix = take<nbd::BlockStatusPrefix>();
        return take_extents<nbd::BlockStatusDescriptor>(reply, prefix.context_id,
                                                        length - sizeof prefix);
      }
      case nbd::ChunkType::block_status_ext: {
        if (reply.style != nbd::Style::extended) short_ = true;
        const auto prefix = take<nbd::ExtendedStatusPrefix>();
        if (length != sizeof prefix + prefix.descriptors * sizeof(nbd::ExtendedStatusDescriptor)) {
          short_ = true;
        }
        return take_extents<nbd::ExtendedStatusDescriptor>(reply, prefix.context_id,
                                                           length - sizeof prefix);
      }
      case nbd::ChunkType::none:
        return;
    }
    short_ = true;
  }

  template <class Descriptor>
  void take_extents(Reply& reply, std::uint32_t context, std::size_t length) {
    if (context < 1 || context > 2 || length % sizeof(Descriptor) != 0) short_ = true;
    Extents& extents = context == 1 ? reply.extents : reply.out_of_sync;
    if (!extents.empty()) short_ = true;  // one chunk a context
    for (std::size_t at = 0; at < length && !short_; at += sizeof(Descriptor)) {
      const auto extent = take<Descriptor>();
      extents.emplace_back(extent.length, extent.status);
    }
  }

  std::span<const std::byte> left_;
  bool short_ = false;
};

}  // namespace baton::test
