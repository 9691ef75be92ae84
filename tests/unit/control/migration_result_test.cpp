#include "control/migration_result.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace baton::control {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

MigrationResult example() {
  MigrationResult result;
  result.resource = "vm1";
  result.source = "alpha";
  result.destination = "beta";
  result.sentence = "The guest runs on beta.";
  result.guest_pause = milliseconds(41);
  result.storage_offer = microseconds(2500);
  result.total = milliseconds(1900);
  result.ram_bytes = std::uint64_t{98} << 20U;
  result.bytes_replicated = 12345;
  return result;
}

TEST(MigrationResult, IsOneSentenceWithThePauseAndTheStoragesPartOfIt) {
  EXPECT_EQ(migration_text(example()),
            "vm1 moved from alpha to beta in 1.9 s: the guest paused for 41 ms, 2.5 ms of that for "
            "the storage; 98.0 MiB of memory copied. The guest runs on beta.");
}

TEST(MigrationResult, SaysNothingOfAPauseOfAGuestThatWasPausedAnyway) {
  MigrationResult paused = example();
  paused.guest_pause.reset();
  EXPECT_EQ(migration_text(paused),
            "vm1 moved from alpha to beta in 1.9 s: 98.0 MiB of memory copied. The guest runs on "
            "beta.");
}

TEST(MigrationResult, SurvivesTheControlProtocol) {
  const auto read = migration_result_from_json(to_json(example()));
  ASSERT_TRUE(read);
  EXPECT_EQ(migration_text(*read), migration_text(example()));
  EXPECT_EQ(read->bytes_replicated, 12345U);
  EXPECT_FALSE(read->storage_grant.has_value());
  EXPECT_FALSE(migration_result_from_json(boost::json::parse("[1]")));
}

}  // namespace
}  // namespace baton::control
