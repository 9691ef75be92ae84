#include <gtest/gtest.h>

#include "tests/crash/recovery.h"

namespace baton::crash {
namespace {

TEST(CrashCase, is_read_back_from_its_text) {
  const Case crash{.point = 812,
                   .fate = {Fate::power_cut, Fate::absent},
                   .keep = {Keep::torn, Keep::only_metadata},
                   .number = 3};
  EXPECT_EQ(to_text(crash), "812:power-cut/torn:absent/only-metadata:3");
  EXPECT_EQ(parse_case(to_text(crash)), crash);
  for (const char* wrong : {"", "812", "812:killed/torn:killed/torn", "x:killed/torn:killed/torn:1",
                            "812:dead/torn:killed/torn:1", "812:killed/torn:killed:1"}) {
    EXPECT_FALSE(parse_case(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace baton::crash
