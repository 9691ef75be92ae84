// Goal: each policy by name, and for every combination both sides agree on one that is no Primary.
// Method: a table of cases, and an enumeration of all inputs.
#include "replication/core/after_sb.h"

#include <gtest/gtest.h>

#include <map>

namespace baton::replication {
namespace {

SplitSide side(std::string name, Role role, std::uint64_t epoch, std::uint64_t bytes) {
  return {.name = std::move(name),
          .role = role,
          .epoch = epoch,
          .bytes_changed = bytes,
          .complete = true};
}

struct Case {
  const char* name;
  AfterSplitBrain policy;
  SplitSide alpha;
  SplitSide beta;
  const char* row;
  Yields who;  // as alpha sees it
  Yields lost_primary = Yields::nobody;
};

constexpr Role pri = Role::primary;
constexpr Role sec = Role::secondary;

const Case cases[] = {
    {"nobody_yields_unasked",
     {},
     side("alpha", sec, 3, 0),
     side("beta", sec, 4, 9),
     "disconnect",
     Yields::nobody},
    {"the_younger_primary_has_the_higher_epoch",
     {.zero = AfterSb0::discard_younger_primary},
     side("alpha", sec, 3, 0),
     side("beta", sec, 4, 9),
     "discard-younger-primary",
     Yields::peer},
    {"the_older_primary_has_the_lower_epoch",
     {.zero = AfterSb0::discard_older_primary},
     side("alpha", sec, 3, 0),
     side("beta", sec, 4, 9),
     "discard-older-primary",
     Yields::self},
    {"of_one_epoch_nobody_is_younger",
     {.zero = AfterSb0::discard_younger_primary},
     side("alpha", sec, 4, 0),
     side("beta", sec, 4, 9),
     "discard-younger-primary",
     Yields::nobody},
    {"who_changed_nothing",
     {.zero = AfterSb0::discard_zero_changes},
     side("alpha", sec, 3, 0),
     side("beta", sec, 4, 9),
     "discard-zero-changes",
     Yields::self},
    {"both_changed_something",
     {.zero = AfterSb0::discard_zero_changes},
     side("alpha", sec, 3, 1),
     side("beta", sec, 4, 9),
     "discard-zero-changes",
     Yields::nobody},
    {"who_changed_less",
     {.zero = AfterSb0::discard_least_changes},
     side("alpha", sec, 3, 10),
     side("beta", sec, 4, 9),
     "discard-least-changes",
     Yields::peer},
    {"a_node_by_name",
     {.zero = AfterSb0::discard_node, .node = "beta"},
     side("alpha", sec, 3, 0),
     side("beta", sec, 4, 9),
     "discard-node",
     Yields::peer},
    {"a_policy_for_none_says_nothing_of_one",
     {.zero = AfterSb0::discard_least_changes},
     side("alpha", pri, 3, 0),
     side("beta", sec, 4, 9),
     "one-primary-disconnect",
     Yields::nobody},
    {"the_secondary_yields",
     {.one = AfterSb1::discard_secondary},
     side("alpha", pri, 3, 0),
     side("beta", sec, 4, 9),
     "discard-secondary",
     Yields::peer},
    {"consensus_that_takes_the_secondary",
     {.zero = AfterSb0::discard_least_changes, .one = AfterSb1::consensus},
     side("alpha", pri, 3, 10),
     side("beta", sec, 4, 9),
     "consensus",
     Yields::peer},
    {"no_consensus_where_it_would_take_the_primary",
     {.zero = AfterSb0::discard_least_changes, .one = AfterSb1::consensus},
     side("alpha", pri, 3, 1),
     side("beta", sec, 4, 9),
     "no-consensus",
     Yields::nobody},
    {"two_primaries",
     {.zero = AfterSb0::discard_least_changes, .one = AfterSb1::discard_secondary},
     side("alpha", pri, 3, 1),
     side("beta", pri, 4, 9),
     "two-primaries",
     Yields::nobody},
    {"of_two_primaries_the_lost_one_is_called",
     {.zero = AfterSb0::discard_least_changes, .two = AfterSb2::call_pri_lost},
     side("alpha", pri, 3, 1),
     side("beta", pri, 4, 9),
     "call-pri-lost",
     Yields::nobody,
     Yields::self},
    {"of_two_primaries_none_has_lost",
     {.two = AfterSb2::call_pri_lost},
     side("alpha", pri, 3, 1),
     side("beta", pri, 4, 9),
     "call-pri-lost",
     Yields::nobody},
    {"the_one_primary_has_lost_and_is_called",
     {.zero = AfterSb0::discard_least_changes, .one = AfterSb1::call_pri_lost},
     side("alpha", sec, 3, 10),
     side("beta", pri, 4, 9),
     "call-pri-lost",
     Yields::nobody,
     Yields::peer},
    {"the_secondary_has_lost_and_yields",
     {.zero = AfterSb0::discard_least_changes, .one = AfterSb1::call_pri_lost},
     side("alpha", sec, 3, 1),
     side("beta", pri, 4, 9),
     "discard-least-changes",
     Yields::self},
};

class Named : public testing::TestWithParam<Case> {};

TEST_P(Named, decides) {
  const Case& each = GetParam();
  const YieldVerdict verdict = decide_after_split_brain(each.policy, each.alpha, each.beta);
  EXPECT_EQ(verdict.row, each.row);
  EXPECT_EQ(verdict.who, each.who);
  EXPECT_EQ(verdict.lost_primary, each.lost_primary);
}
INSTANTIATE_TEST_SUITE_P(AfterSb, Named, testing::ValuesIn(cases),
                         [](const auto& each) { return each.param.name; });

TEST(AfterSb, a_half_copy_does_not_stay) {
  SplitSide alpha = side("alpha", sec, 3, 0);
  alpha.complete = false;
  const AfterSplitBrain policy{.zero = AfterSb0::discard_node, .node = "beta"};
  EXPECT_EQ(decide_after_split_brain(policy, alpha, side("beta", sec, 4, 9)).row,
            "survivor-incomplete");
}

template <class Visit>
void for_each_side(const std::string& name, Visit visit) {
  for (unsigned bits = 0; bits < 64; ++bits) {
    SplitSide each = side(name, (bits & 1U) != 0 ? pri : sec, bits >> 1U & 3U, bits >> 3U & 3U);
    each.complete = (bits & 32U) != 0;
    visit(each);
  }
}

TEST(AfterSb, both_sides_agree_and_no_primary_yields) {
  std::map<Yields, std::uint64_t> seen;
  for (const AfterSb0 zero :
       {AfterSb0::disconnect, AfterSb0::discard_younger_primary, AfterSb0::discard_older_primary,
        AfterSb0::discard_zero_changes, AfterSb0::discard_least_changes, AfterSb0::discard_node}) {
    for (const AfterSb1 one : {AfterSb1::disconnect, AfterSb1::consensus,
                               AfterSb1::discard_secondary, AfterSb1::call_pri_lost}) {
      const AfterSplitBrain policy{
          .zero = zero, .node = "beta", .one = one, .two = AfterSb2::call_pri_lost};
      for_each_side("alpha", [&](const SplitSide& alpha) {
        for_each_side("beta", [&](const SplitSide& beta) {
          const YieldVerdict ours = decide_after_split_brain(policy, alpha, beta);
          const YieldVerdict theirs = decide_after_split_brain(policy, beta, alpha);
          ++seen[ours.who];
          ASSERT_EQ(ours.row, theirs.row);
          ASSERT_EQ(ours.who == Yields::self, theirs.who == Yields::peer);
          ASSERT_EQ(ours.who == Yields::peer, theirs.who == Yields::self);
          ASSERT_EQ(ours.lost_primary == Yields::self, theirs.lost_primary == Yields::peer);
          ASSERT_EQ(ours.lost_primary == Yields::peer, theirs.lost_primary == Yields::self);
          if (ours.lost_primary != Yields::nobody) {
            const bool alpha_lost = ours.lost_primary == Yields::self;
            ASSERT_EQ(ours.who, Yields::nobody);
            ASSERT_EQ((alpha_lost ? alpha : beta).role, pri);
            ASSERT_TRUE((alpha_lost ? beta : alpha).complete);
          }
          if (ours.who == Yields::nobody) return;
          const bool alpha_yields = ours.who == Yields::self;
          ASSERT_EQ((alpha_yields ? alpha : beta).role, sec);
          ASSERT_TRUE((alpha_yields ? beta : alpha).complete);
        });
      });
    }
  }
  EXPECT_EQ(seen.size(), 3U);
}

TEST(AfterSb, words_come_back_as_they_were) {
  for (const char* word : {"disconnect", "discard-younger-primary", "discard-older-primary",
                           "discard-zero-changes", "discard-least-changes"}) {
    const auto zero = after_sb_0pri(word);
    ASSERT_TRUE(zero) << word;
    EXPECT_EQ(text_of_0pri({.zero = *zero}), word);
  }
  EXPECT_EQ(after_sb_0pri("discard-node-beta"), AfterSb0::discard_node);
  EXPECT_EQ(text_of_0pri({.zero = AfterSb0::discard_node, .node = "beta"}), "discard-node-beta");
  EXPECT_FALSE(after_sb_0pri("violently-as0p"));
  EXPECT_FALSE(after_sb_1pri("violently-as0p"));
  EXPECT_EQ(after_sb_1pri("consensus"), AfterSb1::consensus);
}

}  // namespace
}  // namespace baton::replication
