// The handshake ("fixed newstyle negotiation"), as a state machine that is fed bytes and yields
// replies. Pure: a session, a test or a fuzzer drives it.
//
// Bounded against any client: one option's data is kept up to 64 KiB, longer data is skipped
// without being kept, and after 4096 options the connection ends. The time limit is the session's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nbd_server/wire/exports.h"
#include "nbd_server/wire/protocol.h"
#include "nbd_server/wire/validate.h"

namespace baton::nbd {

// A name of 4096 bytes and thousands of queries fit.
inline constexpr std::uint32_t option_data_limit_bytes = 64U << 10U;
// Data of this length is still skipped so that the client gets an answer; beyond, it is no client.
inline constexpr std::uint32_t option_skip_limit_bytes = 1U << 20U;
// `qemu-nbd --list` asks twice for every export.
inline constexpr std::uint32_t option_count_limit = 4096;

// The specification's modes of a server, "TLS support".
enum class TlsMode : std::uint8_t {
  none,       // NOTLS
  selective,  // SELECTIVETLS: for who asks, and for the exports that ask for it
  forced,     // FORCEDTLS
};

class Negotiation {
 public:
  enum class State : std::uint8_t {
    running,       // feed() it
    start_tls,     // send replies(), make the connection a TLS session, then go_on_encrypted()
    transmission,  // send replies(), then serve by terms()
    aborted,       // send replies(), then close: the client asked for it
    broken,        // close: the client broke the protocol; reason() says how
  };

  // replies() holds the greeting.
  Negotiation(ExportDirectory& exports, TlsMode tls);

  // Takes at most one option from the front of `input`; the number of bytes taken, at least 1.
  // Bytes behind the option that ended the handshake are not taken: they are requests already.
  // Only while state() is running and `input` is not empty.
  std::size_t feed(std::span<const std::byte> input);

  // In state start_tls, when the TLS handshake is done. Whatever was negotiated before it is
  // forgotten but for the client's flags, which come once (CVE-2021-3716: it was not). Bytes that
  // had been received behind the option are not the client's word: break the connection instead.
  void go_on_encrypted();

  State state() const { return state_; }
  const std::string& reason() const { return reason_; }
  // In state transmission.
  const Terms& terms() const { return terms_; }
  const std::string& export_name() const { return export_name_; }

  // Whoever sends them clears them.
  std::vector<std::byte>& replies() { return replies_; }

 private:
  enum class Expect : std::uint8_t { client_flags, option_header, option_data, skipped_data };

  // The infos that INFO or GO asked for; each is sent once, unknown ones are ignored.
  struct Wanted {
    bool name = false;
    bool description = false;
    bool block_size = false;
    void add(std::uint16_t type) {
      name = name || type == static_cast<std::uint16_t>(InfoType::name);
      description = description || type == static_cast<std::uint16_t>(InfoType::description);
      block_size = block_size || type == static_cast<std::uint16_t>(InfoType::block_size);
    }
  };

  void expect(Expect what, std::size_t bytes);
  void take_piece();
  void take_client_flags();
  void take_option_header();
  bool must_encrypt_first();
  bool may_ask_for_tls() const;
  void answer(std::span<const std::byte> data);
  void answer_skipped();
  void end(State state, std::string reason);

  void answer_export_name(std::span<const std::byte> data);
  void answer_list(std::span<const std::byte> data);
  void answer_start_tls(std::span<const std::byte> data);
  void answer_info_or_go(std::span<const std::byte> data);
  void answer_structured_reply(std::span<const std::byte> data);
  void answer_extended_headers(std::span<const std::byte> data);
  void answer_meta_context(std::span<const std::byte> data);

  void send_infos(const ExportFacts& facts, Wanted wanted);
  Contexts contexts_of(const ExportFacts& facts) const;
  std::uint16_t flags_for_client(const ExportFacts& facts) const;
  void begin_transmission(const ExportFacts& facts);

  void reply(OptionReply type, std::string_view data = {});
  void refuse(const ExportRefusal& refusal);
  template <class Struct>
  void reply_struct(OptionReply type, const Struct& part, std::string_view tail = {});
  void put(const void* bytes, std::size_t size);

  ExportDirectory& exports_;
  TlsMode tls_;
  bool encrypted_ = false;
  State state_ = State::running;
  std::string reason_;
  Terms terms_;
  std::string export_name_;

  Expect expect_ = Expect::client_flags;
  std::size_t expected_bytes_ = 0;
  std::vector<std::byte> piece_;  // what has arrived of the expected bytes
  std::uint32_t option_ = 0;      // whose data is expected
  std::uint32_t options_seen_ = 0;

  bool no_zeroes_ = false;
  Style style_ = Style::simple;
  std::string contexts_export_;  // whose contexts were selected; counts only if GO names the same
  Contexts contexts_ = 0;
  std::optional<ExportFacts> announced_;  // by INFO: an immediate GO must say the same

  std::vector<std::byte> replies_;
};

}  // namespace baton::nbd
