// Goal: the three modes of TLS as the specification has them ("TLS support"), and nothing of what
// was said before TLS counts afterwards.
#include <gtest/gtest.h>

#include <optional>

#include "nbd_server/wire/negotiation.h"
#include "tests/support/nbd_bytes.h"

namespace baton::nbd {
namespace {

using test::Bytes;
using test::context_request;
using test::Heard;
using test::info_request;
using test::option;

// "open" is for everybody, "closed" for clients with TLS.
class OpenAndClosed final : public ExportDirectory {
 public:
  std::vector<ExportFacts> list() override { return {facts("open")}; }
  std::expected<ExportFacts, ExportRefusal> describe(std::string_view name) override {
    if (name == "closed" && !encrypted) {
      return std::unexpected(ExportRefusal{ExportRefusal::Kind::tls_required, "only with TLS"});
    }
    return facts(std::string(name));
  }
  std::expected<ExportFacts, ExportRefusal> open(std::string_view name) override {
    return describe(name);
  }
  static ExportFacts facts(const std::string& name) {
    return {.name = name, .size = 4096, .transmission_flags = transmission_has_flags};
  }
  bool encrypted = false;
};

class NegotiationTls : public testing::Test {
 protected:
  void begin(TlsMode mode, std::uint32_t flags = client_fixed_newstyle | client_no_zeroes) {
    negotiation.emplace(exports, mode);
    negotiation->replies().clear();
    feed(test::client_flags(flags));
  }
  void feed(const Bytes& input) {
    std::span<const std::byte> left(input.get());
    while (!left.empty() && negotiation->state() == Negotiation::State::running)
      left = left.subspan(negotiation->feed(left));
  }
  // The type of the last reply.
  OptionReply ask(const Bytes& input) {
    negotiation->replies().clear();
    feed(input);
    Heard heard(negotiation->replies());
    OptionReply last{};
    while (heard.left() > 0 && !heard.bad()) last = heard.option_answer().type;
    return last;
  }
  void start_tls() {
    EXPECT_EQ(ask(option(Option::start_tls)), OptionReply::ack);
    ASSERT_EQ(negotiation->state(), Negotiation::State::start_tls);
    exports.encrypted = true;
    negotiation->go_on_encrypted();
  }

