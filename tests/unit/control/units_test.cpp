// Goal: sizes and durations are read strictly and written so that they read back.
#include "control/units.h"

#include <gtest/gtest.h>

namespace baton::control {
namespace {

using namespace std::chrono_literals;

TEST(Units, sizes_take_binary_units_and_plain_bytes) {
  EXPECT_EQ(parse_size("8GiB"), std::uint64_t{8} << 30U);
  EXPECT_EQ(parse_size("8 GiB"), std::uint64_t{8} << 30U);
  EXPECT_EQ(parse_size("64K"), 65536U);
  EXPECT_EQ(parse_size("3TiB"), std::uint64_t{3} << 40U);
  EXPECT_EQ(parse_size("4096"), 4096U);
  EXPECT_EQ(parse_size("0"), 0U);
}

TEST(Units, sizes_that_could_mean_two_things_or_none_are_refused) {
  for (const char* text : {"", "GiB", "8GB", "8gib", "-1", "1.5GiB", "8GiBs", "9223372036854775808",
                           "8192PiB", "18446744073709551616", "8  GiB", " 8GiB"}) {
    EXPECT_EQ(parse_size(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_size("8191PiB"), std::uint64_t{8191} << 50U);
}

TEST(Units, durations_need_a_unit) {
  EXPECT_EQ(parse_duration("6s"), Duration(6s));
  EXPECT_EQ(parse_duration("500ms"), Duration(500ms));
  EXPECT_EQ(parse_duration("2min"), Duration(2min));
  EXPECT_EQ(parse_duration("1h"), Duration(1h));
  for (const char* text : {"", "6", "s", "6 seconds", "-6s", "1.5s", "99999999999s", "6m"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
}

TEST(Units, size_literals_read_back_exactly) {
  for (const std::uint64_t bytes : {std::uint64_t{512}, std::uint64_t{513}, std::uint64_t{1} << 20U,
                                    std::uint64_t{3} << 39U, (std::uint64_t{1} << 62U) + 1}) {
    EXPECT_EQ(parse_size(size_literal(bytes)), bytes);
  }
  EXPECT_EQ(size_literal(std::uint64_t{8} << 30U), "8GiB");
}

TEST(Units, texts_are_short) {
  EXPECT_EQ(size_text(513), "513 bytes");
  EXPECT_EQ(size_text(std::uint64_t{8} << 30U), "8 GiB");
  EXPECT_EQ(size_text(std::uint64_t{3} << 29U), "1.5 GiB");
  EXPECT_EQ(duration_text(250ms), "250 ms");
  EXPECT_EQ(duration_text(6s), "6 s");
  EXPECT_EQ(duration_text(90s), "90 s");
  EXPECT_EQ(duration_text(2min), "2 min");
  EXPECT_EQ(duration_text(1500ms), "1.5 s");
}

}  // namespace
}  // namespace baton::control
