// Goal: DRBD's exit codes mean what they mean to DRBD, and only those that prove something count.
#include "replication/core/fencing.h"

#include <gtest/gtest.h>

#include <set>

namespace baton::replication {
namespace {

TEST(Fencing, the_exit_codes_are_drbds) {
  EXPECT_EQ(fence_word(3), FenceWord::peer_inconsistent);
  EXPECT_EQ(fence_word(4), FenceWord::peer_outdated);
  EXPECT_EQ(fence_word(5), FenceWord::peer_unreachable);
  EXPECT_EQ(fence_word(6), FenceWord::peer_primary);
  EXPECT_EQ(fence_word(7), FenceWord::peer_stonithed);
}

TEST(Fencing, every_other_code_and_none_is_a_failure) {
  EXPECT_EQ(fence_word(std::nullopt), FenceWord::failed);
  for (int code = 0; code < 256; ++code) {
    if (code >= 3 && code <= 7) continue;
    EXPECT_EQ(fence_word(code), FenceWord::failed) << code;
  }
}

TEST(Fencing, the_peer_is_out_when_it_cannot_go_on_and_not_when_it_cannot_be_reached) {
  const std::set<int> out{3, 4, 7};
  for (int code = 0; code < 256; ++code) {
    EXPECT_EQ(peer_is_out(fence_word(code)), out.contains(code)) << code;
    EXPECT_NE(sentence_of(fence_word(code)), "?") << code;
  }
  EXPECT_FALSE(peer_is_out(fence_word(std::nullopt)));
}

}  // namespace
}  // namespace baton::replication