  OpenAndClosed exports;
  std::optional<Negotiation> negotiation;
};

const std::vector<Bytes> everything_else{
    option(Option::list),
    option(Option::info, info_request("open")),
    option(Option::go, info_request("open")),
    option(Option::structured_reply),
    option(Option::extended_headers),
    option(Option::list_meta_context, context_request("open", {})),
    option(Option::set_meta_context, context_request("open", {"base:allocation"})),
    option(static_cast<Option>(4711), Bytes().text("what"))};

TEST_F(NegotiationTls, forced_asks_everything_for_tls_first_and_never_again) {
  begin(TlsMode::forced);
  for (const Bytes& each : everything_else) {
    EXPECT_EQ(ask(each), OptionReply::error_tls_required);
    EXPECT_EQ(negotiation->state(), Negotiation::State::running);
  }
  // Also where the data is skipped, for its length.
  EXPECT_EQ(ask(option(Option::list, Bytes().fill(option_data_limit_bytes + 1, 0))),
            OptionReply::error_tls_required);
  start_tls();
  for (const Bytes& each : everything_else) {
    EXPECT_NE(ask(each), OptionReply::error_tls_required);
    if (negotiation->state() != Negotiation::State::running) {  // GO has ended the handshake
      begin(TlsMode::forced);
      start_tls();
    }
  }
}

TEST_F(NegotiationTls, forced_acknowledges_abort_and_closes_at_export_name) {
  begin(TlsMode::forced);
  EXPECT_EQ(ask(option(Option::abort)), OptionReply::ack);
  EXPECT_EQ(negotiation->state(), Negotiation::State::aborted);
  begin(TlsMode::forced);
  feed(option(Option::export_name, Bytes().text("open")));
  EXPECT_EQ(negotiation->state(), Negotiation::State::broken);
}

TEST_F(NegotiationTls, selective_serves_who_does_not_ask_and_refuses_the_closed_export) {
  begin(TlsMode::selective);
  EXPECT_EQ(ask(option(Option::list)), OptionReply::ack);
  EXPECT_EQ(ask(option(Option::info, info_request("open"))), OptionReply::ack);
  EXPECT_EQ(ask(option(Option::info, info_request("closed"))), OptionReply::error_tls_required);
  EXPECT_EQ(ask(option(Option::go, info_request("closed"))), OptionReply::error_tls_required);
  // "in response to any option other than NBD_OPT_INFO, NBD_OPT_GO": never.
  EXPECT_EQ(ask(option(Option::structured_reply)), OptionReply::ack);
  EXPECT_EQ(ask(option(Option::set_meta_context, context_request("closed", {"base:allocation"}))),
            OptionReply::error_policy);
  EXPECT_EQ(ask(option(Option::go, info_request("open"))), OptionReply::ack);
  EXPECT_EQ(negotiation->state(), Negotiation::State::transmission);

  begin(TlsMode::selective);
  feed(option(Option::export_name, Bytes().text("closed")));
  EXPECT_EQ(negotiation->state(), Negotiation::State::broken);

  begin(TlsMode::selective);
  start_tls();
  EXPECT_EQ(ask(option(Option::go, info_request("closed"))), OptionReply::ack);
}

TEST_F(NegotiationTls, none_never_asks_for_it) {
  begin(TlsMode::none);
  EXPECT_EQ(ask(option(Option::start_tls)), OptionReply::error_policy);
  EXPECT_EQ(ask(option(Option::go, info_request("closed"))), OptionReply::error_policy);
}

TEST_F(NegotiationTls, is_none_for_clients_without_fixed_newstyle) {
  begin(TlsMode::selective, client_no_zeroes);
  EXPECT_EQ(ask(option(Option::start_tls)), OptionReply::error_policy);
  begin(TlsMode::forced, client_no_zeroes);
  EXPECT_EQ(negotiation->state(), Negotiation::State::broken) << "rather than served without TLS";
}

TEST_F(NegotiationTls, comes_once) {
  for (const TlsMode mode : {TlsMode::selective, TlsMode::forced}) {
    begin(mode);
    EXPECT_EQ(ask(option(Option::start_tls, Bytes().text("x"))), OptionReply::error_invalid);
    start_tls();
    exports.encrypted = false;
    EXPECT_EQ(ask(option(Option::start_tls)), OptionReply::error_invalid);
    EXPECT_EQ(negotiation->state(), Negotiation::State::running);
  }
}

// CVE-2021-3716 (nbdkit): structured replies that a stranger had asked for before TLS.
TEST_F(NegotiationTls, cve_2021_3716_nothing_said_before_it_counts) {
  begin(TlsMode::selective);
  EXPECT_EQ(ask(option(Option::structured_reply)), OptionReply::ack);
  EXPECT_EQ(ask(option(Option::set_meta_context, context_request("open", {"base:allocation"}))),
            OptionReply::ack);
  EXPECT_EQ(ask(option(Option::info, info_request("open"))), OptionReply::ack);
  start_tls();
  EXPECT_EQ(ask(option(Option::set_meta_context, context_request("open", {"base:allocation"}))),
            OptionReply::error_invalid)
      << "structured replies were not negotiated";
  EXPECT_EQ(ask(option(Option::go, info_request("open"))), OptionReply::ack);
  EXPECT_EQ(negotiation->terms().style, Style::simple);
  EXPECT_EQ(negotiation->terms().contexts, 0);

  begin(TlsMode::selective);
  EXPECT_EQ(ask(option(Option::extended_headers)), OptionReply::ack);
  EXPECT_EQ(ask(option(Option::set_meta_context, context_request("open", {"base:allocation"}))),
            OptionReply::ack);
  start_tls();
  EXPECT_EQ(ask(option(Option::structured_reply)), OptionReply::ack);
  EXPECT_EQ(ask(option(Option::go, info_request("open"))), OptionReply::ack);
  EXPECT_EQ(negotiation->terms().style, Style::structured);
  EXPECT_EQ(negotiation->terms().contexts, 0) << "of before, now that they could be used";
}

TEST_F(NegotiationTls, leaves_what_is_behind_the_option_alone) {
  begin(TlsMode::selective);
  Bytes both = option(Option::start_tls);
  const std::size_t size = both.size();
  both.add(option(Option::go, info_request("open")));
  std::size_t taken = 0;
  std::span<const std::byte> left(both.get());
  while (negotiation->state() == Negotiation::State::running) {
    const std::size_t count = negotiation->feed(left);
    taken += count;
    left = left.subspan(count);
  }
  EXPECT_EQ(taken, size);
}

}  // namespace
}  // namespace baton::nbd
