#include "nbd_server/replies.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/mutant.h"

namespace baton::nbd {
namespace {

// Some errors belong to some commands only ("Error values"): ENOTSUP to a write-zeroes with
// FAST_ZERO, EOVERFLOW to a read with DF. Elsewhere a client would not know what to make of them.
IoError error_for(const ClientRequest& request, IoError error) {
  if (error == IoError::unsupported && (request.flags & command_fast_zero) == 0)
    return IoError::invalid;
  if (error == IoError::overflow && (request.flags & command_df) == 0) return IoError::invalid;
  return error;
}

// With a message where the client understands structured replies (and a READ must not be answered
// otherwise then).
void prepare_error(Slot& slot, const Terms& terms) {
  slot.buffer = Buffer();
  const IoError error = error_for(slot.client, slot.outcome.error);
  if (!terms.structured_replies) return slot.head.simple(slot.client.cookie, error);
  const std::string_view message =
      slot.outcome.message == nullptr ? std::string_view() : slot.outcome.message;
  slot.head.error(slot.client.cookie, error, message);
  slot.reply_payload = std::as_bytes(std::span(message));
}

void prepare_read(Slot& slot, const Terms& terms) {
  const std::uint32_t length = slot.client.length;
  slot.reply_payload = slot.buffer.span();
  if (!terms.structured_replies) return slot.head.simple(slot.client.cookie, IoError::none);
  // Reads of nothing: a data chunk must hold data.
  if (length == 0) return slot.head.none(slot.client.cookie);
  slot.head.offset_data(slot.client.cookie, slot.client.offset, length);
}

std::uint32_t status_of(const blockdev::Extent& extent) {
  return (extent.hole ? status_hole : 0U) | (extent.zero ? status_zero : 0U);
}

// Joins equal neighbours, keeps inside what was asked for, and stops where one is enough.
std::uint32_t put_descriptors(const Slot& slot, BlockStatusDescriptor* into) {
  std::uint64_t left = slot.client.length;
  std::uint32_t count = 0;
  for (const blockdev::Extent& extent : slot.extents) {
    const std::uint64_t length = std::min(extent.length, left);
    if (length == 0) continue;
    left -= length;
    if (count > 0 && into[count - 1].status == status_of(extent)) {
      into[count - 1].length += static_cast<std::uint32_t>(length);
      continue;
    }
    if (count > 0 && (slot.client.flags & command_req_one) != 0) break;
    into[count].length = static_cast<std::uint32_t>(length);
    into[count].status = status_of(extent);
    ++count;
  }
  return count;
}

void prepare_block_status(Slot& slot, const Terms& terms, BufferPool& buffers) {
  slot.buffer = buffers.take(slot.extents.size() * sizeof(BlockStatusDescriptor));
  if (!slot.buffer) {
    slot.outcome = {IoError::no_memory, "the server is short of buffers"};
    return prepare_error(slot, terms);
  }
  auto* const into = reinterpret_cast<BlockStatusDescriptor*>(slot.buffer.data());
  const std::uint32_t count = put_descriptors(slot, into);
  if (count == 0) {
    // The device broke its promise; to answer nothing would send the client round in a circle.
    slot.outcome = {IoError::io, "the device does not know the status of the range"};
    return prepare_error(slot, terms);
  }
  slot.head.block_status(slot.client.cookie, base_allocation_id, count);
  slot.reply_payload = slot.buffer.span().first(count * sizeof(BlockStatusDescriptor));
}

}  // namespace

void prepare_reply(Slot& slot, const Terms& terms, BufferPool& buffers) {
  if (slot.outcome.error != IoError::none && !mutant("nbd-error-not-told")) {
    return prepare_error(slot, terms);
  }
  switch (slot.client.command) {
    case Command::read:
      return prepare_read(slot, terms);
    case Command::block_status:
      return prepare_block_status(slot, terms, buffers);
    default:
      // The specification allows simple replies to everything else, and they are shorter.
      slot.buffer = Buffer();
      slot.head.simple(slot.client.cookie, IoError::none);
  }
}

}  // namespace baton::nbd
