#include "tests/simulation/nbd_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "nbd_server/wire/codec.h"
#include "tests/simulation/node.h"

namespace baton::sim {

using blockdev::Op;
using blockdev::Request;

namespace {

nbd::Command command_of(Op op) {
  switch (op) {
    case Op::read:
      return nbd::Command::read;
    case Op::write:
      return nbd::Command::write;
    case Op::discard:
      return nbd::Command::trim;
    case Op::write_zeroes:
      return nbd::Command::write_zeroes;
    case Op::block_status:
    case Op::sync_status:
      return nbd::Command::block_status;
    case Op::prefetch:
      return nbd::Command::cache;
    case Op::flush:
      break;
  }
  return nbd::Command::flush;
}

bool known_error(std::uint32_t error) {
  static constexpr std::array known = {
      IoError::none,      IoError::not_permitted, IoError::io,
      IoError::no_memory, IoError::invalid,       IoError::no_space,
      IoError::overflow,  IoError::unsupported,   IoError::shutdown,
  };
  return std::ranges::find(known, error, [](IoError e) { return static_cast<std::uint32_t>(e); }) !=
         known.end();
}

template <class Struct>
std::span<const std::byte> bytes_of(const Struct& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

NbdClient::NbdClient(World& world, Node& node, std::uint32_t volume, std::uint64_t number,
                     Owner& owner)
    : world_(world),
      node_(node),
      volume_(volume),
      number_(number),
      owner_(owner),
      began_(node.process().now()),
      socket_(world, node.process(), *this, number) {
  Prng random = world.stream("nbd client", number);
  structured_ = random.percent(60);
  next_cookie_ = random.next();
  node.nbd().serve(*this, socket_.take_server_end(name()));
}

std::string NbdClient::name() const {
  return fmt::format("nbd client {}", number_);
}

void NbdClient::complain(std::string what) {
  world_.violated("contract of NBD", fmt::format("{} of node {}: {}", name(), node_.name(), what));
}

template <class Struct>
Struct NbdClient::peek(std::size_t at) const {
  Struct value{};
  std::memcpy(&value, heard_.data() + taken_ + at, sizeof value);
  return value;
}

// --- what the server says ---

void NbdClient::heard(std::span<const std::byte> bytes) {
  heard_.insert(heard_.end(), bytes.begin(), bytes.end());
  while (!world_.violation() && take_message()) {
  }
  if (unheard() > 0) return;
  heard_.clear();
  taken_ = 0;
}

// True when there was a whole one.
bool NbdClient::take_message() {
  switch (state_) {
    case State::greeting:
      return take_greeting();
    case State::options:
      return take_option_answer();
    case State::serving:
      return take_reply();
    case State::refused:  // the acknowledgement of ABORT
      taken_ = heard_.size();
      return false;
    case State::leaving:
      if (unheard() > 0) complain("an answer to no request");
      return false;
    case State::lost:
      return false;
  }
  return false;
}

bool NbdClient::take_greeting() {
  if (unheard() < sizeof(nbd::Greeting)) return false;
  const auto greeting = peek<nbd::Greeting>();
  taken_ += sizeof greeting;
  const std::uint16_t expected = nbd::handshake_fixed_newstyle | nbd::handshake_no_zeroes;
  if (greeting.magic != nbd::greeting_magic || greeting.option_magic != nbd::option_magic ||
      (greeting.handshake_flags & expected) != expected) {
    complain("its greeting");
  }
  state_ = State::options;
  say_hello();
  return true;
}

void NbdClient::say_hello() {
  be32 flags{};
  flags = nbd::client_fixed_newstyle | nbd::client_no_zeroes;
  socket_.send(bytes_of(flags));
  if (structured_) send_option(nbd::Option::structured_reply, {});
  const std::string name = node_.nbd().export_name(volume_);
  be32 length{};
  length = static_cast<std::uint32_t>(name.size());
  std::string data(reinterpret_cast<const char*>(&length), sizeof length);
  data += name;
  data.append(sizeof(be16), '\0');  // asks for no information
  send_option(nbd::Option::go, data);
}

void NbdClient::send_option(nbd::Option option, std::string_view data) {
  nbd::OptionHeader header{};
  header.magic = nbd::option_magic;
  header.option = static_cast<std::uint32_t>(option);
  header.length = static_cast<std::uint32_t>(data.size());
  socket_.send(bytes_of(header));
  socket_.send(std::as_bytes(std::span(data)));
}

bool NbdClient::take_option_answer() {
  if (unheard() < sizeof(nbd::OptionReplyHeader)) return false;
  const auto header = peek<nbd::OptionReplyHeader>();
  if (header.magic != nbd::option_reply_magic) return complain("its answer to an option"), false;
  const std::size_t length = header.length;
  if (unheard() < sizeof header + length) return false;
  const auto data = std::span(heard_).subspan(taken_ + sizeof header, length);
  taken_ += sizeof header + length;
  const bool go = header.option == static_cast<std::uint32_t>(nbd::Option::go);
  switch (static_cast<nbd::OptionReply>(header.type.value())) {
    case nbd::OptionReply::info:
      take_info(data);
      return true;
    case nbd::OptionReply::ack:
      if (!go) return true;
      state_ = State::serving;
      if (leaves_) send_disconnect();
      owner_.connection_answered();
      return true;
    default:
      if (!go) return complain("structured replies are refused"), false;
      world_.trace().say(
          node_.number(),
          fmt::format("{} is refused: {}", name(),
                      std::string(reinterpret_cast<const char*>(data.data()), data.size())));
      state_ = State::refused;
      send_option(nbd::Option::abort, {});
      owner_.connection_answered();
      return true;
  }
}

void NbdClient::take_info(std::span<const std::byte> data) {
  if (data.size() != sizeof(nbd::InfoExport)) return complain("an info that nobody asked for");
  nbd::InfoExport info{};
  std::memcpy(&info, data.data(), sizeof info);
  limits_ = node_.nbd().limits(volume_);
  const std::uint16_t needed = nbd::transmission_has_flags | nbd::transmission_flush |
                               nbd::transmission_fua | nbd::transmission_write_zeroes |
                               nbd::transmission_trim;
  if (info.size != limits_.size || (info.transmission_flags & needed) != needed) {
    complain(fmt::format("announces {} bytes and flags {:#x}", info.size.value(),
                         info.transmission_flags.value()));
  }
}

// --- transmission ---

void NbdClient::submit(Request& request) {
  nbd::ClientRequest said;
  said.command = command_of(request.op);
  said.cookie = next_cookie_++;
  said.offset = request.offset;
  said.length = static_cast<std::uint32_t>(request.length);
  if (request.flags.fua) said.flags |= nbd::command_fua;
  if (request.flags.no_hole) said.flags |= nbd::command_no_hole;
  asked_.push_back({said.cookie, &request});
  std::array<std::byte, sizeof(nbd::RequestHeader)> header;
  nbd::encode_request(said, header);
  socket_.send(header);
  if (request.op == Op::write) socket_.send({request.data, request.length});
}

bool NbdClient::take_reply() {
  if (unheard() < sizeof(be32)) return false;
  const std::uint32_t magic = peek<be32>();
  if (magic == nbd::simple_reply_magic) return take_simple_reply();
  if (magic == nbd::chunk_magic && structured_) return take_chunk();
  complain(fmt::format("a reply with magic {:#x}", magic));
  return false;
}

Request* NbdClient::find(std::uint64_t cookie) const {
  const auto found = std::ranges::find(asked_, cookie, &Asked::cookie);
  return found == asked_.end() ? nullptr : found->request;
}

bool NbdClient::take_simple_reply() {
  if (unheard() < sizeof(nbd::SimpleReplyHeader)) return false;
  const auto header = peek<nbd::SimpleReplyHeader>();
  Request* const request = find(header.cookie);
  if (request == nullptr) return complain("an answer to no request"), false;
  std::size_t length = 0;
  if (request->op == Op::read) {
    if (structured_) return complain("a simple reply to a read"), false;
    if (header.error == 0) length = request->length;
  }
  if (unheard() < sizeof header + length) return false;
  std::copy_n(heard_.data() + taken_ + sizeof header, length, request->data);
  taken_ += sizeof header + length;
  answer(header.cookie, header.error);
  return true;
}

bool NbdClient::take_chunk() {
  if (unheard() < sizeof(nbd::ChunkHeader)) return false;
  const auto header = peek<nbd::ChunkHeader>();
  Request* const request = find(header.cookie);
  if (request == nullptr) return complain("an answer to no request"), false;
  if (unheard() < sizeof header + header.length) return false;
  const auto payload = std::span(heard_).subspan(taken_ + sizeof header, header.length);
  taken_ += sizeof header + header.length;
  if ((header.flags & nbd::chunk_done) == 0) return complain("a reply in several chunks"), false;
  take_chunk_payload(header, payload, *request);
  return true;
}

void NbdClient::take_chunk_payload(const nbd::ChunkHeader& header,
                                   std::span<const std::byte> payload, Request& request) {
  switch (static_cast<nbd::ChunkType>(header.type.value())) {
    case nbd::ChunkType::offset_data: {
      nbd::OffsetDataPrefix prefix{};
      if (request.op != Op::read || payload.size() != sizeof prefix + request.length) {
        return complain("data of the wrong length");
      }
      std::memcpy(&prefix, payload.data(), sizeof prefix);
      if (prefix.offset != request.offset) return complain("data of another place");
      std::ranges::copy(payload.subspan(sizeof prefix), request.data);
      return answer(header.cookie, 0);
    }
    case nbd::ChunkType::error: {
      nbd::ErrorPrefix prefix{};
      if (payload.size() < sizeof prefix) return complain("an error without a number");
      std::memcpy(&prefix, payload.data(), sizeof prefix);
      if (prefix.error == 0 || payload.size() != sizeof prefix + prefix.message_length) {
        return complain("an error that is none");
      }
      return answer(header.cookie, prefix.error);
    }
    default:
      return complain(fmt::format("a chunk of type {}", header.type.value()));
  }
}

void NbdClient::answer(std::uint64_t cookie, std::uint32_t error) {
  const auto found = std::ranges::find(asked_, cookie, &Asked::cookie);
  Request& request = *found->request;
  asked_.erase(found);
  if (!known_error(error)) return complain(fmt::format("error {}", error));
  // NBD's numbers are IoError's (base/result.h).
  request.error = static_cast<IoError>(error);
  request.complete();
}

// --- the end ---

void NbdClient::disconnect() {
  if (state_ == State::serving) return send_disconnect();
  leaves_ = true;
}

void NbdClient::send_disconnect() {
  state_ = State::leaving;
  nbd::ClientRequest said;
  said.command = nbd::Command::disconnect;
  said.cookie = next_cookie_++;
  std::array<std::byte, sizeof(nbd::RequestHeader)> header;
  nbd::encode_request(said, header);
  socket_.send(header);
}

void NbdClient::connection_lost() {
  state_ = State::lost;
}

void NbdClient::session_ended(const std::string& reason) {
  // A daemon that was paused, or whose clock leapt, finds that the handshake has taken too long.
  const bool shakes_hands = state_ == State::greeting || state_ == State::options;
  const bool late =
      shakes_hands && node_.process().now() - began_ >= nbd::SessionLimits{}.handshake;
  if (!late && (state_ == State::serving || shakes_hands)) {
    complain("the server closed the connection: " + reason);
  }
  state_ = State::lost;
  owner_.connection_ended();
}

}  // namespace baton::sim
