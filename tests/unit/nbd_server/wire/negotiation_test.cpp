// Goal: the handshake answers as the specification asks, also to clients that break it; whole
// messages and single bytes give the same answers. Method: bytes in, bytes out, no stream.
#include "nbd_server/wire/negotiation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <functional>

#include "tests/support/nbd_bytes.h"

namespace baton::nbd {
namespace {

using test::Bytes;
using test::context_request;
using test::Heard;
using test::info_request;
using test::option;
using test::OptionAnswer;

class TwoExports final : public ExportDirectory {
 public:
  std::vector<ExportFacts> list() override { return facts; }
  std::expected<ExportFacts, ExportRefusal> describe(std::string_view name) override {
    for (const ExportFacts& one : facts) {
      if (one.name == name || (name.empty() && &one == facts.data())) return one;
    }
    return std::unexpected(ExportRefusal{ExportRefusal::Kind::unknown, "no such export"});
  }
  std::expected<ExportFacts, ExportRefusal> open(std::string_view name) override {
    if (refusal) return std::unexpected(*refusal);
    auto found = describe(name);
    if (found) ++opened;
    return found;
  }

  std::vector<ExportFacts> facts{
      {.name = "vm1",
       .description = "a disk",
       .size = 1U << 20U,
       .transmission_flags = 5,
       .contexts = context_allocation | context_out_of_sync},
      {.name = "vm1/1", .size = 4096, .transmission_flags = 1, .preferred_block = 512}};
  std::optional<ExportRefusal> refusal;
  int opened = 0;
};

struct Outcome {
  Negotiation::State state = Negotiation::State::running;
  std::string reason;
  std::vector<OptionAnswer> answers;
  std::vector<std::byte> rest;  // replies behind the greeting
  std::size_t taken = 0;        // of the input
  Terms terms;
  std::string export_name;
};

Outcome negotiate(TwoExports& exports, const Bytes& input, std::size_t piece = SIZE_MAX) {
  Negotiation negotiation(exports, TlsMode::none);
  std::span<const std::byte> left(input.get());
  while (!left.empty() && negotiation.state() == Negotiation::State::running) {
    left = left.subspan(negotiation.feed(left.first(std::min(piece, left.size()))));
  }
  Outcome outcome{.state = negotiation.state(), .reason = negotiation.reason()};
  Heard heard(negotiation.replies());
  EXPECT_EQ(heard.take<Greeting>().magic, greeting_magic);
  outcome.rest = negotiation.replies();
  outcome.rest.erase(outcome.rest.begin(), outcome.rest.begin() + sizeof(Greeting));
  while (heard.left() >= sizeof(OptionReplyHeader) && !heard.bad())
    outcome.answers.push_back(heard.option_answer());
  outcome.taken = input.size() - left.size();
  outcome.terms = negotiation.terms();
  outcome.export_name = negotiation.export_name();
  return outcome;
}

// The same input in one piece and byte by byte; the outcomes must agree.
Outcome negotiate_both_ways(const Bytes& input, TwoExports exports = {}) {
  TwoExports again = exports;
  const Outcome whole = negotiate(exports, input);
  const Outcome piecemeal = negotiate(again, input, 1);
  EXPECT_EQ(whole.state, piecemeal.state);
  EXPECT_EQ(whole.rest, piecemeal.rest);
  EXPECT_EQ(whole.taken, piecemeal.taken);
  EXPECT_EQ(whole.reason, piecemeal.reason);
  return whole;
}

Bytes hello(const Bytes& then) {
  return test::client_flags().add(then);
}

std::vector<OptionReply> types_of(const Outcome& outcome) {
  std::vector<OptionReply> types;
  types.reserve(outcome.answers.size());
  for (const OptionAnswer& answer : outcome.answers) types.push_back(answer.type);
  return types;
}

constexpr std::uint32_t unknown_option = 4711;

struct Survived {
  const char* name;
  Bytes input;
  OptionReply answer;
};

// Each of these is answered with one error, and the client can go on: ABORT is acknowledged.
std::vector<Survived> survived_rows() {
  using enum OptionReply;
  const Bytes structured = option(Option::structured_reply);
  const std::string long_name(5000, 'x');
  return {
      {"unknown option", option(unknown_option, Bytes().u32(1)), error_unsupported},
      {"unknown option with 100 KB", option(unknown_option, Bytes().fill(100'000, 1)),
       error_unsupported},
      {"known option with 100 KB", option(Option::go, Bytes().fill(100'000, 1)), error_too_big},
      {"withdrawn PEEK_EXPORT", option(4), error_unsupported},
      {"EXTENDED_HEADERS with data", option(Option::extended_headers, Bytes().u32(0)),
       error_invalid},
      {"EXTENDED_HEADERS with 100 KB", option(Option::extended_headers, Bytes().fill(100'000, 1)),
       error_too_big},
      {"LIST with data", option(Option::list, Bytes().u32(0)), error_invalid},
      {"STRUCTURED_REPLY with data", option(Option::structured_reply, Bytes().u32(0)),
       error_invalid},
      {"STARTTLS unconfigured", option(Option::start_tls), error_policy},
      {"STARTTLS with data", option(Option::start_tls, Bytes().u16(0)), error_invalid},
      {"GO without data", option(Option::go), error_invalid},
      {"GO name longer than the option", option(Option::go, Bytes().u32(100).text("disk").u16(0)),
       error_invalid},
      {"CVE-2022-26495 GO name length 0xffffffff",
       option(Option::go, Bytes().u32(0xffffffff).text("disk").u16(0)), error_invalid},
      {"CVE-2022-26495 INFO name length 0xfffffffe",
       option(Option::info, Bytes().u32(0xfffffffe).text("disk").u16(0)), error_invalid},
      {"CVE-2022-26496 GO name 5000 B", option(Option::go, info_request(long_name)), error_invalid},
      {"CVE-2017-15118 INFO name 4096 B",
       option(Option::info, info_request(long_name.substr(0, 4096))), error_unknown},
      {"GO name with a NUL", option(Option::go, info_request(std::string_view("a\0b", 3))),
       error_invalid},
      {"GO name that is not UTF-8", option(Option::go, info_request("\xff\xfe")), error_unknown},
      {"GO more infos announced than sent", option(Option::go, Bytes().string("vm1").u16(9).u16(0)),
       error_invalid},
      {"GO with bytes behind its infos", option(Option::go, info_request("vm1").u32(0)),
       error_invalid},
      {"GO unknown export", option(Option::go, info_request("vm2")), error_unknown},
      {"SET_META_CONTEXT without structured replies",
       option(Option::set_meta_context, context_request("vm1", {"base:allocation"})),
       error_invalid},
      {"LIST_META_CONTEXT without structured replies",
       option(Option::list_meta_context, context_request("vm1", {})), error_invalid},
  };
}

TEST(Negotiation, every_misbehaviour_that_can_be_answered_is_and_the_client_goes_on) {
  for (const Survived& row : survived_rows()) {
    const Outcome outcome = negotiate_both_ways(hello(row.input).add(option(Option::abort)));
    EXPECT_EQ(types_of(outcome), (std::vector<OptionReply>{row.answer, OptionReply::ack}))
        << row.name;
    EXPECT_EQ(outcome.state, Negotiation::State::aborted) << row.name;
    ASSERT_FALSE(outcome.answers.empty());
    EXPECT_FALSE(outcome.answers.front().data.empty()) << row.name << ": the message says why";
  }
}

struct Structured {
  const char* name;
  Bytes input;
  OptionReply answer;
};

TEST(Negotiation, misbehaviour_after_structured_replies_is_answered_too) {
  using enum OptionReply;
  const std::vector<Structured> rows{
      {"second STRUCTURED_REPLY", option(Option::structured_reply), error_invalid},
      {"CVE-2021-3716 STARTTLS after STRUCTURED_REPLY", option(Option::start_tls), error_policy},
      {"SET_META_CONTEXT for an unknown export",
       option(Option::set_meta_context, context_request("vm2", {"base:allocation"})),
       error_unknown},
      {"SET_META_CONTEXT with fewer queries than announced",
       option(Option::set_meta_context, Bytes().string("vm1").u32(2).string("base:allocation")),
       error_invalid},
      {"SET_META_CONTEXT with 0xffffffff queries",
       option(Option::set_meta_context, Bytes().string("vm1").u32(0xffffffff)), error_invalid},
      {"SET_META_CONTEXT with a query of 0xffffffff bytes",
       option(Option::set_meta_context, Bytes().string("vm1").u32(1).u32(0xffffffff).text("base")),
       error_invalid},
  };
  for (const Structured& row : rows) {
    const Outcome outcome = negotiate_both_ways(
        hello(option(Option::structured_reply)).add(row.input).add(option(Option::abort)));
    EXPECT_EQ(types_of(outcome), (std::vector<OptionReply>{ack, row.answer, ack})) << row.name;
  }
}

struct Dropped {
  const char* name;
  Bytes input;
};

TEST(Negotiation, who_cannot_be_followed_any_more_is_dropped_at_once) {
  Bytes many;
  for (std::uint32_t i = 0; i <= option_count_limit; ++i) many.add(option(unknown_option));
  const std::vector<Dropped> rows{
      {"unknown client flag", test::client_flags(1U << 5U)},
      {"bad option magic", hello(Bytes().u64(option_magic + 1).u32(1).u32(0))},
      {"option length 256 MiB", hello(option(unknown_option, {}, 256U << 20U))},
      {"option length 0xffffffff", hello(option(Option::go, {}, 0xffffffff))},
      {"more options than anybody needs", hello(many)},
      {"EXPORT_NAME of an unknown export", hello(option(Option::export_name, Bytes().text("x")))},
      {"EXPORT_NAME of 5000 B", hello(option(Option::export_name, Bytes().fill(5000, 'x')))},
      {"EXPORT_NAME of 100 KB", hello(option(Option::export_name, Bytes().fill(100'000, 'x')))},
      {"CVE-2019-14851 a request instead of an option",
       hello(test::request(Command::read, 1, 0, 512))},
  };
  for (const Dropped& row : rows) {
    const Outcome outcome = negotiate_both_ways(row.input);
    EXPECT_EQ(outcome.state, Negotiation::State::broken) << row.name;
    EXPECT_FALSE(outcome.reason.empty()) << row.name;
  }
}

TEST(Negotiation, two_thousand_unknown_options_are_all_answered) {
  Bytes input = test::client_flags();
  for (int i = 0; i < 2000; ++i) input.add(option(unknown_option));
  const Outcome outcome = negotiate_both_ways(input);
  EXPECT_EQ(outcome.answers.size(), 2000U);
  EXPECT_EQ(outcome.state, Negotiation::State::running);
}

TEST(Negotiation, abort_is_acknowledged_and_ends_it) {
  const Outcome outcome = negotiate_both_ways(hello(option(Option::abort)).add(Bytes().u64(1)));
  EXPECT_EQ(types_of(outcome), (std::vector<OptionReply>{OptionReply::ack}));
  EXPECT_EQ(outcome.state, Negotiation::State::aborted);
}

TEST(Negotiation, list_names_every_export_with_its_description) {
  const Outcome outcome = negotiate_both_ways(hello(option(Option::list)));
  ASSERT_EQ(types_of(outcome),
            (std::vector<OptionReply>{OptionReply::server, OptionReply::server, OptionReply::ack}));
  EXPECT_EQ(outcome.answers[0].data, std::string("\0\0\0\3vm1a disk", 13));
  EXPECT_EQ(outcome.answers[1].data, std::string("\0\0\0\5vm1/1", 9));
}

// CVE-2019-14850: a backend must not be opened before the client has finished negotiating.
TEST(Negotiation, nothing_is_opened_before_the_last_step) {
  TwoExports exports;
  const Outcome outcome = negotiate(
      exports, hello(option(Option::list))
                   .add(option(Option::structured_reply))
                   .add(option(Option::list_meta_context, context_request("vm1", {})))
                   .add(option(Option::set_meta_context, context_request("vm1", {"base:"})))
                   .add(option(Option::info, info_request("vm1", {3})))
                   .add(option(Option::go, info_request("unknown"))));
  EXPECT_EQ(outcome.state, Negotiation::State::running);
  EXPECT_EQ(exports.opened, 0);
}

TEST(Negotiation, go_tells_size_and_flags_unasked_and_leaves_the_requests_behind_it) {
  const Bytes go = hello(option(Option::go, info_request("vm1/1")));
  const Outcome outcome =
      negotiate_both_ways(Bytes(go).add(test::request(Command::read, 1, 0, 512)));
  EXPECT_EQ(outcome.state, Negotiation::State::transmission);
  EXPECT_EQ(outcome.taken, go.size());
  ASSERT_EQ(types_of(outcome), (std::vector<OptionReply>{OptionReply::info, OptionReply::ack}));
  EXPECT_EQ(outcome.answers[0].data, std::string("\0\0"
                                                 "\0\0\0\0\0\0\x10\0"
                                                 "\0\1",
                                                 12));
  EXPECT_EQ(outcome.export_name, "vm1/1");
  EXPECT_EQ(outcome.terms.size, 4096U);
  EXPECT_EQ(outcome.terms.style, Style::simple);
}

TEST(Negotiation, infos_are_sent_once_and_the_default_export_has_its_own_name) {
  const Outcome outcome =
      negotiate_both_ways(hello(option(Option::info, info_request("", {3, 1, 2, 3, 3, 99}))));
  ASSERT_EQ(outcome.answers.size(), 5U);
  EXPECT_EQ(outcome.answers[1].data, std::string("\0\1vm1", 5));
  EXPECT_EQ(outcome.answers[2].data, std::string("\0\2a disk", 8));
  EXPECT_EQ(outcome.answers[3].data, std::string("\0\3"
                                                 "\0\0\0\1"
                                                 "\0\0\x10\0"
                                                 "\4\0\0\0",
                                                 14));
  EXPECT_EQ(outcome.answers[4].type, OptionReply::ack);
  EXPECT_EQ(outcome.state, Negotiation::State::running);
}

TEST(Negotiation, export_name_answers_with_zeroes_unless_the_client_declined_them) {
  const Bytes choose = option(Option::export_name, Bytes().text("vm1"));
  const Outcome brief = negotiate_both_ways(hello(choose));
  EXPECT_EQ(brief.rest, Bytes().u64(1U << 20U).u16(5).get());
  EXPECT_EQ(brief.state, Negotiation::State::transmission);
  const Outcome old = negotiate_both_ways(test::client_flags(0).add(choose));
  EXPECT_EQ(old.rest, Bytes().u64(1U << 20U).u16(5).fill(124, 0).get());
}

TEST(Negotiation, a_refused_open_is_told_with_its_sentence_and_the_client_may_try_another) {
  using Kind = ExportRefusal::Kind;
  const std::vector<std::pair<Kind, OptionReply>> kinds{
      {Kind::policy, OptionReply::error_policy},
      {Kind::unknown, OptionReply::error_unknown},
      {Kind::shutdown, OptionReply::error_shutdown}};
  for (const auto& [kind, answer] : kinds) {
    TwoExports exports;
    exports.refusal = ExportRefusal{kind, "vm1 is not attached on this node"};
    const Outcome outcome =
        negotiate_both_ways(hello(option(Option::go, info_request("vm1"))), exports);
    ASSERT_EQ(types_of(outcome), (std::vector<OptionReply>{answer}));
    EXPECT_EQ(outcome.answers[0].data, "vm1 is not attached on this node");
    EXPECT_EQ(outcome.state, Negotiation::State::running);
  }
}

TEST(Negotiation, an_export_that_changed_since_info_is_refused_once) {
  TwoExports exports;
  Negotiation negotiation(exports, TlsMode::none);
  const auto feed = [&](const Bytes& input) {
    for (std::span<const std::byte> left(input.get()); !left.empty();)
      left = left.subspan(negotiation.feed(left));
  };
  feed(hello(option(Option::info, info_request("vm1"))));
  exports.facts[0].size *= 2;
  negotiation.replies().clear();
  feed(option(Option::go, info_request("vm1")));
  EXPECT_EQ(Heard(negotiation.replies()).option_answer().type, OptionReply::error_policy);
  EXPECT_EQ(negotiation.state(), Negotiation::State::running);
  feed(option(Option::go, info_request("vm1")));
  EXPECT_EQ(negotiation.state(), Negotiation::State::transmission);
}

struct Contexts {
  const char* name;
  Option kind;
  std::vector<std::string> queries;
  bool answered;
};

TEST(Negotiation, base_allocation_is_found_by_its_name) {
  const std::vector<Contexts> rows{
      {"list the namespace", Option::list_meta_context, {"base:"}, true},
      {"list by name", Option::list_meta_context, {"x:y", "base:allocation"}, true},
      {"list something else", Option::list_meta_context, {"qemu:"}, false},
      {"set by name", Option::set_meta_context, {"base:allocation"}, true},
      {"set it twice", Option::set_meta_context, {"base:allocation", "base:allocation"}, true},
      {"set nothing", Option::set_meta_context, {}, false},
      {"set the namespace", Option::set_meta_context, {"base:"}, false},
      {"set a prefix", Option::set_meta_context, {"base:alloc"}, false},
  };
  for (const Contexts& row : rows) {
    const Outcome outcome =
        negotiate_both_ways(hello(option(Option::structured_reply))
                                .add(option(row.kind, context_request("vm1", row.queries)))
                                .add(option(Option::go, info_request("vm1"))));
    const std::size_t answers = row.answered ? 5 : 4;  // ack, [context], ack, info, ack
    ASSERT_EQ(outcome.answers.size(), answers) << row.name;
    const bool set = row.kind == Option::set_meta_context;
    if (row.answered)
      EXPECT_EQ(outcome.answers[1].data,
                std::string(set ? "\0\0\0\1" : "\0\0\0\0", 4) + "base:allocation");
    EXPECT_EQ(outcome.terms.contexts != 0, row.answered && set) << row.name;
    EXPECT_EQ(outcome.terms.style, Style::structured);
    EXPECT_EQ(outcome.terms.transmission_flags, 5 | transmission_df) << row.name;
  }
}

TEST(Negotiation, an_export_has_the_contexts_that_its_device_can_tell) {
  struct Row {
    const char* name;
    Option kind;
    std::string_view of;
    std::vector<std::string> queries;
    std::vector<std::string> answers;
  };
  const std::string allocation = "base:allocation", sync = "x-baton:out-of-sync";
  const std::vector<Row> rows{
      {"list everything", Option::list_meta_context, "vm1", {}, {allocation, sync}},
      {"list our namespace", Option::list_meta_context, "vm1", {"x-baton:"}, {sync}},
      {"list everything of one without", Option::list_meta_context, "vm1/1", {}, {allocation}},
      {"set both, in their order",
       Option::set_meta_context,
       "vm1",
       {sync, allocation},
       {allocation, sync}},
      {"set ours", Option::set_meta_context, "vm1", {sync}, {sync}},
      {"set ours where there is none", Option::set_meta_context, "vm1/1", {sync}, {}},
  };
  for (const Row& row : rows) {
    const Outcome outcome =
        negotiate_both_ways(hello(option(Option::structured_reply))
                                .add(option(row.kind, context_request(row.of, row.queries)))
                                .add(option(Option::go, info_request(row.of))));
    std::vector<std::string> answers;
    for (const OptionAnswer& answer : outcome.answers) {
      if (answer.type == OptionReply::meta_context) answers.push_back(answer.data.substr(4));
    }
    EXPECT_EQ(answers, row.answers) << row.name;
    const bool set = row.kind == Option::set_meta_context;
    EXPECT_EQ(std::popcount(outcome.terms.contexts), set ? std::ssize(row.answers) : 0) << row.name;
    EXPECT_EQ(outcome.terms.transmission_flags & transmission_block_status_payload, 0) << row.name;
  }
}

TEST(Negotiation, extended_headers_take_the_place_of_structured_replies) {
  const Bytes extended = option(Option::extended_headers);
  const Bytes set = option(Option::set_meta_context, context_request("vm1", {"base:allocation"}));
  const Bytes go = option(Option::go, info_request("vm1"));
  const Outcome alone = negotiate_both_ways(hello(extended).add(go));
  EXPECT_EQ(alone.terms.style, Style::extended);
  EXPECT_EQ(alone.terms.transmission_flags, 5 | transmission_df);
  const Outcome after =
      negotiate_both_ways(hello(option(Option::structured_reply)).add(extended).add(set).add(go));
  EXPECT_EQ(after.terms.style, Style::extended);
  EXPECT_EQ(after.terms.contexts, context_allocation);
  EXPECT_EQ(after.terms.transmission_flags,
            5 | transmission_df | transmission_block_status_payload);
  const Outcome twice = negotiate_both_ways(
      hello(extended).add(extended).add(option(Option::structured_reply)).add(go));
  EXPECT_EQ(types_of(twice), (std::vector{OptionReply::ack, OptionReply::error_invalid,
                                          OptionReply::error_extended_headers, OptionReply::info,
                                          OptionReply::ack}));
  EXPECT_EQ(twice.terms.style, Style::extended);
}

TEST(Negotiation, extended_headers_do_not_go_with_export_name) {
  const Outcome outcome =
      negotiate_both_ways(hello(option(Option::extended_headers))
                              .add(option(Option::export_name, Bytes().text("vm1"))));
  EXPECT_EQ(outcome.state, Negotiation::State::broken);
  EXPECT_EQ(outcome.reason, "EXPORT_NAME does not go with extended headers");
}

TEST(Negotiation, contexts_count_only_for_the_export_they_were_selected_for) {
  const auto choose = [](std::string_view set_for, std::string_view go_for) {
    return negotiate_both_ways(hello(option(Option::structured_reply))
                                   .add(option(Option::set_meta_context,
                                               context_request(set_for, {"base:allocation"})))
                                   .add(option(Option::go, info_request(go_for))))
               .terms.contexts == context_allocation;
  };
  EXPECT_TRUE(choose("vm1", "vm1"));
  EXPECT_TRUE(choose("", "vm1"));
  EXPECT_FALSE(choose("vm1", "vm1/1"));
}

TEST(Negotiation, a_failed_set_forgets_the_earlier_one) {
  const Outcome outcome = negotiate_both_ways(
      hello(option(Option::structured_reply))
          .add(option(Option::set_meta_context, context_request("vm1", {"base:allocation"})))
          .add(option(Option::set_meta_context, context_request("vm2", {"base:allocation"})))
          .add(option(Option::go, info_request("vm1"))));
  EXPECT_EQ(outcome.state, Negotiation::State::transmission);
  EXPECT_EQ(outcome.terms.contexts, 0);
}

}  // namespace
}  // namespace baton::nbd
