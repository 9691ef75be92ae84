#include <gtest/gtest.h>

#include "tests/crash/recovery.h"

namespace baton::crash {
namespace {

TEST(CrashText, is_read_back) {
  const Crashes crashes = {{.point = 812,
                            .fate = {Fate::power_cut, Fate::absent},
                            .keep = {Keep::torn, Keep::only_metadata},
                            .number = 3},
                           {.point = 5,
                            .fate = {Fate::killed, Fate::killed},
                            .keep = {Keep::subset, Keep::newest},
                            .number = 0}};
  EXPECT_EQ(to_text(crashes),
            "812:power-cut/torn:absent/only-metadata:3+5:killed/subset:killed/newest:0");
  EXPECT_EQ(parse_crashes(to_text(crashes)), crashes);
  EXPECT_EQ(parse_crashes("812:power-cut/torn:absent/only-metadata:3"), Crashes{crashes[0]});
}

TEST(CrashText, that_is_wrong_is_refused) {
  for (const char* wrong : {"", "812", "812:killed/torn:killed/torn", "x:killed/torn:killed/torn:1",
                            "812:dead/torn:killed/torn:1", "812:killed/torn:killed:1",
                            "812:killed/torn:killed/torn:1+9"}) {
    EXPECT_FALSE(parse_crashes(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace baton::crash
