// Goal: what one side of the control socket writes, the other reads; anything else is refused.
#include "control/protocol.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

namespace baton::control {
namespace {

TEST(Protocol, requests_read_back) {
  Request request{.id = 7, .verb = "primary", .resource = "vm1"};
  request.options = {.force = true,
                     .confirmed = true,
                     .discard_my_data = true,
                     .allow = true,
                     .deny = true,
                     .guest = "stopped",
                     .repair = true,
                     .from_start = true,
                     .stop = true,
                     .to = "beta",
                     .uri = "tcp:10.0.0.2:4444",
                     .dry_run = true,
                     .postcopy = true,
                     .timeout_seconds = 600};
  const auto read = decode_request(encode(request));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, request);
}

TEST(Protocol, a_request_says_only_what_is_set) {
  EXPECT_EQ(encode(Request{.id = 1, .verb = "status"}), R"({"id":1,"verb":"status"})");
  EXPECT_EQ(encode(Request{.id = 2, .verb = "down", .resource = "a", .options = {.force = true}}),
            R"({"id":2,"verb":"down","resource":"a","options":{"force":true}})");
}

TEST(Protocol, malformed_requests_are_refused) {
  for (const char* line :
       {"", "x", "[]", "1", R"({"id":1})", R"({"id":-1,"verb":"status"})",
        R"({"id":"1","verb":"status"})", R"({"id":1,"verb":2})", R"({"id":1,"verb":"a","x":1})",
        R"({"id":1,"verb":"a","options":[]})", R"({"id":1,"verb":"a","options":{"force":1}})",
        R"({"id":1,"verb":"a","options":{"fource":true}})",
        R"({"id":1,"verb":"a","options":{"timeout":-1}})",
        R"({"id":1,"verb":"a","options":{"guest":"asleep"}})",
        R"({"id":1,"verb":"a","options":{"timeout":4294967296}})", R"({"id":1,"verb":"a"} x)"}) {
    EXPECT_FALSE(decode_request(line)) << line;
  }
  EXPECT_FALSE(decode_request(std::string(10000, '['))) << "deep nesting is bounded";
}

TEST(Protocol, replies_read_back_with_their_kind) {
  const auto progress = decode_reply(encode(progress_reply(3, "half", 0.5)));
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->id, 3U);
  EXPECT_EQ(progress->kind, Reply::Kind::progress);
  EXPECT_FALSE(progress->last());
  EXPECT_EQ(progress->body.at("fraction").as_double(), 0.5);

  const auto event = decode_reply(encode(event_reply(4, {{"event", "change"}}, "text")));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, Reply::Kind::event);
  EXPECT_EQ(event->body.at("data").at("event").as_string(), "change");

  const auto result = decode_reply(encode(result_reply(5, nullptr)));
  ASSERT_TRUE(result);
  EXPECT_EQ(result->kind, Reply::Kind::result);
  EXPECT_TRUE(result->last());
  EXPECT_FALSE(decode_reply(R"({"id":1})"));
}

TEST(Protocol, errors_keep_message_exit_code_and_the_wish_for_a_confirmation) {
  const auto plain =
      decode_reply(encode(error_reply(1, {.message = "no", .exit_code = ExitCode::configuration})));
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->last());
  EXPECT_EQ(error_of(*plain).message, "no");
  EXPECT_EQ(error_of(*plain).exit_code, ExitCode::configuration);
  EXPECT_FALSE(error_of(*plain).needs_confirmation);

  const auto risk = decode_reply(encode(error_reply(1, needs_confirmation("two writers").error())));
  ASSERT_TRUE(risk);
  EXPECT_TRUE(error_of(*risk).needs_confirmation);
  EXPECT_EQ(error_of(*risk).exit_code, ExitCode::refused);
  EXPECT_EQ(error_of(result_reply(1, nullptr)).message, "the daemon gave no reason");
}

TEST(LineSplitter, cuts_lines_wherever_the_bytes_come_apart) {
  LineSplitter lines(100);
  lines.feed("on");
  EXPECT_FALSE(lines.next());
  lines.feed("e\ntwo\nthr");
  EXPECT_EQ(lines.next(), "one");
  EXPECT_EQ(lines.next(), "two");
  EXPECT_FALSE(lines.next());
  lines.feed("ee\n\n");
  EXPECT_EQ(lines.next(), "three");
  EXPECT_EQ(lines.next(), "");
  EXPECT_FALSE(lines.next());
}

TEST(LineSplitter, sees_a_line_that_is_too_long_before_it_is_whole) {
  LineSplitter lines(4);
  lines.feed("1234\n12345");
  EXPECT_FALSE(lines.overflown());
  EXPECT_EQ(lines.next(), "1234");
  EXPECT_FALSE(lines.next());
  EXPECT_TRUE(lines.overflown());
  lines.feed("\n");
  EXPECT_FALSE(lines.next()) << "and gives it to nobody";
}

}  // namespace
}  // namespace baton::control
