// What each option of the handshake means (specification, "Option types").
#include <array>
#include <cstring>

#include "nbd_server/wire/negotiation.h"
#include "nbd_server/wire/option_data.h"

namespace baton::nbd {

template <class Struct>
void Negotiation::reply_struct(OptionReply type, const Struct& part, std::string_view tail) {
  std::string data(sizeof part, '\0');
  std::memcpy(data.data(), &part, sizeof part);
  data += tail;
  reply(type, data);
}

// The one option without an error reply: all that can be done is to close.
void Negotiation::answer_export_name(std::span<const std::byte> data) {
  // "A client that has used EXTENDED_HEADERS MUST NOT use this option."
  if (style_ == Style::extended)
    return end(State::broken, "EXPORT_NAME does not go with extended headers");
  const std::string_view name = OptionData(data).bytes(data.size());
  if (!legal_string(name)) return end(State::broken, "an illegal export name");
  const auto facts = exports_.open(name);
  if (!facts) return end(State::broken, facts.error().message);

  ExportNameAnswer answer{};
  answer.size = facts->size;
  answer.transmission_flags = flags_for_client(*facts);
  put(&answer, sizeof answer);
  if (!no_zeroes_) {
    constexpr std::array<std::byte, export_name_padding_bytes> zeroes{};
    put(zeroes.data(), zeroes.size());
  }
  begin_transmission(*facts);
}

void Negotiation::answer_list(std::span<const std::byte> data) {
  if (!data.empty()) return reply(OptionReply::error_invalid, "LIST has no data");
  for (const ExportFacts& facts : exports_.list()) {
    be32 name_length{};
    name_length = static_cast<std::uint32_t>(facts.name.size());
    reply_struct(OptionReply::server, name_length, facts.name + facts.description);
  }
  reply(OptionReply::ack);
}

void Negotiation::answer_start_tls(std::span<const std::byte> data) {
  if (!data.empty()) return reply(OptionReply::error_invalid, "STARTTLS has no data");
  if (encrypted_) return reply(OptionReply::error_invalid, "this connection is encrypted already");
  if (tls_ == TlsMode::none)
    return reply(OptionReply::error_policy, "TLS is not configured on this server");
  reply(OptionReply::ack);
  end(State::start_tls, {});
}

void Negotiation::answer_info_or_go(std::span<const std::byte> data) {
  OptionData from(data);
  const std::string_view name = from.string();
  const std::uint16_t wanted_count = from.u16();
  Wanted wanted;
  for (std::uint16_t i = 0; i < wanted_count && from.ok(); ++i) wanted.add(from.u16());
  if (!from.complete())
    return reply(OptionReply::error_invalid, "the lengths inside the option do not add up");
  if (!legal_string(name))
    return reply(OptionReply::error_invalid, "an export name has at most 4096 bytes and no NUL");

  const auto described = exports_.describe(name);
  if (!described) return refuse(described.error());
  if (static_cast<Option>(option_) == Option::info) {
    announced_ = *described;
    send_infos(*described, wanted);
    return reply(OptionReply::ack);
  }
  // "If INFO is followed by GO with the same parameters, the server MUST reply with the same": what
  // changed in between is told as an error, and the client's next INFO starts afresh.
  if (announced_ && announced_->name == described->name && *announced_ != *described) {
    announced_.reset();
    return refuse({ExportRefusal::Kind::policy, "the export has just changed; ask again"});
  }
  const auto opened = exports_.open(name);
  if (!opened) return refuse(opened.error());
  send_infos(*opened, wanted);
  reply(OptionReply::ack);
  begin_transmission(*opened);
}

void Negotiation::send_infos(const ExportFacts& facts, Wanted wanted) {
  // Always, also when not asked for: QEMU does not ask.
  InfoExport info{};
  info.type = static_cast<std::uint16_t>(InfoType::export_);
  info.size = facts.size;
  info.transmission_flags = flags_for_client(facts);
  reply_struct(OptionReply::info, info);

  be16 type{};
  if (wanted.name) {
    type = static_cast<std::uint16_t>(InfoType::name);
    reply_struct(OptionReply::info, type, facts.name);
  }
  if (wanted.description && !facts.description.empty()) {
    type = static_cast<std::uint16_t>(InfoType::description);
    reply_struct(OptionReply::info, type, facts.description);
  }
  if (wanted.block_size) {
    InfoBlockSize sizes{};
    sizes.type = static_cast<std::uint16_t>(InfoType::block_size);
    sizes.minimum = minimum_block_bytes;
    sizes.preferred = facts.preferred_block;
    sizes.maximum_payload = payload_limit_bytes;
    reply_struct(OptionReply::info, sizes);
  }
}

void Negotiation::answer_structured_reply(std::span<const std::byte> data) {
  if (!data.empty()) return reply(OptionReply::error_invalid, "STRUCTURED_REPLY has no data");
  if (style_ == Style::extended)
    return reply(OptionReply::error_extended_headers, "extended headers are negotiated already");
  if (style_ == Style::structured)
    return reply(OptionReply::error_invalid, "structured replies are negotiated already");
  style_ = Style::structured;
  reply(OptionReply::ack);
}

void Negotiation::answer_extended_headers(std::span<const std::byte> data) {
  if (!data.empty()) return reply(OptionReply::error_invalid, "EXTENDED_HEADERS has no data");
  if (style_ == Style::extended)
    return reply(OptionReply::error_invalid, "extended headers are negotiated already");
  style_ = Style::extended;
  reply(OptionReply::ack);
}

namespace {

constexpr Contexts every_context = 0xff;

// "base:" lists the namespace and selects nothing.
Contexts contexts_named(std::string_view query, bool set) {
  Contexts named = 0;
  for (const Context& context : all_contexts) {
    const bool is_namespace = !set && query.ends_with(':') && context.name.starts_with(query);
    if (query == context.name || is_namespace) named |= context.bit;
  }
  return named;
}

}  // namespace

void Negotiation::answer_meta_context(std::span<const std::byte> data) {
  const bool set = static_cast<Option>(option_) == Option::set_meta_context;
  // A new SET replaces the earlier one, also when it fails.
  if (set) contexts_ = 0;
  if (style_ == Style::simple)
    return reply(OptionReply::error_invalid,
                 "negotiate structured replies or extended headers first");

  OptionData from(data);
  const std::string_view name = from.string();
  const std::uint32_t query_count = from.u32();
  // No query at all lists everything.
  Contexts named = !set && query_count == 0 ? every_context : Contexts{0};
  for (std::uint32_t i = 0; i < query_count && from.ok(); ++i) {
    named |= contexts_named(from.string(), set);
  }
  if (!from.complete())
    return reply(OptionReply::error_invalid, "the lengths inside the option do not add up");
  if (!legal_string(name))
    return reply(OptionReply::error_invalid, "an export name has at most 4096 bytes and no NUL");
  const auto facts = exports_.describe(name);
  if (!facts) return refuse(facts.error());

  named &= facts->contexts;
  for (const Context& context : all_contexts) {
    if ((named & context.bit) == 0) continue;
    be32 id{};
    id = set ? context.id : 0U;  // "reserved" when listing
    reply_struct(OptionReply::meta_context, id, context.name);
  }
  if (set) {
    contexts_export_ = facts->name;
    contexts_ = named;
  }
  reply(OptionReply::ack);
}

Contexts Negotiation::contexts_of(const ExportFacts& facts) const {
  return contexts_export_ == facts.name ? contexts_ : Contexts{0};
}

std::uint16_t Negotiation::flags_for_client(const ExportFacts& facts) const {
  std::uint16_t flags = facts.transmission_flags;
  if (style_ != Style::simple) flags |= transmission_df;
  if (style_ == Style::extended && contexts_of(facts) != 0)
    flags |= transmission_block_status_payload;
  return flags;
}

void Negotiation::begin_transmission(const ExportFacts& facts) {
  terms_.size = facts.size;
  terms_.transmission_flags = flags_for_client(facts);
  terms_.style = style_;
  terms_.contexts = contexts_of(facts);
  export_name_ = facts.name;
  end(State::transmission, {});
}

}  // namespace baton::nbd
