#include "nbd_server/transmission.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/mutant.h"
#include "nbd_server/replies.h"

namespace baton::nbd {
namespace {

// The payload of a refused request is skipped up to this length, so that the connection stays in
// step and the client gets its error; who sends more means no length (nbdkit: twice the maximum,
// too). With extended headers a client "SHOULD" be disconnected beyond the maximum.
std::size_t skip_limit_bytes(Style style) {
  return style == Style::extended ? payload_limit_bytes : 2UL * payload_limit_bytes;
}

// A request without a payload can mean 2^64 bytes with extended headers. A device gets them one
// after the other in parts of this size: what it does at a time stays bounded.
constexpr std::uint64_t part_bytes = 1UL << 30U;

// How long a client may take to receive its last replies, or any while others need the memory.
constexpr Duration farewell_limit = std::chrono::seconds(10);

// How long nothing of a write's payload may come while others need the memory.
constexpr Duration payload_limit = std::chrono::seconds(1);

// Others use the pool, too.
constexpr Duration pool_looked_at_after = std::chrono::milliseconds(10);

bool carries_data(const ClientRequest& request) {
  return request.command == Command::read || request.command == Command::write;
}

// What a request counts for: its payload, or the most that its answer can hold.
std::size_t charge_of(const ClientRequest& request) {
  if (carries_data(request)) return BufferPool::bytes_for(request.length);
  if (request.command == Command::block_status)
    return all_contexts.size() * blockdev::extent_limit *
           (sizeof(blockdev::Extent) + sizeof(ExtendedStatusDescriptor));
  return 0;
}

blockdev::Op op_of(Command command) {
  using blockdev::Op;
  switch (command) {
    case Command::read:
      return Op::read;
    case Command::write:
      return Op::write;
    case Command::trim:
      return Op::discard;
    case Command::cache:
      return Op::prefetch;
    case Command::write_zeroes:
      return Op::write_zeroes;
    case Command::block_status:
      return Op::block_status;
    case Command::flush:
    case Command::disconnect:  // never gets here
      break;
  }
  return Op::flush;
}

blockdev::Flags flags_of(const ClientRequest& request) {
  // FUA is legal on every command and means something only on those that write.
  const bool writes = request.command == Command::write || request.command == Command::trim ||
                      request.command == Command::write_zeroes;
  return {.fua = writes && (request.flags & command_fua) != 0 && !mutant("nbd-fua-dropped"),
          .no_hole = (request.flags & command_no_hole) != 0,
          .fast_zero = (request.flags & command_fast_zero) != 0,
          .req_one = (request.flags & command_req_one) != 0};
}

}  // namespace

Transmission::Transmission(const World& world, InputBuffer& input, const Terms& terms,
                           const TransmissionLimits& limits)
    : world_(world),
      input_(input),
      terms_(terms),
      progress_(world.loop),
      slots_(limits.in_flight_requests, limits.in_flight_bytes, world.budget),
      replies_(world.loop, world.clock, world.stream, slots_, progress_) {
  world_.budget.add(*this);
}

Transmission::~Transmission() {
  world_.budget.remove(*this);
}

Task<> Transmission::run() {
  co_await receive_requests();
  receiving_ = false;
  co_await finish();
}

Task<> Transmission::receive_requests() {
  ReadOperation read;
  while (!ended_) {
    if (input_.size() < request_header_bytes(terms_.style)) {
      read.buffer = input_.space();
      co_await read_some(world_.stream, read);
      if (!arrived(read)) co_return;
      input_.filled(read.transferred);
      continue;
    }
    const std::optional<ClientRequest> request = next_request();
    if (!request) co_return;
    Slot* slot = admit(*request, false);
    if (slot == nullptr) slot = co_await admit_in_turn(*request);
    if (slot == nullptr) co_return;
    take_payload(*slot);
    if (slot->payload_missing > 0) {
      receiving_payload_ = true;
      payload_moved_ = world_.clock.now();
      const bool complete = co_await receive_rest(*slot);
      receiving_payload_ = false;
      if (!complete && !mutant("nbd-half-write-carried-out")) {
        slots_.release(*slot);  // a half-received write never happened
        co_return;
      }
    }
    start(*slot);
  }
}

// Nothing when the client asked for the end, or cannot be followed any more.
std::optional<ClientRequest> Transmission::next_request() {
  const auto request = decode_request(terms_.style, input_.unread());
  input_.consume(request_header_bytes(terms_.style));
  if (!request) {
    reason_ = "a request without its magic number";
    return std::nullopt;
  }
  if (request->command == Command::disconnect) {
    reason_ = "the client disconnected";
    return std::nullopt;
  }
  if (request->has_payload && request->length > skip_limit_bytes(terms_.style)) {
    reason_ = fmt::format("a request with {} bytes behind it", request->length);
    return std::nullopt;
  }
  return request;
}

// A slot for the request, refused or with its buffer. Null when this connection holds as much as it
// may, or all of them together do, or the shard is short of buffers. `granted`: by the budget.
Slot* Transmission::admit(const ClientRequest& request, bool granted) {
  RequestOutcome outcome = validate_request(request, terms_);
  const bool refused = outcome.error != IoError::none;
  const std::size_t charge = refused ? 0 : charge_of(request);
  if (!slots_.has_room(charge)) return nullptr;
  if (!granted && !world_.budget.take(charge, slots_.bytes())) return nullptr;

  Buffer buffer;
  if (!refused && (carries_data(request) || request.has_payload)) {
    buffer = world_.buffers.take(request.length);
    if (!buffer) return world_.budget.give(charge), nullptr;
  }
  Slot& slot = slots_.take(charge);
  slot.client = request;
  slot.outcome = outcome;
  slot.payload_missing = request.has_payload ? request.length : 0;
  slot.contexts = terms_.contexts;
  slot.buffer = std::move(buffer);
  return &slot;
}

// Null: no request is taken any more.
Task<Slot*> Transmission::admit_in_turn(const ClientRequest& request) {
  const bool refused = validate_request(request, terms_).error != IoError::none;
  const std::size_t charge = refused ? 0 : charge_of(request);
  while (!ended_) {
    if (!slots_.has_room(charge)) {
      co_await progress_.wait();
      continue;
    }
    const std::size_t held = slots_.bytes();
    const bool granted = charge == 0 || co_await world_.budget.acquire(charge, held, ended_);
    if (!granted) break;
    if (Slot* const slot = admit(request, true); slot != nullptr) co_return slot;
    co_await progress_.wait_until(world_.clock, world_.clock.now() + pool_looked_at_after);
  }
  co_return nullptr;
}

bool Transmission::is_in_the_way(TimePoint now) const {
  if (slots_.bytes() == 0) return false;
  const bool stopped = receiving_payload_ && now - payload_moved_ > payload_limit;
  return stopped || replies_.stands_still(now, farewell_limit);
}

void Transmission::end_for_others() {
  reason_ = receiving_payload_ ? "it stopped in the middle of a write while others need the memory"
                               : "it reads no replies while others need the memory";
  give_up();
  world_.stream.close();
}

void Transmission::give_up() {
  ended_ = true;
  progress_.notify_all();
  world_.budget.look_again();
}

// From the receive buffer. A refused request has no buffer and its payload goes nowhere.
void Transmission::take_payload(Slot& slot) {
  const std::size_t count = std::min(slot.payload_missing, input_.size());
  if (count == 0) return;
  if (slot.buffer) {
    const std::size_t have = slot.client.length - slot.payload_missing;
    std::memcpy(slot.buffer.data() + have, input_.unread().data(), count);
  }
  input_.consume(count);
  slot.payload_missing -= count;
}

// The receive buffer is empty here. What follows the payload lands in it by the same receive.
Task<bool> Transmission::receive_rest(Slot& slot) {
  ReadOperation read;
  while (slot.payload_missing > 0) {
    std::size_t direct = 0;
    if (slot.buffer) {
      direct = slot.payload_missing;
      read.buffer = slot.buffer.span().last(direct);
      read.second_buffer = input_.space();
    } else {
      read.buffer = input_.space();
    }
    co_await read_some(world_.stream, read);
    if (!arrived(read)) co_return false;
    payload_moved_ = world_.clock.now();
    direct = std::min(direct, read.transferred);
    slot.payload_missing -= direct;
    input_.filled(read.transferred - direct);
    if (!slot.buffer) take_payload(slot);
  }
  co_return true;
}

bool Transmission::arrived(const ReadOperation& read) {
  switch (read.error) {
    case StreamError::none:
      return true;
    case StreamError::end_of_stream:
      reason_ = "the client closed the connection without DISC";
      return false;
    case StreamError::broken:
      reason_ = "the connection broke";
      return false;
    case StreamError::closed:
      if (reason_.empty()) reason_ = "closed by the server";
      return false;
  }
  return false;
}

void Transmission::start(Slot& slot) {
  const bool names_contexts =
      slot.client.command == Command::block_status && slot.client.has_payload;
  if (names_contexts && slot.outcome.error == IoError::none) look_at_payload(slot);
  if (slot.outcome.error != IoError::none) return answer(slot);
  if (slot.client.command == Command::flush && mutant("nbd-flush-not-passed-on")) {
    return answer(slot);
  }
  if (slot.client.command == Command::trim && mutant("nbd-trim-not-passed-on")) return answer(slot);
  blockdev::Request& request = slot.request;
  request.flags = flags_of(slot.client);
  request.data = slot.buffer.data();
  request.on_complete(&Transmission::on_complete, this);
  const bool allocation = (slot.contexts & context_allocation) != 0;
  const bool only_sync = slot.client.command == Command::block_status && !allocation;
  submit(slot, only_sync ? blockdev::Op::sync_status : op_of(slot.client.command),
         slot.client.offset);
}

void Transmission::look_at_payload(Slot& slot) {
  slot.outcome = validate_status_payload(slot.buffer.span().first(slot.client.length), terms_,
                                         slot.client, slot.contexts);
  slot.buffer = Buffer();
}

// The part of the request that begins at `offset`.
void Transmission::submit(Slot& slot, blockdev::Op op, std::uint64_t offset) {
  blockdev::Request& request = slot.request;
  request.op = op;
  request.offset = offset;
  request.length = slot.client.offset + slot.client.length - offset;
  if (op == blockdev::Op::flush) request.offset = request.length = 0;
  const bool in_parts = op == blockdev::Op::discard || op == blockdev::Op::write_zeroes;
  if (in_parts) request.length = std::min(request.length, part_bytes);
  request.extents = op == blockdev::Op::sync_status ? &slot.sync_extents : &slot.extents;
  request.error = IoError::none;
  request.reason = nullptr;
  ++with_device_;
  world_.device.submit(request);
}

// The next part, or the next context.
bool Transmission::goes_on(Slot& slot) {
  const blockdev::Request& done = slot.request;
  if (done.error != IoError::none) return false;
  if (done.op == blockdev::Op::block_status && (slot.contexts & context_out_of_sync) != 0) {
    submit(slot, blockdev::Op::sync_status, slot.client.offset);
    return true;
  }
  const std::uint64_t end = slot.client.offset + slot.client.length;
  const bool in_parts = done.op == blockdev::Op::discard || done.op == blockdev::Op::write_zeroes;
  if (!in_parts || done.offset + done.length == end) return false;
  submit(slot, done.op, done.offset + done.length);
  return true;
}

void Transmission::on_complete(Operation& operation) {
  auto& self = *static_cast<Transmission*>(operation.context());
  Slot& slot = Slot::of(static_cast<blockdev::Request&>(operation));
  --self.with_device_;
  if (self.goes_on(slot)) return;
  slot.outcome = {slot.request.error, slot.request.reason};
  self.answer(slot);
  if (!self.receiving_) self.progress_.notify_all();
}

void Transmission::answer(Slot& slot) {
  if (shutting_down_ && slot.outcome.error == IoError::shutdown) {
    slots_.release(slot);
    return progress_.notify_all();
  }
  prepare_reply(slot, terms_, world_.buffers);
  replies_.push(slot);
}

// The device cannot be asked to forget a request, so what it holds is waited for however the
// connection ended; replies are waited for as long as a client deserves that stops reading.
Task<> Transmission::finish() {
  while (with_device_ > 0) co_await progress_.wait();
  const TimePoint deadline = world_.clock.now() + farewell_limit;
  bool in_time = true;
  while (!slots_.idle() && in_time) {
    in_time = co_await progress_.wait_until(world_.clock, deadline);
  }
  world_.stream.close();
  while (!slots_.idle()) co_await progress_.wait();
}

Task<> Transmission::shut_down() {
  shutting_down_ = true;
  give_up();
  const auto carrying_out = [this] { return slots_.in_use() > (receiving_payload_ ? 1U : 0U); };
  while (carrying_out()) co_await progress_.wait();
  reason_ = "the server is shutting down";
  world_.stream.close();
}

}  // namespace baton::nbd
