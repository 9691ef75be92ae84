// Goal: a mistyped word is answered with the word that was meant.
#include "control/nearest.h"

#include <gtest/gtest.h>

#include <array>

namespace baton::control {
namespace {

constexpr std::array<std::string_view, 4> words{"protocol", "timeout", "name", "secret-file"};

TEST(Nearest, distance_counts_insertions_deletions_replacements_and_swaps) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("protocol", "protocoll"), 1U);
  EXPECT_EQ(edit_distance("protocol", "portocol"), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(Nearest, a_slip_is_answered_with_a_question) {
  EXPECT_EQ(suggestion("protocl", words, "key"), "did you mean \"protocol\"?");
  EXPECT_EQ(suggestion("secret_file", words, "key"), "did you mean \"secret-file\"?");
  EXPECT_EQ(suggestion("tiemout", words, "key"), "did you mean \"timeout\"?");
}

TEST(Nearest, something_else_altogether_is_answered_with_the_list) {
  EXPECT_EQ(suggestion("zzzzzzzz", words, "key"),
            "the nearest known key is \"protocol\" (known here: protocol, timeout, name, "
            "secret-file)");
}

}  // namespace
}  // namespace baton::control
