// Goal: an export is found by its name, and by "" exactly where that can mean one only.
#include "nbd_server/export.h"

#include <gtest/gtest.h>

#include "nbd_server/wire/protocol.h"
#include "tests/support/test_export.h"

namespace baton::nbd {
namespace {

using Kind = ExportRefusal::Kind;
using Default = ExportTable::Default;

class Exports : public testing::Test {
 protected:
  Loop loop_;
  test::NullDevice device_{loop_, 1U << 20U};
  test::DeviceExport vm1_{"vm1", device_};
  test::DeviceExport vm1_1_{"vm1/1", device_};
  test::DeviceExport vm2_{"vm2", device_};
  ExportTable table_;
  Client somebody_{.text = "10.0.0.2:4711", .address = parse_ip("10.0.0.2")};
};

TEST_F(Exports, a_name_with_a_slash_is_a_name) {
  table_.add(vm1_);
  table_.add(vm1_1_, Default::no);
  EXPECT_EQ(table_.find("vm1/1", somebody_), &vm1_1_);
  EXPECT_EQ(table_.find("vm1", somebody_), &vm1_);
}

TEST_F(Exports, the_default_export_is_the_only_candidate) {
  table_.add(vm1_1_, Default::no);
  table_.add(vm1_);
  EXPECT_EQ(table_.find("", somebody_), &vm1_);
  table_.add(vm2_);
  const auto two = table_.find("", somebody_);
  ASSERT_FALSE(two);
  EXPECT_EQ(two.error().kind, Kind::unknown);
  EXPECT_EQ(two.error().message, R"(no default export here; choose from "vm1/1", "vm1", "vm2")");
  table_.remove(vm1_);
  EXPECT_EQ(table_.find("", somebody_), &vm2_);
  table_.remove(vm2_);
  EXPECT_FALSE(table_.find("", somebody_));
}

TEST_F(Exports, an_unknown_name_is_told_what_there_is) {
  table_.add(vm1_);
  const auto found = table_.find("vm\n2\xff", somebody_);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message, R"(no export "vm?2?" here; choose from "vm1")");
}

TEST_F(Exports, what_a_client_may_not_have_is_not_shown_to_it) {
  table_.add(vm1_);
  table_.add(vm2_);
  vm2_.who = {.networks = {*parse_network("10.0.1.0/24")}};
  EXPECT_EQ(table_.find("vm2", somebody_).error().kind, Kind::policy);
  EXPECT_EQ(table_.list(somebody_).size(), 1U);
  EXPECT_EQ(table_.find("vm3", somebody_).error().message,
            R"(no export "vm3" here; choose from "vm1")");
  vm2_.who = {.names = {"carol"}};
  EXPECT_EQ(table_.find("vm2", somebody_).error().kind, Kind::tls_required);
  EXPECT_EQ(table_.list(somebody_).size(), 1U);
  somebody_.encrypted = true;
  somebody_.names = {"carol"};
  EXPECT_EQ(table_.find("vm2", somebody_), &vm2_);
  EXPECT_EQ(table_.list(somebody_).size(), 2U);
}

TEST_F(Exports, flags_follow_the_device) {
  blockdev::Limits& limits = device_.change_limits();
  const std::uint16_t always = transmission_has_flags | transmission_flush | transmission_fua |
                               transmission_write_zeroes | transmission_multi_conn |
                               transmission_cache;
  limits.discard = limits.fast_zero = limits.rotational = false;
  EXPECT_EQ(facts_of(vm1_).transmission_flags, always);
  limits.discard = limits.fast_zero = limits.rotational = true;
  EXPECT_EQ(facts_of(vm1_).transmission_flags,
            always | transmission_trim | transmission_fast_zero | transmission_rotational);
}

}  // namespace
}  // namespace baton::nbd
