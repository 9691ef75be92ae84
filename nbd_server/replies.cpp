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

ReplyTo reply_to(const Slot& slot, const Terms& terms) {
  return {.style = terms.style, .cookie = slot.client.cookie, .offset = slot.client.offset};
}

// With a message where the client understands structured replies (and a READ must not be answered
// otherwise then).
void prepare_error(Slot& slot, const Terms& terms) {
  slot.buffer = Buffer();
  const IoError error = error_for(slot.client, slot.outcome.error);
  if (terms.style == Style::simple) return slot.head.simple(slot.client.cookie, error);
  const std::string_view message =
      slot.outcome.message == nullptr ? std::string_view() : slot.outcome.message;
  slot.head.error(reply_to(slot, terms), error, message);
  slot.reply_payload = std::as_bytes(std::span(message));
}

void prepare_read(Slot& slot, const Terms& terms) {
  slot.reply_payload = slot.buffer.span();
  if (terms.style == Style::simple) return slot.head.simple(slot.client.cookie, IoError::none);
  // Reads of nothing: a data chunk must hold data.
  if (slot.client.length == 0) return slot.head.none(reply_to(slot, terms));
  slot.head.offset_data(reply_to(slot, terms), static_cast<std::uint32_t>(slot.client.length));
}

std::uint32_t status_of(const blockdev::Extent& extent, Contexts context) {
  if (context == context_out_of_sync) return extent.out_of_sync ? status_out_of_sync : 0U;
  return (extent.hole ? status_hole : 0U) | (extent.zero ? status_zero : 0U);
}

// The chunks of a block status, one a context, as they lie behind each other in a reply: the first
// one's head is the slot's, the rest is in its buffer.
template <class Descriptor>
class StatusChunks {
 public:
  StatusChunks(Slot& slot, const Terms& terms) : slot_(slot), to_(reply_to(slot, terms)) {}

  static std::size_t bytes_at_most(const Slot& slot) {
    return (slot.extents.size() + slot.sync_extents.size()) * sizeof(Descriptor) +
           sizeof(ReplyHead);
  }

  // False: the device broke its promise to say something.
  bool put(const Context& context, bool last) {
    const bool first = at_ == 0;
    const std::size_t head_at = at_;
    ReplyHead head;
    // How long a head is does not depend on what it says.
    head.block_status(to_, context.id, 1, last);
    if (!first) at_ += head.size();
    const std::uint32_t count = put_descriptors(context.bit);
    if (count == 0) return false;
    head.block_status(to_, context.id, count, last);
    if (first) {
      slot_.head = head;
    } else {
      std::memcpy(slot_.buffer.data() + head_at, head.data(), head.size());
    }
    return true;
  }

  std::size_t size() const { return at_; }

 private:
  // Joins equal neighbours, keeps inside what was asked for, and stops where one is enough.
  std::uint32_t put_descriptors(Contexts context) {
    const bool one = (slot_.client.flags & command_req_one) != 0;
    std::uint64_t left = slot_.client.length;
    std::uint32_t count = 0;
    Descriptor last{};
    for (const blockdev::Extent& extent :
         context == context_out_of_sync ? slot_.sync_extents : slot_.extents) {
      const std::uint64_t length = std::min(extent.length, left);
      if (length == 0) continue;
      left -= length;
      const bool joins = count > 0 && last.status == status_of(extent, context);
      if (!joins && count > 0 && one) break;
      if (joins) at_ -= sizeof last;
      using Length = decltype(last.length.value());
      last.length = static_cast<Length>((joins ? last.length.value() : 0) + length);
      last.status = status_of(extent, context);
      std::memcpy(slot_.buffer.data() + at_, &last, sizeof last);
      at_ += sizeof last;
      count += joins ? 0 : 1;
    }
    return count;
  }

  Slot& slot_;
  ReplyTo to_;
  std::size_t at_ = 0;
};

template <class Descriptor>
void prepare_block_status(Slot& slot, const Terms& terms, BufferPool& buffers) {
  if ((slot.contexts & context_allocation) == 0) slot.extents.clear();
  if ((slot.contexts & context_out_of_sync) == 0) slot.sync_extents.clear();
  slot.buffer = buffers.take(StatusChunks<Descriptor>::bytes_at_most(slot));
  if (!slot.buffer) {
    slot.outcome = {IoError::no_memory, "the server is short of buffers"};
    return prepare_error(slot, terms);
  }
  StatusChunks<Descriptor> chunks(slot, terms);
  for (const Context& context : all_contexts) {
    if ((slot.contexts & context.bit) == 0) continue;
    const bool last = slot.contexts < 2U * context.bit;
    if (chunks.put(context, last)) continue;
    // To answer nothing would send the client round in a circle.
    slot.outcome = {IoError::io, "the device does not know the status of the range"};
    return prepare_error(slot, terms);
  }
  slot.reply_payload = slot.buffer.span().first(chunks.size());
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
      if (terms.style == Style::extended)
        return prepare_block_status<ExtendedStatusDescriptor>(slot, terms, buffers);
      return prepare_block_status<BlockStatusDescriptor>(slot, terms, buffers);
    default:
      slot.buffer = Buffer();
      if (terms.style == Style::extended) return slot.head.none(reply_to(slot, terms));
      // With structured replies the specification allows simple ones here, and they are shorter.
      slot.head.simple(slot.client.cookie, IoError::none);
  }
}

}  // namespace baton::nbd
