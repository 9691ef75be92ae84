// Goal: who holds the baton after two nodes met; what `primary` may do; what a restarted copy is.
#include "replication/core/baton.h"

#include <gtest/gtest.h>

namespace baton::replication {
namespace {

const Verdict in_sync{"equal", Action::settle_bits, Direction::none, {}};
const Verdict copied_from_self{"x", Action::by_bitmap, Direction::self_to_peer, {}};
const Verdict copied_from_peer{"x", Action::by_bitmap, Direction::peer_to_self, {}};

BatonFacts node(std::string name, std::uint64_t epoch, std::string holder) {
  BatonFacts facts;
  facts.name = std::move(name);
  facts.epoch = {epoch, std::move(holder)};
  return facts;
}

TEST(Baton, a_holder_keeps_it_in_its_epoch) {
  BatonFacts alpha = node("alpha", 3, "alpha");
  alpha.holding = true;
  const BatonVerdict verdict = assign_baton(alpha, node("beta", 2, "alpha"), in_sync);
  EXPECT_EQ(verdict.holder, "alpha");
  EXPECT_EQ(verdict.epoch, 3U);
}

TEST(Baton, a_primary_whose_peer_knows_a_higher_epoch_takes_the_next) {
  BatonFacts alpha = node("alpha", 3, "alpha");
  alpha.holding = true;
  alpha.role = Role::primary;
  const BatonVerdict verdict = assign_baton(alpha, node("beta", 4, "beta"), in_sync);
  EXPECT_EQ(verdict.holder, "alpha");
  EXPECT_EQ(verdict.epoch, 5U);
  EXPECT_FALSE(verdict.self_demoted);
}

TEST(Baton, of_two_holders_the_one_that_wrote_alone_keeps_it) {
  BatonFacts alpha = node("alpha", 3, "alpha");
  alpha.holding = true;
  alpha.role = Role::primary;
  BatonFacts beta = node("beta", 4, "beta");
  beta.holding = true;
  beta.role = Role::primary;
  beta.wrote_alone = true;
  const BatonVerdict verdict = assign_baton(alpha, beta, in_sync);
  EXPECT_EQ(verdict.holder, "beta");
  EXPECT_TRUE(verdict.self_demoted);
}

TEST(Baton, of_two_holders_that_both_wrote_neither_is_demoted) {
  BatonFacts alpha = node("alpha", 3, "alpha");
  BatonFacts beta = node("beta", 3, "beta");
  alpha.holding = beta.holding = alpha.wrote_alone = beta.wrote_alone = true;
  alpha.role = beta.role = Role::primary;
  const BatonVerdict verdict = assign_baton(alpha, beta, in_sync);
  EXPECT_EQ(verdict.row, "both-wrote");
  EXPECT_TRUE(verdict.holder.empty());
  EXPECT_FALSE(verdict.self_demoted);
}

TEST(Baton, of_two_holders_that_both_wrote_the_one_whose_data_stays_holds) {
  BatonFacts alpha = node("alpha", 3, "alpha");
  BatonFacts beta = node("beta", 3, "beta");
  alpha.holding = beta.holding = alpha.wrote_alone = beta.wrote_alone = true;
  alpha.role = Role::primary;
  const Verdict given_up{"split-brain-discarded", Action::everything, Direction::self_to_peer, {}};
  const Verdict mirrored{"split-brain-discarded", Action::everything, Direction::peer_to_self, {}};
  const BatonVerdict at_alpha = assign_baton(alpha, beta, given_up);
  EXPECT_EQ(at_alpha.row, "source-takes");
  EXPECT_EQ(at_alpha.holder, "alpha");
  EXPECT_EQ(at_alpha.epoch, 4U);
  EXPECT_FALSE(at_alpha.self_demoted);
  EXPECT_EQ(assign_baton(beta, alpha, mirrored).holder, "alpha");
}

TEST(Baton, equal_epochs_of_two_holders_end_with_one) {
  BatonFacts alpha = node("alpha", 5, "alpha");
  BatonFacts beta = node("beta", 5, "beta");
  alpha.holding = beta.holding = true;
  const BatonVerdict a = assign_baton(alpha, beta, in_sync);
  const BatonVerdict b = assign_baton(beta, alpha, in_sync);
  EXPECT_EQ(a.holder, b.holder);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_GT(a.epoch, 5U);
}

TEST(Baton, when_nobody_holds_the_source_of_the_copy_does) {
  const BatonVerdict verdict =
      assign_baton(node("alpha", 9, "alpha"), node("beta", 2, "beta"), copied_from_peer);
  EXPECT_EQ(verdict.holder, "beta");
  EXPECT_EQ(verdict.epoch, 10U);
}

TEST(Baton, a_secondary_holder_that_is_the_target_gives_it_to_the_source) {
  BatonFacts alpha = node("alpha", 3, "alpha");
  alpha.holding = true;
  const BatonVerdict verdict = assign_baton(alpha, node("beta", 2, "alpha"), copied_from_peer);
  EXPECT_EQ(verdict.row, "source-takes");
  EXPECT_EQ(verdict.holder, "beta");
  EXPECT_EQ(verdict.epoch, 4U);
}

TEST(Baton, a_restarted_primary_of_this_boot_resumes_its_role) {
  BatonFacts alpha = node("alpha", 3, "alpha");
  alpha.resume_primary = true;
  const BatonVerdict verdict = assign_baton(alpha, node("beta", 3, "alpha"), in_sync);
  EXPECT_EQ(verdict.holder, "alpha");
  EXPECT_TRUE(verdict.self_promoted);
}

TEST(Baton, both_sides_always_agree) {
  const Verdict verdicts[] = {in_sync, copied_from_self, copied_from_peer};
  int cases = 0;
  for (const Verdict& data : verdicts) {
    for (unsigned bits = 0; bits < 4096; ++bits) {
      const auto bit = [bits](unsigned n) { return (bits >> n & 1U) != 0; };
      BatonFacts alpha = node("alpha", 1 + bit(0), bit(1) ? "alpha" : "beta");
      BatonFacts beta = node("beta", 1 + bit(2), bit(3) ? "beta" : "alpha");
      alpha.holding = bit(4);
      beta.holding = bit(5);
      alpha.role = bit(6) && bit(4) ? Role::primary : Role::secondary;
      beta.role = bit(7) && bit(5) ? Role::primary : Role::secondary;
      alpha.wrote_alone = bit(8);
      beta.wrote_alone = bit(9);
      alpha.resume_primary = bit(10);
      beta.resume_primary = bit(11);
      // settle() has refused these.
      if (data.direction == Direction::self_to_peer && beta.role == Role::primary) continue;
      if (data.direction == Direction::peer_to_self && alpha.role == Role::primary) continue;
      Verdict mirrored = data;
      if (data.direction == Direction::self_to_peer) mirrored.direction = Direction::peer_to_self;
      if (data.direction == Direction::peer_to_self) mirrored.direction = Direction::self_to_peer;
      const BatonVerdict a = assign_baton(alpha, beta, data);
      const BatonVerdict b = assign_baton(beta, alpha, mirrored);
      ASSERT_EQ(a.holder, b.holder) << bits;
      ASSERT_EQ(a.epoch, b.epoch) << bits;
      ASSERT_GE(a.epoch, std::max(alpha.epoch.number, beta.epoch.number)) << bits;
      ASSERT_FALSE(a.self_demoted && b.self_demoted) << bits;
      ++cases;
    }
  }
  EXPECT_GT(cases, 5000);
}

PromotionFacts facts_of(DiskState disk) {
  PromotionFacts facts;
  facts.disk = disk;
  return facts;
}

TEST(Promotion, an_up_to_date_copy_needs_no_force) {
  EXPECT_EQ(decide_promotion(facts_of(DiskState::up_to_date)).action, PromotionAction::take_alone);
  PromotionFacts connected = facts_of(DiskState::up_to_date);
  connected.connected = true;
  EXPECT_EQ(decide_promotion(connected).action, PromotionAction::take_from_peer);
}

TEST(Promotion, a_second_primary_is_refused_even_by_force) {
  PromotionFacts facts = facts_of(DiskState::up_to_date);
  facts.connected = facts.peer_primary = facts.force = facts.confirmed = true;
  EXPECT_EQ(decide_promotion(facts).row, "peer-is-primary");
  EXPECT_EQ(decide_promotion(facts).action, PromotionAction::refuse);
}

TEST(Promotion, a_fresh_pair_starts_by_force_without_a_question) {
  PromotionFacts facts = facts_of(DiskState::inconsistent);
  facts.fresh = true;
  EXPECT_EQ(decide_promotion(facts).action, PromotionAction::refuse);
  facts.force = true;
  EXPECT_EQ(decide_promotion(facts).action, PromotionAction::start_fresh);
  facts.peer_has_data = true;
  EXPECT_EQ(decide_promotion(facts).action, PromotionAction::confirm);
}

TEST(Promotion, a_new_copy_that_is_connected_to_data_is_filled_and_not_promoted) {
  PromotionFacts facts = facts_of(DiskState::inconsistent);
  facts.fresh = facts.connected = facts.peer_has_data = facts.force = facts.confirmed = true;
  EXPECT_EQ(decide_promotion(facts).row, "sync-target");
}

TEST(Promotion, every_copy_without_a_witness_wants_force_and_a_confirmation) {
  for (const DiskState disk :
       {DiskState::inconsistent, DiskState::outdated, DiskState::consistent}) {
    PromotionFacts facts = facts_of(disk);
    EXPECT_EQ(decide_promotion(facts).action, PromotionAction::refuse);
    facts.force = true;
    EXPECT_EQ(decide_promotion(facts).action, PromotionAction::confirm);
    EXPECT_FALSE(decide_promotion(facts).sentence.empty());
    facts.confirmed = true;
    EXPECT_EQ(decide_promotion(facts).action, PromotionAction::take_alone);
  }
}

// Over every disk state, and every other input that could get in the way.
TEST(Promotion, fencings_word_does_for_a_consistent_copy_alone_and_for_no_other) {
  for (int disk = 0; disk <= static_cast<int>(DiskState::up_to_date); ++disk) {
    for (int bits = 0; bits < 64; ++bits) {
      PromotionFacts facts = facts_of(static_cast<DiskState>(disk));
      facts.connected = (bits & 1) != 0;
      facts.peer_primary = (bits & 2) != 0;
      facts.fresh = (bits & 4) != 0;
      facts.split_brain = (bits & 8) != 0;
      facts.force = (bits & 16) != 0;
      facts.peer_holds = (bits & 32) != 0;
      const PromotionVerdict before = decide_promotion(facts);
      facts.may_fence = true;
      const bool asks = decide_promotion(facts).action == PromotionAction::fence;
      EXPECT_EQ(asks, before.row == "consistent" && !facts.force) << before.row;
      facts.may_fence = false;
      facts.fenced = true;
      const PromotionVerdict after = decide_promotion(facts);
      if (before.row == "consistent") {
        EXPECT_EQ(after.row, "consistent-fenced");
        EXPECT_EQ(after.action, PromotionAction::take_alone);
      } else {
        EXPECT_EQ(after.row, before.row);
      }
    }
  }
}

TEST(Promotion, a_copy_that_is_being_filled_is_not_promoted_even_by_force) {
  for (const DiskState disk : {DiskState::inconsistent, DiskState::outdated}) {
    PromotionFacts facts = facts_of(disk);
    facts.connected = facts.force = facts.confirmed = true;
    EXPECT_EQ(decide_promotion(facts).row, "sync-target");
    EXPECT_EQ(decide_promotion(facts).action, PromotionAction::refuse);
  }
}

TEST(Restart, a_copy_is_only_consistent_until_somebody_vouches_for_it) {
  RestartFacts facts;
  facts.has_lineage = facts.complete = true;
  EXPECT_EQ(state_after_restart(facts), DiskState::consistent);
  facts.last_holder = true;
  EXPECT_EQ(state_after_restart(facts), DiskState::consistent)
      << "it crashed: the peer may be ahead";
  facts.clean = true;
  EXPECT_EQ(state_after_restart(facts), DiskState::up_to_date) << "the last to leave, in order";
}

TEST(Restart, a_daemon_that_was_killed_under_a_running_host_has_lost_nothing) {
  RestartFacts facts;
  EXPECT_EQ(arrival_after_restart(facts), Arrival::crashed) << "the host's power may have failed";
  facts.same_boot = true;
  EXPECT_EQ(arrival_after_restart(facts), Arrival::restarted);
  facts.doubtful = true;
  EXPECT_EQ(arrival_after_restart(facts), Arrival::crashed) << "an earlier crash is not made good";
  facts.doubtful = facts.same_boot = false;
  facts.stopped_in_order = true;
  EXPECT_EQ(arrival_after_restart(facts), Arrival::restarted) << "everything is on the disk";
  facts.clean = true;
  EXPECT_EQ(arrival_after_restart(facts), Arrival::clean);
}

TEST(Restart, the_durable_word_that_every_other_copy_is_behind_is_a_witness) {
  RestartFacts facts;
  facts.has_lineage = facts.complete = facts.every_peer_behind = true;
  EXPECT_EQ(state_after_restart(facts), DiskState::up_to_date);
  facts.complete = false;
  EXPECT_EQ(state_after_restart(facts), DiskState::inconsistent);
}

}  // namespace
}  // namespace baton::replication
