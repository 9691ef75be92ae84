// The frame of the handshake: pieces in, replies out. What each option means: options.cpp.
#include "nbd_server/wire/negotiation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace baton::nbd {

Negotiation::Negotiation(ExportDirectory& exports, TlsMode tls) : exports_(exports), tls_(tls) {
  Greeting greeting{};
  greeting.magic = greeting_magic;
  greeting.option_magic = option_magic;
  greeting.handshake_flags = handshake_fixed_newstyle | handshake_no_zeroes;
  put(&greeting, sizeof greeting);
  expect(Expect::client_flags, sizeof(be32));
}

std::size_t Negotiation::feed(std::span<const std::byte> input) {
  BATON_ASSERT(state_ == State::running && !input.empty(), "the caller looks at state() first");
  if (expect_ == Expect::skipped_data) {
    const std::size_t taken = std::min(expected_bytes_, input.size());
    expected_bytes_ -= taken;
    if (expected_bytes_ == 0) answer_skipped();
    return taken;
  }
  const std::size_t taken = std::min(expected_bytes_ - piece_.size(), input.size());
  piece_.insert(piece_.end(), input.begin(), input.begin() + static_cast<std::ptrdiff_t>(taken));
  if (piece_.size() == expected_bytes_) take_piece();
  return taken;
}

void Negotiation::expect(Expect what, std::size_t bytes) {
  expect_ = what;
  expected_bytes_ = bytes;
  piece_.clear();
}

void Negotiation::take_piece() {
  switch (expect_) {
    case Expect::client_flags:
      return take_client_flags();
    case Expect::option_header:
      return take_option_header();
    case Expect::option_data:
      answer(piece_);
      return expect(Expect::option_header, sizeof(OptionHeader));
    case Expect::skipped_data:
      return;  // never gathered
  }
}

void Negotiation::take_client_flags() {
  be32 flags{};
  std::memcpy(&flags, piece_.data(), sizeof flags);
  // "the server MUST terminate the connection if it encounters an unknown flag". A client without
  // FIXED_NEWSTYLE knows only EXPORT_NAME; we answer it all the same, as the specification allows.
  if ((flags & ~(client_fixed_newstyle | client_no_zeroes)) != 0)
    return end(State::broken, fmt::format("unknown client flags {:#x}", flags.value()));
  no_zeroes_ = (flags & client_no_zeroes) != 0;
  // "The server MUST operate in NOTLS mode unless ... the client replied with
  // NBD_FLAG_C_FIXED_NEWSTYLE".
  const bool fixed = (flags & client_fixed_newstyle) != 0;
  if (!fixed && tls_ == TlsMode::forced)
    return end(State::broken, "TLS is required, and the client does not know fixed newstyle");
  if (!fixed) tls_ = TlsMode::none;
  expect(Expect::option_header, sizeof(OptionHeader));
}

void Negotiation::take_option_header() {
  OptionHeader header{};
  std::memcpy(&header, piece_.data(), sizeof header);
  if (header.magic != option_magic) return end(State::broken, "an option without its magic number");
  if (++options_seen_ > option_count_limit)
    return end(State::broken, fmt::format("more than {} options", option_count_limit));
  if (header.length > option_skip_limit_bytes)
    return end(State::broken, fmt::format("an option of {} bytes", header.length.value()));

  option_ = header.option;
  if (header.length > option_data_limit_bytes) return expect(Expect::skipped_data, header.length);
  if (header.length > 0) return expect(Expect::option_data, header.length);
  answer({});
  expect(Expect::option_header, sizeof(OptionHeader));
}

void Negotiation::answer_skipped() {
  if (must_encrypt_first()) return expect(Expect::option_header, sizeof(OptionHeader));
  switch (static_cast<Option>(option_)) {
    case Option::export_name:
      end(State::broken, "an export name longer than 64 KiB");
      break;
    case Option::abort:
      answer({});
      break;
    case Option::list:
    case Option::start_tls:
    case Option::info:
    case Option::go:
    case Option::structured_reply:
    case Option::list_meta_context:
    case Option::set_meta_context:
    case Option::extended_headers:
      reply(OptionReply::error_too_big, "the option's data exceeds 64 KiB");
      break;
    default:
      reply(OptionReply::error_unsupported, "this server does not know the option");
  }
  expect(Expect::option_header, sizeof(OptionHeader));
}

// FORCEDTLS: "any other option, including NBD_OPT_INFO and unsupported options". True when that
// was the answer.
bool Negotiation::must_encrypt_first() {
  if (tls_ != TlsMode::forced || encrypted_) return false;
  switch (static_cast<Option>(option_)) {
    case Option::start_tls:
    case Option::abort:
      return false;
    case Option::export_name:
      end(State::broken, "TLS is required, and the client asked for an export without it");
      return true;
    default:
      reply(OptionReply::error_tls_required, "this server requires TLS: connect with nbds://");
      return true;
  }
}

void Negotiation::go_on_encrypted() {
  BATON_ASSERT(state_ == State::start_tls, "the caller looks at state() first");
  state_ = State::running;
  encrypted_ = true;
  style_ = Style::simple;
  contexts_export_.clear();
  contexts_ = 0;
  announced_.reset();
}

void Negotiation::answer(std::span<const std::byte> data) {
  if (must_encrypt_first()) return;
  switch (static_cast<Option>(option_)) {
    case Option::export_name:
      return answer_export_name(data);
    case Option::abort:
      reply(OptionReply::ack);
      return end(State::aborted, "the client ended the handshake");
    case Option::list:
      return answer_list(data);
    case Option::start_tls:
      return answer_start_tls(data);
    case Option::info:
    case Option::go:
      return answer_info_or_go(data);
    case Option::structured_reply:
      return answer_structured_reply(data);
    case Option::list_meta_context:
    case Option::set_meta_context:
      return answer_meta_context(data);
    case Option::extended_headers:
      return answer_extended_headers(data);
  }
  reply(OptionReply::error_unsupported, "this server does not know the option");
}

void Negotiation::end(State state, std::string reason) {
  state_ = state;
  reason_ = std::move(reason);
}

void Negotiation::reply(OptionReply type, std::string_view data) {
  OptionReplyHeader header{};
  header.magic = option_reply_magic;
  header.option = option_;
  header.type = static_cast<std::uint32_t>(type);
  header.length = static_cast<std::uint32_t>(data.size());
  put(&header, sizeof header);
  put(data.data(), data.size());
}

void Negotiation::refuse(const ExportRefusal& refusal) {
  const std::string_view message = std::string_view(refusal.message).substr(0, string_limit_bytes);
  switch (refusal.kind) {
    case ExportRefusal::Kind::policy:
      return reply(OptionReply::error_policy, message);
    case ExportRefusal::Kind::unknown:
      return reply(OptionReply::error_unknown, message);
    case ExportRefusal::Kind::shutdown:
      return reply(OptionReply::error_shutdown, message);
    case ExportRefusal::Kind::tls_required:
      return reply(may_ask_for_tls() ? OptionReply::error_tls_required : OptionReply::error_policy,
                   message);
  }
}

// "MUST NOT send NBD_REP_ERR_TLS_REQD in response to any option other than NBD_OPT_INFO,
// NBD_OPT_GO".
bool Negotiation::may_ask_for_tls() const {
  const auto option = static_cast<Option>(option_);
  return tls_ != TlsMode::none && (option == Option::info || option == Option::go);
}

void Negotiation::put(const void* bytes, std::size_t size) {
  const auto* from = static_cast<const std::byte*>(bytes);
  replies_.insert(replies_.end(), from, from + size);
}

}  // namespace baton::nbd
