// Goal: an address is taken as QEMU takes it, and a wrong one is refused before anything is done.
#include "control/migration/uri.h"

#include <gtest/gtest.h>

namespace baton::control::migration {
namespace {

TEST(MigrationUri, takes_tcp_with_a_port_and_unix_with_a_path) {
  for (const char* text :
       {"tcp:10.0.0.2:4444", "tcp:[fd00::2]:4444", "tcp:beta:4444", "unix:/a/b"}) {
    const auto uri = MigrationUri::parse(text);
    ASSERT_TRUE(uri) << text;
    EXPECT_EQ(uri->text(), text);
    EXPECT_FALSE(uri->leaves_port_open());
  }
}

TEST(MigrationUri, leaves_the_port_to_the_destination_where_none_is_named) {
  for (const char* text : {"tcp:10.0.0.2", "tcp:10.0.0.2:", "tcp:10.0.0.2:0"}) {
    const auto uri = MigrationUri::parse(text);
    ASSERT_TRUE(uri) << text;
    EXPECT_TRUE(uri->leaves_port_open());
    EXPECT_EQ(uri->text(), "tcp:10.0.0.2:0");
    EXPECT_EQ(uri->with_port(4444).text(), "tcp:10.0.0.2:4444");
    EXPECT_FALSE(uri->with_port(4444).leaves_port_open());
  }
  EXPECT_EQ(MigrationUri::parse("tcp:[fd00::2]")->text(), "tcp:[fd00::2]:0");
}

TEST(MigrationUri, refuses_what_is_neither) {
  for (const char* text : {"", "tcp:", "tcp::4444", "unix:", "exec:cat", "fd:3", "10.0.0.2:4444",
                           "tcp:a:70000", "tcp:a:-1", "tcp:a:b", "tcp:a:1:2"}) {
    const auto uri = MigrationUri::parse(text);
    ASSERT_FALSE(uri) << text;
    EXPECT_EQ(uri.error().exit_code, ExitCode::usage);
  }
}

}  // namespace
}  // namespace baton::control::migration
