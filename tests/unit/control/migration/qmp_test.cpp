// Goal: QMP's syntax is read as QEMU writes it, and nothing that a QEMU sends can hurt. Method:
// lines as captured from QEMU 7.2, cut at every byte, and lines that are wrong in one way each.
#include "control/migration/qmp.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <vector>

namespace baton::control::migration {
namespace {

const std::string greeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "x"}, )"
    R"("capabilities": ["oob"]}})";
const std::string event =
    R"({"timestamp": {"seconds": 1700000000, "microseconds": 250}, "event": "MIGRATION", )"
    R"("data": {"status": "pre-switchover"}})";

std::vector<std::string> cut(LineCutter& lines) {
  std::vector<std::string> all;
  while (auto line = lines.next()) all.push_back(*line);
  return all;
}

TEST(LineCutter, gives_the_same_lines_wherever_the_bytes_are_split) {
  const std::string bytes = greeting + "\r\n" + "\r\n" + event + "\n" + "{}" + "\r\n";
  for (std::size_t at = 0; at <= bytes.size(); ++at) {
    LineCutter lines;
    std::vector<std::string> all;
    lines.add(bytes.substr(0, at));
    for (std::string& line : cut(lines)) all.push_back(line);
    lines.add(bytes.substr(at));
    for (std::string& line : cut(lines)) all.push_back(line);
    EXPECT_EQ(all, (std::vector<std::string>{greeting, event, "{}"})) << at;
  }
}

TEST(LineCutter, a_line_beyond_the_limit_ends_it_for_good) {
  LineCutter lines(8);
  lines.add("12345678\n");
  EXPECT_EQ(lines.next(), "12345678");
  lines.add("123456789");
  EXPECT_EQ(lines.next(), std::nullopt);
  EXPECT_TRUE(lines.overlong());
  lines.add("\n{}\n");
  EXPECT_EQ(lines.next(), std::nullopt) << "what follows may begin in the middle of a line";
}

TEST(LineCutter, a_whole_line_beyond_the_limit_is_refused_too) {
  LineCutter lines(8);
  lines.add("123456789\n");
  EXPECT_EQ(lines.next(), std::nullopt);
  EXPECT_TRUE(lines.overlong());
}

TEST(Qmp, reads_the_greeting) {
  const auto message = parse_qmp(greeting);
  ASSERT_TRUE(message);
  EXPECT_EQ(std::get<QmpGreeting>(*message).version, "7.2.22");
}

TEST(Qmp, reads_events_with_their_stamp) {
  const auto message = parse_qmp(event);
  ASSERT_TRUE(message);
  const auto& heard = std::get<QmpEvent>(*message);
  EXPECT_EQ(heard.name, "MIGRATION");
  EXPECT_EQ(string_at(heard.data, "status"), "pre-switchover");
  EXPECT_EQ(heard.at, std::chrono::microseconds(1700000000000250));
}

TEST(Qmp, matches_replies_by_id_and_keeps_the_reason_of_an_error) {
  const auto good = parse_qmp(R"({"return": {"status": "running"}, "id": 7})");
  ASSERT_TRUE(good);
  EXPECT_EQ(std::get<QmpReply>(*good).id, 7U);
  EXPECT_EQ(string_at(*std::get<QmpReply>(*good).value, "status"), "running");
  const auto bad = parse_qmp(
      R"({"id": 8, "error": {"class": "GenericError", "desc": "Migration is not finalized yet"}})");
  ASSERT_TRUE(bad);
  EXPECT_EQ(std::get<QmpReply>(*bad).id, 8U);
  EXPECT_EQ(std::get<QmpReply>(*bad).value.error().message, "Migration is not finalized yet");
}

TEST(Qmp, an_id_that_is_not_ours_is_none) {
  for (const char* id : {R"("7")", "-1", "1.5", "null", "{}"}) {
    const auto message = parse_qmp(R"({"return": {}, "id": )" + std::string(id) + "}");
    ASSERT_TRUE(message) << id;
    EXPECT_EQ(std::get<QmpReply>(*message).id, std::nullopt) << id;
  }
}

TEST(Qmp, what_is_no_message_is_refused_with_a_reason) {
  for (const char* line : {"", "{", "[]", "7", "{}", R"({"event": 7})", R"({"error": "text"})",
                           R"({"return": {}} trailing)", R"({"QMP": 7})", "\xff\xfe"}) {
    const auto message = parse_qmp(line);
    ASSERT_FALSE(message) << line;
    EXPECT_FALSE(message.error().message.empty());
  }
}

TEST(Qmp, nesting_is_bounded) {
  const std::string deep =
      R"({"return": )" + std::string(10000, '[') + std::string(10000, ']') + "}";
  EXPECT_FALSE(parse_qmp(deep));
}

TEST(Qmp, members_of_another_type_are_empty_or_zero) {
  const boost::json::value value = boost::json::parse(R"({"a": 7, "b": "x", "c": -1})");
  EXPECT_EQ(string_at(value, "a"), "");
  EXPECT_EQ(string_at(value, "none"), "");
  EXPECT_EQ(number_at(value, "b"), 0U);
  EXPECT_EQ(number_at(value, "c"), 0U);
  EXPECT_EQ(number_at(value, "a"), 7U);
  EXPECT_EQ(string_at(boost::json::value(7), "a"), "");
  EXPECT_EQ(number_at(boost::json::value(7), "a"), 0U);
}

TEST(Qmp, a_command_is_one_line_with_its_id) {
  boost::json::object arguments;
  arguments["uri"] = "unix:/a\nb";
  const std::string line = format_qmp("migrate", arguments, 3);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line, R"({"execute":"migrate","arguments":{"uri":"unix:/a\nb"},"id":3})");
  EXPECT_EQ(format_qmp("cont", {}, 4), R"({"execute":"cont","id":4})");
}

}  // namespace
}  // namespace baton::control::migration
