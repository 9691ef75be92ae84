// Goal: when one of two nodes has no usable disk, the other serves it only with everything that was
// acknowledged, and a client that lived through a loss does not write on. Method: enumerate what
// the two can know, look at each verdict; then the named rows, one by one.
#include "replication/core/diskless.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace baton::replication {
namespace {

const std::vector<Lineage> lineages = {{}, {1, 2}, {1, 2, 3}, {1, 2, 4}, {9, 8}};
constexpr Arrival arrivals[] = {Arrival::crashed, Arrival::restarted, Arrival::clean,
                                Arrival::lived_through};

std::vector<ServiceFacts> every_node(std::uint64_t epoch, bool two_primaries) {
  std::vector<ServiceFacts> all;
  for (const Lineage& lineage : lineages) {
    for (const Arrival arrival : arrivals) {
      for (unsigned bits = 0; bits < 128; ++bits) {
        const auto bit = [bits](unsigned n) { return (bits >> n & 1U) != 0; };
        ServiceFacts facts{.lineage = lineage, .arrival = arrival};
        facts.epoch.number = epoch;
        facts.complete = bit(0) && !lineage.empty();
        facts.holding = bit(1);
        facts.primary = bit(2);
        facts.served = bit(3);
        facts.resume_primary = bit(4);
        facts.same_session = bit(5);
        facts.peer_lacks = bit(6);
        facts.two_primaries = two_primaries;
        // Only a Primary is served, and by a holder; one that lives has not to take its role again.
        if (facts.served && (!facts.primary || facts.holding)) continue;
        if (facts.resume_primary && (facts.holding || facts.primary)) continue;
        all.push_back(facts);
      }
    }
  }
  return all;
}

bool knows(const Lineage& all, const Lineage& tip_of) {
  return tip_of.empty() || std::ranges::find(all, tip_of.back()) != all.end();
}

void look_at_every_meeting(bool two, std::map<std::string_view, std::uint64_t>& rows) {
  for (const std::uint64_t epoch : {1U, 2U, 3U}) {
    const std::vector<ServiceFacts> without_disk = every_node(2, two);
    for (const ServiceFacts& with : every_node(epoch, two)) {
      for (const ServiceFacts& without : without_disk) {
        const ServiceVerdict verdict = settle_service(with, without);
        ++rows[verdict.row];
        if (verdict.refuse) {
          EXPECT_FALSE(verdict.sentence.empty());
          continue;
        }
        // Never from an incomplete copy, nor from one that lacks a generation.
        ASSERT_TRUE(with.complete);
        ASSERT_TRUE(!without.complete || knows(with.lineage, without.lineage));
        // One holder for each number: it is kept only by the node that has it.
        ASSERT_GE(verdict.epoch, std::max<std::uint64_t>(with.epoch.number, 2));
        ASSERT_TRUE(verdict.epoch > 2 || verdict.epoch > with.epoch.number ||
                    (with.holding && with.epoch.number >= 2));
        // One writer, or two where both may be.
        const bool holder_primary = with.primary && !verdict.holder_demoted;
        const bool both = verdict.diskless_stays && (holder_primary || verdict.holder_promoted);
        ASSERT_TRUE(two || !both);
        ASSERT_FALSE(two && verdict.holder_demoted);
        ASSERT_FALSE(verdict.holder_demoted && !verdict.diskless_stays);
        ASSERT_FALSE(verdict.diskless_stays && !without.primary);
        // Who goes on as Primary finds all that it was told is there.
        if (!verdict.diskless_stays || with.holding) continue;
        ASSERT_NE(with.arrival, Arrival::crashed);
        ASSERT_TRUE(with.epoch.number == without.epoch.number || without.holding);
        ASSERT_TRUE(!without.holding || (with.arrival == Arrival::lived_through &&
                                         with.same_session && !without.peer_lacks));
      }
    }
  }
}

TEST(ServiceTable, keeps_every_rule_for_all_that_two_nodes_can_know) {
  std::map<std::string_view, std::uint64_t> rows;
  look_at_every_meeting(false, rows);
  look_at_every_meeting(true, rows);
  for (const char* row : {"no-complete-copy", "lacks-writes", "served", "both-have-failed",
                          "takes-over", "crashed", "disk-takes"}) {
    EXPECT_GT(rows[row], 0U) << row << " is reached by nothing";
  }
  EXPECT_EQ(rows.size(), 7U) << "a row that this test does not name";
}

ServiceFacts copy() {
  return {.complete = true,
          .lineage = {1, 2},
          .epoch = {1, "beta"},
          .arrival = Arrival::lived_through,
          .same_session = true};
}

TEST(ServiceTable, a_holder_serves_a_primary_whose_writes_go_through_it) {
  ServiceFacts with = copy();
  with.holding = true;
  ServiceFacts without = copy();
  without.primary = without.served = true;
  const ServiceVerdict verdict = settle_service(with, without);
  EXPECT_EQ(verdict.row, "served");
  EXPECT_EQ(verdict.epoch, 1U);
  EXPECT_TRUE(verdict.diskless_stays);
}

TEST(ServiceTable, a_holder_demotes_a_primary_that_held_an_older_epoch) {
  ServiceFacts with = copy();
  with.holding = true;
  with.epoch.number = 2;
  ServiceFacts without = copy();
  without.primary = without.holding = true;
  EXPECT_FALSE(settle_service(with, without).diskless_stays);
}

TEST(ServiceTable, a_copy_that_has_everything_takes_over_for_a_failed_disk) {
  ServiceFacts without = copy();
  without.primary = without.holding = true;
  const ServiceVerdict verdict = settle_service(copy(), without);
  EXPECT_EQ(verdict.row, "takes-over");
  EXPECT_EQ(verdict.epoch, 2U);
  EXPECT_TRUE(verdict.diskless_stays);
}

TEST(ServiceTable, a_copy_that_was_restarted_does_not_take_over_for_a_failed_disk) {
  ServiceFacts with = copy();
  with.arrival = Arrival::restarted;
  ServiceFacts without = copy();
  without.primary = without.holding = true;
  EXPECT_EQ(settle_service(with, without).row, "both-have-failed");
}

TEST(ServiceTable, a_crashed_copy_does_not_serve_what_it_may_lack) {
  ServiceFacts with = copy();
  with.arrival = Arrival::crashed;
  ServiceFacts without = copy();
  without.primary = without.served = true;
  const ServiceVerdict verdict = settle_service(with, without);
  EXPECT_EQ(verdict.row, "crashed");
  // It has a generation that the other lacks: nobody else can be the source.
  with.lineage = {1, 2, 3};
  EXPECT_EQ(settle_service(with, without).row, "disk-takes");
  EXPECT_FALSE(settle_service(with, without).diskless_stays);
}

TEST(ServiceTable, an_outdated_copy_serves_nobody) {
  ServiceFacts without = copy();
  without.lineage = {1, 2, 3};
  EXPECT_EQ(settle_service(copy(), without).row, "lacks-writes");
}

}  // namespace
}  // namespace baton::replication
