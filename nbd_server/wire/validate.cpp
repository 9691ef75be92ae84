#include "nbd_server/wire/validate.h"

#include <algorithm>
#include <cstring>

namespace baton::nbd {
namespace {

// "Command flags" of the specification. FUA is legal on every command where SEND_FUA was
// announced, DF only where structured replies were negotiated, and PAYLOAD_LEN only with extended
// headers, on commands that have a payload.
std::uint16_t flags_of(Command command, const Terms& terms) {
  const auto if_announced = [&](std::uint16_t announced, std::uint16_t flag) -> std::uint16_t {
    return (terms.transmission_flags & announced) != 0 ? flag : 0;
  };
  switch (command) {
    case Command::read:
      return command_fua | (terms.style != Style::simple ? command_df : 0U);
    case Command::write_zeroes:
      return command_fua | command_no_hole |
             if_announced(transmission_fast_zero, command_fast_zero);
    case Command::block_status:
      return command_fua | command_req_one |
             if_announced(transmission_block_status_payload, command_payload_len);
    case Command::write:
      return command_fua | (terms.style == Style::extended ? command_payload_len : 0U);
    case Command::flush:
    case Command::trim:
    case Command::cache:
    case Command::disconnect:
      return command_fua;
  }
  return 0;
}

bool known(Command command) {
  return command <= Command::block_status;
}

bool carries_data(Command command) {
  return command == Command::read || command == Command::write;
}

bool writes(Command command) {
  return command == Command::write || command == Command::write_zeroes;
}

// Written so that offset + length cannot wrap around.
bool inside(const ClientRequest& request, const Terms& terms) {
  return request.offset <= terms.size && request.length <= terms.size - request.offset;
}

RequestOutcome validate_range(const ClientRequest& request, const Terms& terms) {
  if (request.command == Command::block_status && request.length == 0)
    return {IoError::invalid, "the status of no bytes was asked for"};
  if (inside(request, terms)) return {};
  return {writes(request.command) ? IoError::no_space : IoError::invalid,
          "the range passes the end of the export"};
}

std::size_t status_payload_bytes(std::size_t contexts) {
  return sizeof(StatusPayloadPrefix) + contexts * sizeof(be32);
}

}  // namespace

RequestOutcome validate_request(const ClientRequest& request, const Terms& terms) {
  const Command command = request.command;
  const auto announced = [&](std::uint16_t flag) { return (terms.transmission_flags & flag) != 0; };

  if (!known(command)) return {IoError::invalid, "this server does not know the command"};
  if ((request.flags & ~flags_of(command, terms)) != 0)
    return {IoError::invalid, "a flag that the command does not have here"};
  if (command == Command::trim && !announced(transmission_trim))
    return {IoError::invalid, "this export did not announce trim"};
  if (command == Command::write && !request.has_payload)
    return {IoError::invalid, "a write has a payload: its flag PAYLOAD_LEN is missing"};
  if (command == Command::block_status && terms.contexts == 0)
    return {IoError::invalid, "no metadata context was selected in the handshake"};
  // Each context once at most, and at least one.
  if (command == Command::block_status && request.has_payload) {
    const bool fits = request.length >= status_payload_bytes(1) &&
                      request.length <= status_payload_bytes(all_contexts.size()) &&
                      request.length % sizeof(be32) == 0;
    if (fits) return {};
    return {IoError::invalid, "the payload is not a length and some of the selected contexts"};
  }
  // A flush covers the whole export whatever its range says; the specification reserves offset and
  // length, and to fail a flush for them would help nobody.
  if (command == Command::flush) return {};
  if (carries_data(command) && request.length > payload_limit_bytes)
    return {IoError::invalid, "the payload exceeds 64 MiB"};
  return validate_range(request, terms);
}

RequestOutcome validate_status_payload(std::span<const std::byte> payload, const Terms& terms,
                                       ClientRequest& request, Contexts& asked) {
  StatusPayloadPrefix prefix{};
  std::memcpy(&prefix, payload.data(), sizeof prefix);
  request.length = prefix.length;
  asked = 0;
  for (std::size_t at = sizeof prefix; at < payload.size(); at += sizeof(be32)) {
    be32 id{};
    std::memcpy(&id, payload.data() + at, sizeof id);
    const auto context = std::ranges::find(all_contexts, id.value(), &Context::id);
    const bool selected = context != all_contexts.end() && (terms.contexts & context->bit) != 0;
    if (!selected || (asked & context->bit) != 0)
      return {IoError::invalid, "the payload names a context twice, or one that was not selected"};
    asked |= context->bit;
  }
  return validate_range(request, terms);
}

}  // namespace baton::nbd
