#include "nbd_server/wire/validate.h"

namespace baton::nbd {
namespace {

// "Command flags" of the specification. FUA is legal on every command where SEND_FUA was
// announced, and DF only where structured replies were negotiated.
std::uint16_t flags_of(Command command, const Terms& terms) {
  switch (command) {
    case Command::read:
      return command_fua | (terms.structured_replies ? command_df : 0U);
    case Command::write_zeroes:
      return command_fua | command_no_hole |
             ((terms.transmission_flags & transmission_fast_zero) != 0 ? command_fast_zero : 0U);
    case Command::block_status:
      return command_fua | command_req_one;
    case Command::write:
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

bool has_payload(Command command) {
  return command == Command::read || command == Command::write;
}

bool writes(Command command) {
  return command == Command::write || command == Command::write_zeroes;
}

// Written so that offset + length cannot wrap around.
bool inside(const ClientRequest& request, const Terms& terms) {
  return request.offset <= terms.size && request.length <= terms.size - request.offset;
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
  if (command == Command::block_status && !terms.base_allocation)
    return {IoError::invalid, "no metadata context was selected in the handshake"};
  // A flush covers the whole export whatever its range says; the specification reserves offset and
  // length, and to fail a flush for them would help nobody.
  if (command == Command::flush) return {};
  if (has_payload(command) && request.length > payload_limit_bytes)
    return {IoError::invalid, "the payload exceeds 64 MiB"};
  if (command == Command::block_status && request.length == 0)
    return {IoError::invalid, "the status of no bytes was asked for"};
  if (!inside(request, terms) && writes(command))
    return {IoError::no_space, "the range passes the end of the export"};
  if (!inside(request, terms)) return {IoError::invalid, "the range passes the end of the export"};
  return {};
}

}  // namespace baton::nbd
