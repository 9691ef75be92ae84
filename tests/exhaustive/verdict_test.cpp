// Goal: for every combination of what two copies can be, the two sides' verdicts complement each
// other, and nothing that design §5 forbids is ever decided. Method: enumerate all inputs.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "replication/core/lineage.h"

namespace baton::replication {
namespace {

struct Pair {
  CopyFacts alpha;
  CopyFacts beta;
};

// Being overwritten with the other's history, which is not a disk from the past.
bool given_up(const CopyFacts& copy, const CopyFacts& other) {
  return !copy.towards.empty() && !other.old_session &&
         std::ranges::find(other.lineage, copy.towards.back()) != other.lineage.end();
}

const Lineage histories[] = {{}, {1}, {1, 2}, {1, 3}, {1, 2, 4}, {9}};

// Every combination of the inputs, one node at a time.
template <class Visit>
void for_each_copy(const std::string& name, Visit visit) {
  for (const Lineage& lineage : histories) {
    for (unsigned bits = 0; bits < 512; ++bits) {
      const auto bit = [bits](unsigned n) { return (bits >> n & 1U) != 0; };
      CopyFacts facts;
      facts.name = name;
      facts.lineage = lineage;
      facts.complete = bit(0) && !lineage.empty();
      if (bit(1)) facts.towards = lineage.empty() ? Lineage{1} : Lineage{1, 2};
      facts.complete = facts.complete && facts.towards.empty();
      facts.adopted = bit(2);
      facts.discard_my_data = bit(3);
      facts.undo_first = bit(3) && bit(7);
      facts.holder = bit(4);
      facts.role = bit(4) && bit(5) ? Role::primary : Role::secondary;
      facts.old_session = bit(6);
      facts.arrival = static_cast<Arrival>(bits >> 7U);
      facts.slot_base = lineage.size() > 1 ? 1 : 0;
      visit(facts);
    }
  }
}

Direction opposite(Direction direction) {
  if (direction == Direction::self_to_peer) return Direction::peer_to_self;
  if (direction == Direction::peer_to_self) return Direction::self_to_peer;
  return Direction::none;
}

class VerdictTable : public testing::TestWithParam<Protocol> {};

TEST_P(VerdictTable, both_sides_complement_each_other_and_no_rule_is_broken) {
  std::map<std::string, std::uint64_t> reached;
  for_each_copy("alpha", [&](const CopyFacts& alpha) {
    for_each_copy("beta", [&](const CopyFacts& beta) {
      const Verdict ours = settle(alpha, beta, GetParam());
      const Verdict theirs = settle(beta, alpha, GetParam());
      ++reached[std::string(ours.row)];
      ASSERT_EQ(ours.row, theirs.row);
      ASSERT_EQ(ours.action, theirs.action);
      ASSERT_EQ(ours.direction, opposite(theirs.direction));
      ASSERT_FALSE(ours.row.empty());
      const bool copies = ours.action == Action::settle_bits || ours.action == Action::by_bitmap ||
                          ours.action == Action::everything;
      ASSERT_EQ(copies, ours.direction != Direction::none);
      if (ours.action == Action::split_brain) {
        const bool undo_first = ours.row == "split-brain-undo-first";
        // What is half the other copy yields, whoever was told to; else the word decides.
        const bool alpha_half = given_up(alpha, beta);
        const bool half = alpha_half != given_up(beta, alpha);
        ASSERT_EQ(half || alpha.discard_my_data != beta.discard_my_data, undo_first);
      }
      if (!copies) return;
      const CopyFacts& source = ours.direction == Direction::self_to_peer ? alpha : beta;
      const CopyFacts& target = ours.direction == Direction::self_to_peer ? beta : alpha;
      ASSERT_FALSE(target.undo_first && loses_history(target.lineage, source.lineage)) << ours.row;
      ASSERT_TRUE(source.complete) << ours.row;
      ASSERT_NE(target.role, Role::primary) << ours.row;
      ASSERT_FALSE(target.adopted && !target.discard_my_data) << ours.row;
      const bool may_be_lost = target.discard_my_data || target.lineage.empty();
      ASSERT_TRUE(!source.old_session || may_be_lost) << ours.row;
      const bool only_arrivals_differ =
          ours.row == "equal" && alpha.complete && beta.complete && alpha.holder == beta.holder;
      if (only_arrivals_differ && GetParam() != Protocol::a) {
        ASSERT_GE(source.arrival, target.arrival);
      }
    });
  });
  for (const char* row :
       {"both-empty", "first-sync", "equal", "fast-forward-by-bitmap", "fast-forward-everything",
        "first-sync-resumed", "split-brain", "split-brain-discarded", "unrelated-data",
        "unrelated-discarded", "copy-from-the-past", "copy-from-the-past-discarded",
        "both-from-the-past", "source-incomplete", "primary-made-target", "adopted-never-target",
        "split-brain-undo-first"}) {
    EXPECT_GT(reached[row], 0U) << row << " is never reached";
  }
  EXPECT_EQ(reached.size(), 17U) << "a row without a name in this test";
}

INSTANTIATE_TEST_SUITE_P(Protocols, VerdictTable,
                         testing::Values(Protocol::a, Protocol::b, Protocol::c));

}  // namespace
}  // namespace baton::replication
