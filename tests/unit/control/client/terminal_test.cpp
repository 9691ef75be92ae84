// Goal: a progress line that reads well from the first to the last per cent.
#include "control/client/terminal.h"

#include <gtest/gtest.h>

namespace baton::control {
namespace {

TEST(Terminal, progress_is_a_bar_where_the_share_is_known) {
  EXPECT_EQ(progress_text("vm1", 0), "[>                       ]   0 %  vm1");
  EXPECT_EQ(progress_text("vm1", 0.5), "[============>           ]  50 %  vm1");
  EXPECT_EQ(progress_text("vm1", 0.999), "[=======================>]  99 %  vm1");
  EXPECT_EQ(progress_text("vm1", 1), "[========================] 100 %  vm1");
  EXPECT_EQ(progress_text("vm1", 1.5), "[========================] 100 %  vm1");
  EXPECT_EQ(progress_text("vm1: waiting", -1), "vm1: waiting");
}

}  // namespace
}  // namespace baton::control
