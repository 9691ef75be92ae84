// The NBD protocol as bytes: constants and structs of the specification's "Values" section
// (NetworkBlockDevice/nbd, doc/proto.md), and of its branch extension-ext-header, which QEMU 8.2
// and libnbd 1.18 speak. Everything is big-endian.
//
// What is not here: resize, which no client knows (an option we do not know is answered
// NBD_REP_ERR_UNSUP and clients go on without it).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "base/endian.h"

namespace baton::nbd {

// Handshake.
inline constexpr std::uint64_t greeting_magic = 0x4e42444d41474943;  // "NBDMAGIC"
inline constexpr std::uint64_t option_magic = 0x49484156454f5054;    // "IHAVEOPT"
inline constexpr std::uint64_t option_reply_magic = 0x0003e889045565a9;

inline constexpr std::uint16_t handshake_fixed_newstyle = 1U << 0U;
inline constexpr std::uint16_t handshake_no_zeroes = 1U << 1U;
inline constexpr std::uint32_t client_fixed_newstyle = 1U << 0U;
inline constexpr std::uint32_t client_no_zeroes = 1U << 1U;

enum class Option : std::uint32_t {
  export_name = 1,
  abort = 2,
  list = 3,
  start_tls = 5,
  info = 6,
  go = 7,
  structured_reply = 8,
  list_meta_context = 9,
  set_meta_context = 10,
  extended_headers = 11,
};

enum class OptionReply : std::uint32_t {
  ack = 1,
  server = 2,
  info = 3,
  meta_context = 4,
  error_unsupported = 0x80000001,
  error_policy = 0x80000002,
  error_invalid = 0x80000003,
  error_tls_required = 0x80000005,
  error_unknown = 0x80000006,
  error_shutdown = 0x80000007,
  error_too_big = 0x80000009,
  error_extended_headers = 0x8000000a,  // NBD_REP_ERR_EXT_HEADER_REQD
};

enum class InfoType : std::uint16_t { export_ = 0, name = 1, description = 2, block_size = 3 };

inline constexpr std::uint16_t transmission_has_flags = 1U << 0U;
inline constexpr std::uint16_t transmission_flush = 1U << 2U;
inline constexpr std::uint16_t transmission_fua = 1U << 3U;
inline constexpr std::uint16_t transmission_rotational = 1U << 4U;
inline constexpr std::uint16_t transmission_trim = 1U << 5U;
inline constexpr std::uint16_t transmission_write_zeroes = 1U << 6U;
inline constexpr std::uint16_t transmission_df = 1U << 7U;
inline constexpr std::uint16_t transmission_multi_conn = 1U << 8U;
inline constexpr std::uint16_t transmission_cache = 1U << 10U;
inline constexpr std::uint16_t transmission_fast_zero = 1U << 11U;
inline constexpr std::uint16_t transmission_block_status_payload = 1U << 12U;

// "Strings": a server need not accept longer ones.
inline constexpr std::uint32_t string_limit_bytes = 4096;

// What we announce with NBD_INFO_BLOCK_SIZE. Clients that did not ask for it stay below 32 MiB.
inline constexpr std::uint32_t minimum_block_bytes = 1;
inline constexpr std::uint32_t payload_limit_bytes = 64U << 20U;

struct Greeting {
  be64 magic;
  be64 option_magic;
  be16 handshake_flags;
};
static_assert(sizeof(Greeting) == 18);

struct OptionHeader {
  be64 magic;
  be32 option;
  be32 length;  // of the data that follows
};
static_assert(sizeof(OptionHeader) == 16);

struct OptionReplyHeader {
  be64 magic;
  be32 option;
  be32 type;
  be32 length;  // of the data that follows
};
static_assert(sizeof(OptionReplyHeader) == 20);

// The answer to NBD_OPT_EXPORT_NAME, followed by 124 zero bytes unless NO_ZEROES was negotiated.
struct ExportNameAnswer {
  be64 size;
  be16 transmission_flags;
};
static_assert(sizeof(ExportNameAnswer) == 10);
inline constexpr std::size_t export_name_padding_bytes = 124;

struct InfoExport {
  be16 type;
  be64 size;
  be16 transmission_flags;
};
static_assert(sizeof(InfoExport) == 12);

struct InfoBlockSize {
  be16 type;
  be32 minimum;
  be32 preferred;
  be32 maximum_payload;
};
static_assert(sizeof(InfoBlockSize) == 14);

// Transmission.
inline constexpr std::uint32_t request_magic = 0x25609513;
inline constexpr std::uint32_t simple_reply_magic = 0x67446698;
inline constexpr std::uint32_t chunk_magic = 0x668e33ef;
inline constexpr std::uint32_t extended_request_magic = 0x21e41c71;
inline constexpr std::uint32_t extended_reply_magic = 0x6e8a278c;

// How requests and replies look; negotiated.
enum class Style : std::uint8_t {
  simple,
  structured,  // simple, but for replies that carry something
  extended,
};

enum class Command : std::uint16_t {
  read = 0,
  write = 1,
  disconnect = 2,
  flush = 3,
  trim = 4,
  cache = 5,
  write_zeroes = 6,
  block_status = 7,
};

inline constexpr std::uint16_t command_fua = 1U << 0U;
inline constexpr std::uint16_t command_no_hole = 1U << 1U;
inline constexpr std::uint16_t command_df = 1U << 2U;
inline constexpr std::uint16_t command_req_one = 1U << 3U;
inline constexpr std::uint16_t command_fast_zero = 1U << 4U;
inline constexpr std::uint16_t command_payload_len = 1U << 5U;  // extended headers only

enum class ChunkType : std::uint16_t {
  none = 0,
  offset_data = 1,
  block_status = 5,
  block_status_ext = 6,
  error = 0x8001,
};
inline constexpr std::uint16_t chunk_done = 1U << 0U;

struct RequestHeader {
  be32 magic;
  be16 flags;
  be16 command;
  be64 cookie;
  be64 offset;
  be32 length;
};
static_assert(sizeof(RequestHeader) == 28);

struct ExtendedRequestHeader {
  be32 magic;
  be16 flags;
  be16 command;
  be64 cookie;
  be64 offset;
  be64 length;  // of the payload with PAYLOAD_LEN, else of the effect
};
static_assert(sizeof(ExtendedRequestHeader) == 32);

struct SimpleReplyHeader {
  be32 magic;
  be32 error;
  be64 cookie;
};
static_assert(sizeof(SimpleReplyHeader) == 16);

struct ChunkHeader {
  be32 magic;
  be16 flags;
  be16 type;
  be64 cookie;
  be32 length;  // of the payload that follows
};
static_assert(sizeof(ChunkHeader) == 20);

struct ExtendedReplyHeader {
  be32 magic;
  be16 flags;
  be16 type;
  be64 cookie;
  be64 offset;  // the request's
  be64 length;  // of the payload that follows
};
static_assert(sizeof(ExtendedReplyHeader) == 32);

// Payload of ChunkType::offset_data, before the data.
struct OffsetDataPrefix {
  be64 offset;
};
static_assert(sizeof(OffsetDataPrefix) == 8);

// Payload of ChunkType::error, before the message.
struct ErrorPrefix {
  be32 error;
  be16 message_length;
};
static_assert(sizeof(ErrorPrefix) == 6);

// Payload of ChunkType::block_status, before the descriptors.
struct BlockStatusPrefix {
  be32 context_id;
};
static_assert(sizeof(BlockStatusPrefix) == 4);

struct BlockStatusDescriptor {
  be32 length;
  be32 status;
};
static_assert(sizeof(BlockStatusDescriptor) == 8);

// Payload of ChunkType::block_status_ext, before the descriptors.
struct ExtendedStatusPrefix {
  be32 context_id;
  be32 descriptors;
};
static_assert(sizeof(ExtendedStatusPrefix) == 8);

struct ExtendedStatusDescriptor {
  be64 length;
  be64 status;
};
static_assert(sizeof(ExtendedStatusDescriptor) == 16);

// Payload of a block status with PAYLOAD_LEN, before the ids of the contexts that are asked for.
struct StatusPayloadPrefix {
  be64 length;  // of the effect
};
static_assert(sizeof(StatusPayloadPrefix) == 8);

// A set of metadata contexts. docs/nbd.md describes ours.
using Contexts = std::uint8_t;
inline constexpr Contexts context_allocation = 1U << 0U;
inline constexpr Contexts context_out_of_sync = 1U << 1U;
struct Context {
  Contexts bit;
  std::uint32_t id;
  std::string_view name;
};
inline constexpr std::array all_contexts = {
    Context{context_allocation, 1, "base:allocation"},
    Context{context_out_of_sync, 2, "x-baton:out-of-sync"},
};
inline constexpr std::uint32_t status_hole = 1U << 0U;         // base:allocation
inline constexpr std::uint32_t status_zero = 1U << 1U;         // base:allocation
inline constexpr std::uint32_t status_out_of_sync = 1U << 0U;  // x-baton:out-of-sync

// Padding would leak what lay in memory before.
static_assert(std::has_unique_object_representations_v<Greeting> &&
              std::has_unique_object_representations_v<OptionReplyHeader> &&
              std::has_unique_object_representations_v<InfoExport> &&
              std::has_unique_object_representations_v<InfoBlockSize> &&
              std::has_unique_object_representations_v<RequestHeader> &&
              std::has_unique_object_representations_v<SimpleReplyHeader> &&
              std::has_unique_object_representations_v<ChunkHeader> &&
              std::has_unique_object_representations_v<ExtendedReplyHeader> &&
              std::has_unique_object_representations_v<ExtendedStatusPrefix> &&
              std::has_unique_object_representations_v<ErrorPrefix>);

}  // namespace baton::nbd
