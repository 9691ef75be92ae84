// The replication protocol's messages: one table, fixed little-endian headers (design §7).
// docs/wire-protocol.md is the prose. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/endian.h"

namespace baton::replication::wire {

inline constexpr std::uint32_t magic = 0x314e5442;  // "BTN1" as it lies on the wire
inline constexpr std::uint16_t version_min = 1;
inline constexpr std::uint16_t version_max = 1;

// The largest range of one write, zero or read message. Bigger client requests are cut up, so that
// an acknowledgement or a ping never waits behind more than this in one piece.
inline constexpr std::uint32_t piece_bytes_max = 1U << 20U;
inline constexpr std::uint32_t control_bytes_max = 64U << 10U;
// The XXH3-128 sums of the 4 KiB blocks of the largest range.
inline constexpr std::uint32_t sums_bytes_max = piece_bytes_max / 4096 * 16;

enum class Type : std::uint16_t {
  hello = 1,
  proof,
  state,
  ready,
  bits,
  bits_end,
  write,
  zero,
  received,
  done,
  flush,
  flushed,
  read,
  data,
  ping,
  pong,
  sync_begin,
  sync_ready,
  sync_end,
  sync_finished,
  handover_ask,
  handover_refused,
  grant,
  taken,
  offer,
  offer_void,
  status,
  goodbye,
  tunnel,
  yield,
  yield_refused,
  client_write,
  client_zero,
  client_done,
  role,
  sums_ask,
  sums,
  verify_ask,
  verify_told,
  verify_on,
  invalidate_ask,
  invalidate_refused,
  lend,
  recall,
  returned,
};
inline constexpr std::uint16_t type_max = static_cast<std::uint16_t>(Type::returned);

// Where in a session a message may come.
enum class Phase : std::uint8_t { greeting, settling, session };

// Which lane it leaves in: urgent messages overtake bulk ones, and name the last bulk message they
// must follow where that matters (Header::follows; schedules: priority-overtakes).
enum class Lane : std::uint8_t { urgent, bulk };

struct Kind {
  Type type;
  std::string_view name;
  Phase phase;
  Lane lane;
  std::uint32_t payload_max;
};

inline constexpr std::array<Kind, type_max> kinds = {{
    {Type::hello, "hello", Phase::greeting, Lane::urgent, 4096},
    {Type::proof, "proof", Phase::greeting, Lane::urgent, 64},
    {Type::state, "state", Phase::settling, Lane::urgent, control_bytes_max},
    {Type::ready, "ready", Phase::settling, Lane::urgent, 0},
    {Type::bits, "bits", Phase::settling, Lane::urgent, control_bytes_max},
    {Type::bits_end, "bits-end", Phase::settling, Lane::urgent, 0},
    {Type::write, "write", Phase::session, Lane::bulk, piece_bytes_max},
    {Type::zero, "zero", Phase::session, Lane::bulk, 0},
    {Type::received, "received", Phase::session, Lane::urgent, 0},
    {Type::done, "done", Phase::session, Lane::urgent, 0},
    {Type::flush, "flush", Phase::session, Lane::urgent, 0},
    {Type::flushed, "flushed", Phase::session, Lane::urgent, 0},
    {Type::read, "read", Phase::session, Lane::urgent, 0},
    {Type::data, "data", Phase::session, Lane::bulk, piece_bytes_max},
    {Type::ping, "ping", Phase::session, Lane::urgent, 0},
    {Type::pong, "pong", Phase::session, Lane::urgent, 0},
    {Type::sync_begin, "sync-begin", Phase::session, Lane::bulk, 4096},
    {Type::sync_ready, "sync-ready", Phase::session, Lane::urgent, 0},
    {Type::sync_end, "sync-end", Phase::session, Lane::bulk, 0},
    {Type::sync_finished, "sync-finished", Phase::session, Lane::urgent, 0},
    {Type::handover_ask, "handover-ask", Phase::session, Lane::urgent, 0},
    {Type::handover_refused, "handover-refused", Phase::session, Lane::urgent, 1024},
    {Type::grant, "grant", Phase::session, Lane::urgent, 0},
    {Type::taken, "taken", Phase::session, Lane::urgent, 0},
    {Type::offer, "offer", Phase::session, Lane::urgent, 0},
    {Type::offer_void, "offer-void", Phase::session, Lane::urgent, 0},
    {Type::status, "status", Phase::session, Lane::urgent, 4096},
    {Type::goodbye, "goodbye", Phase::greeting, Lane::urgent, 1024},
    {Type::tunnel, "tunnel", Phase::session, Lane::urgent, control_bytes_max},
    {Type::yield, "yield", Phase::session, Lane::urgent, 0},
    {Type::yield_refused, "yield-refused", Phase::session, Lane::urgent, 1024},
    {Type::client_write, "client-write", Phase::session, Lane::bulk, piece_bytes_max},
    {Type::client_zero, "client-zero", Phase::session, Lane::bulk, 0},
    {Type::client_done, "client-done", Phase::session, Lane::urgent, 0},
    {Type::role, "role", Phase::session, Lane::urgent, 0},
    {Type::sums_ask, "sums-ask", Phase::session, Lane::urgent, 0},
    {Type::sums, "sums", Phase::session, Lane::urgent, sums_bytes_max},
    {Type::verify_ask, "verify-ask", Phase::session, Lane::urgent, 0},
    {Type::verify_told, "verify-told", Phase::session, Lane::urgent, 1024},
    {Type::verify_on, "verify-on", Phase::session, Lane::urgent, 24},
    {Type::invalidate_ask, "invalidate-ask", Phase::session, Lane::urgent, 0},
    {Type::invalidate_refused, "invalidate-refused", Phase::session, Lane::urgent, 1024},
    {Type::lend, "lend", Phase::session, Lane::urgent, 0},
    {Type::recall, "recall", Phase::session, Lane::urgent, 0},
    {Type::returned, "returned", Phase::session, Lane::urgent, 0},
}};

// Null for a number that is no message.
const Kind* kind_of(std::uint16_t type);

// Header::flags
inline constexpr std::uint32_t flag_fua = 1U << 0U;  // write, zero: on stable storage before `done`
inline constexpr std::uint32_t flag_no_hole = 1U << 1U;  // zero: leave the range allocated
inline constexpr std::uint32_t flag_resync = 1U
                                             << 2U;  // write, zero: copied, not written by a client
inline constexpr std::uint32_t flag_ack_received = 1U << 3U;  // write, zero: answer `received` (B)
inline constexpr std::uint32_t flag_error = 1U
                                            << 4U;    // done, flushed, data, client_done: it failed
inline constexpr std::uint32_t flag_full = 1U << 6U;  // client_done: it failed for want of space
// client_done, done: it was not done; ask again. client_write, client_zero: it may have been asked
// for before.
inline constexpr std::uint32_t flag_again = 1U << 7U;
// read: of no bytes; answered when what is written in the range by then is done.
inline constexpr std::uint32_t flag_leave = 1U << 9U;
// sums-ask: the asker's range is a hole, and only that is asked, whatever its length; sums: this
// side's range is one, too.
inline constexpr std::uint32_t flag_zeroes = 1U << 5U;

inline constexpr std::uint32_t flag_holds_sync = 1U << 8U;  // status: its operator holds resyncs

// Hello::features: allow-two-primaries. Both sides have it or neither.
inline constexpr std::uint64_t feature_two_primaries = 1U << 0U;
inline constexpr std::uint64_t features_known = feature_two_primaries;

// client_write, client_zero: their numbers are those of the asker's process, beside its other
// requests'.
inline constexpr std::uint64_t client_number = 1ULL << 63U;

// Every message: this header, then `payload_bytes` bytes. Fields that a message does not use are
// zero: what lay in memory there goes over no wire.
struct Header {
  le32 magic{};
  le16 type{};
  le16 volume{};
  le32 flags{};
  le32 payload_bytes{};
  // Of the write, flush, read, ping …; answers carry the number of what they answer. lend, recall,
  // returned: how many regions, beginning with the one at `offset`.
  le64 number{};
  // The last write (its number) that must be applied before this is acted on. client_write,
  // client_zero: the oldest one that may still be asked for once more. write, zero: which one it is
  // of those of the clients of the node that does not hold the baton, or 0.
  le64 follows{};
  le64 epoch{};   // of the sender's baton, for write, zero, grant, taken, status
  le64 offset{};  // bytes
  le64 length{};  // bytes of the range; for write and data the same as payload_bytes
  le64
      checksum{};  // XXH3-64 over the payload, seeded with XXH3-64 over this header with checksum 0
};
static_assert(sizeof(Header) == 64);
static_assert(alignof(Header) == 1);
static_assert(offsetof(Header, number) == 16 && offsetof(Header, checksum) == 56);

}  // namespace baton::replication::wire
