// Goal: each row of the verdict's table, by name; what append_generation() may drop.
#include "replication/core/lineage.h"

#include <gtest/gtest.h>

namespace baton::replication {
namespace {

CopyFacts copy(std::string name, Lineage lineage) {
  CopyFacts facts;
  facts.name = std::move(name);
  facts.complete = !lineage.empty();
  facts.lineage = std::move(lineage);
  return facts;
}

TEST(Lineage, two_new_copies_wait_for_an_operator) {
  const Verdict verdict = settle(copy("alpha", {}), copy("beta", {}), Protocol::c);
  EXPECT_EQ(verdict.row, "both-empty");
  EXPECT_EQ(verdict.action, Action::wait);
}

TEST(Lineage, a_new_copy_is_filled_whole) {
  const Verdict verdict = settle(copy("alpha", {1}), copy("beta", {}), Protocol::c);
  EXPECT_EQ(verdict.row, "first-sync");
  EXPECT_EQ(verdict.action, Action::everything);
  EXPECT_EQ(verdict.direction, Direction::self_to_peer);
}

TEST(Lineage, an_interrupted_first_sync_goes_on_where_it_was) {
  CopyFacts target = copy("beta", {});
  target.towards = {1};
  const Verdict verdict = settle(copy("alpha", {1}), target, Protocol::c);
  EXPECT_EQ(verdict.row, "first-sync-resumed");
  EXPECT_EQ(verdict.action, Action::by_bitmap);
}

TEST(Lineage, a_sync_from_somebody_else_is_not_resumed_by_our_bitmap) {
  CopyFacts target = copy("beta", {});
  target.towards = {7};
  EXPECT_EQ(settle(copy("alpha", {1}), target, Protocol::c).action, Action::everything);
}

TEST(Lineage, equal_histories_settle_their_bits) {
  const Verdict verdict = settle(copy("alpha", {1, 2}), copy("beta", {1, 2}), Protocol::c);
  EXPECT_EQ(verdict.row, "equal");
  EXPECT_EQ(verdict.action, Action::settle_bits);
}

TEST(Lineage, of_equal_copies_the_complete_one_is_the_source) {
  CopyFacts half = copy("alpha", {1});
  half.complete = false;
  half.holder = true;
  EXPECT_EQ(settle(half, copy("beta", {1}), Protocol::c).direction, Direction::peer_to_self);
}

TEST(Lineage, under_c_the_survivor_is_the_source_and_under_a_the_writer) {
  CopyFacts survivor = copy("beta", {1});
  survivor.arrival = Arrival::lived_through;
  CopyFacts writer = copy("alpha", {1});
  writer.writer = true;
  EXPECT_EQ(settle(survivor, writer, Protocol::c).direction, Direction::self_to_peer);
  EXPECT_EQ(settle(survivor, writer, Protocol::a).direction, Direction::peer_to_self);
}

TEST(Lineage, of_equal_copies_the_one_that_is_likelier_to_have_everything_is_the_source) {
  const Arrival worst_first[] = {Arrival::crashed, Arrival::restarted, Arrival::clean,
                                 Arrival::lived_through};
  for (std::size_t better = 1; better < std::size(worst_first); ++better) {
    CopyFacts good = copy("beta", {1});
    good.arrival = worst_first[better];
    CopyFacts bad = copy("alpha", {1});
    bad.arrival = worst_first[better - 1];
    bad.epoch = 7;
    bad.last_holder = true;
    EXPECT_EQ(settle(good, bad, Protocol::c).direction, Direction::self_to_peer);
    EXPECT_EQ(settle(bad, good, Protocol::b).direction, Direction::peer_to_self);
    EXPECT_EQ(settle(good, bad, Protocol::a).direction, Direction::peer_to_self)
        << "only the last holder surely has what was flushed";
  }
}

TEST(Lineage, a_newer_history_fast_forwards_the_older_by_bitmap_from_its_base) {
  CopyFacts newer = copy("alpha", {1, 2});
  newer.slot_base = 1;
  const Verdict verdict = settle(newer, copy("beta", {1}), Protocol::c);
  EXPECT_EQ(verdict.row, "fast-forward-by-bitmap");
  EXPECT_EQ(verdict.direction, Direction::self_to_peer);
}

TEST(Lineage, a_copy_that_was_told_of_the_tip_counts_as_having_it) {
  CopyFacts newer = copy("alpha", {1, 2, 3});
  newer.slot_base = 1;
  newer.slot_told = 2;
  EXPECT_EQ(settle(newer, copy("beta", {1, 2}), Protocol::c).action, Action::by_bitmap);
}

TEST(Lineage, without_the_right_base_everything_is_copied) {
  CopyFacts newer = copy("alpha", {1, 2, 3});
  newer.slot_base = 2;
  const Verdict verdict = settle(newer, copy("beta", {1}), Protocol::c);
  EXPECT_EQ(verdict.row, "fast-forward-everything");
  EXPECT_EQ(verdict.action, Action::everything);
}

TEST(Lineage, an_incomplete_copy_is_never_a_source) {
  CopyFacts newer = copy("alpha", {1, 2});
  newer.complete = false;
  const Verdict verdict = settle(newer, copy("beta", {1}), Protocol::c);
  EXPECT_EQ(verdict.row, "source-incomplete");
  EXPECT_EQ(verdict.action, Action::refuse);
}

TEST(Lineage, a_primary_is_never_a_target) {
  CopyFacts older = copy("beta", {1});
  older.role = Role::primary;
  const Verdict verdict = settle(copy("alpha", {1, 2}), older, Protocol::c);
  EXPECT_EQ(verdict.row, "primary-made-target");
  EXPECT_EQ(verdict.action, Action::refuse);
}

TEST(Lineage, an_adopted_image_is_never_a_target_unless_it_may_be_lost) {
  CopyFacts adopted = copy("beta", {});
  adopted.adopted = true;
  EXPECT_EQ(settle(copy("alpha", {1}), adopted, Protocol::c).row, "adopted-never-target");
  adopted.discard_my_data = true;
  EXPECT_EQ(settle(copy("alpha", {1}), adopted, Protocol::c).row, "first-sync");
}

TEST(Lineage, a_fork_is_split_brain_even_where_one_is_longer) {
  const Verdict verdict = settle(copy("alpha", {1, 2, 3}), copy("beta", {1, 4}), Protocol::c);
  EXPECT_EQ(verdict.row, "split-brain");
  EXPECT_EQ(verdict.action, Action::split_brain);
}

TEST(Lineage, a_fork_yields_where_the_operator_gave_one_side_up) {
  CopyFacts loser = copy("beta", {1, 4});
  loser.discard_my_data = true;
  const Verdict verdict = settle(copy("alpha", {1, 2}), loser, Protocol::c);
  EXPECT_EQ(verdict.row, "split-brain-discarded");
  EXPECT_EQ(verdict.direction, Direction::self_to_peer);
  EXPECT_EQ(verdict.action, Action::everything);
}

// The word was carried out in part and is not needed again: what is left is no history.
TEST(Lineage, a_fork_that_is_being_overwritten_goes_on_being) {
  CopyFacts loser = copy("beta", {1, 4});
  loser.complete = false;
  loser.towards = {1, 2};
  const Verdict verdict = settle(copy("alpha", {1, 2}), loser, Protocol::c);
  EXPECT_EQ(verdict.row, "split-brain-discarded");
  EXPECT_EQ(verdict.direction, Direction::self_to_peer);
  // Of another history than this one it is a fork still.
  loser.towards = {1, 7};
  EXPECT_EQ(settle(copy("alpha", {1, 2}), loser, Protocol::c).row, "split-brain");
}

TEST(Lineage, unrelated_data_is_refused) {
  EXPECT_EQ(settle(copy("alpha", {1}), copy("beta", {2}), Protocol::c).row, "unrelated-data");
}

TEST(Lineage, a_disk_from_the_past_is_overwritten_whole) {
  CopyFacts past = copy("beta", {1});
  past.old_session = true;
  const Verdict verdict = settle(copy("alpha", {1}), past, Protocol::c);
  EXPECT_EQ(verdict.row, "copy-from-the-past");
  EXPECT_EQ(verdict.action, Action::everything);
  EXPECT_EQ(verdict.direction, Direction::self_to_peer);
}

TEST(Lineage, a_stamp_older_than_the_other_remembers_is_the_past) {
  EXPECT_FALSE(is_from_the_past({}, {}));
  EXPECT_FALSE(is_from_the_past({7, 70}, {7, 70}));
  EXPECT_FALSE(is_from_the_past({8, 80}, {7, 70})) << "stamped, and not known to be on both sides";
  EXPECT_TRUE(is_from_the_past({6, 60}, {7, 70}));
  EXPECT_TRUE(is_from_the_past({7, 71}, {7, 70})) << "another history's session number 7";
}

TEST(Lineage, a_disk_from_the_past_that_went_on_is_a_second_history) {
  CopyFacts past = copy("beta", {1, 2});
  past.old_session = true;
  const Verdict verdict = settle(copy("alpha", {1}), past, Protocol::c);
  EXPECT_EQ(verdict.row, "split-brain");
  EXPECT_EQ(settle(past, copy("alpha", {1}), Protocol::c).action, Action::split_brain);
}

TEST(Lineage, a_disk_from_the_past_is_not_filled_from_a_half_copied_one) {
  CopyFacts past = copy("beta", {1});
  past.old_session = true;
  CopyFacts target = copy("alpha", {1});
  target.complete = false;
  target.towards = {1, 2};
  EXPECT_EQ(settle(target, past, Protocol::c).row, "source-incomplete");
  target.discard_my_data = true;
  const Verdict verdict = settle(target, past, Protocol::c);
  EXPECT_EQ(verdict.row, "copy-from-the-past-discarded");
  EXPECT_EQ(verdict.direction, Direction::peer_to_self);
}

// The word about the copy that it had been does not hold for what came in its place.
TEST(Lineage, a_disk_from_the_past_does_not_go_on_overwriting) {
  CopyFacts past = copy("alpha", {1, 2});
  past.old_session = true;
  CopyFacts loser = copy("beta", {1, 4});
  loser.complete = false;
  loser.towards = {1, 2};
  EXPECT_EQ(settle(past, loser, Protocol::c).row, "split-brain");
  loser.lineage = {1};
  EXPECT_EQ(settle(past, loser, Protocol::c).row, "split-brain");
  past.lineage = loser.towards = {1};
  EXPECT_EQ(settle(past, loser, Protocol::c).row, "source-incomplete");
}

TEST(Lineage, of_two_disks_from_the_past_an_operator_chooses) {
  CopyFacts ours = copy("alpha", {1});
  CopyFacts theirs = copy("beta", {1});
  ours.old_session = theirs.old_session = true;
  EXPECT_EQ(settle(ours, theirs, Protocol::c).row, "both-from-the-past");
  theirs.discard_my_data = true;
  EXPECT_EQ(settle(ours, theirs, Protocol::c).direction, Direction::self_to_peer);
}

// A generation appended to it makes a fork, never a successor of what it has not whole.
TEST(Lineage, a_half_way_copy_forks_from_what_it_was_being_copied_from) {
  const Lineage towards{1, 2, 3};
  for (const Lineage& own : {Lineage{}, Lineage{1, 2}, Lineage{1, 2, 3}, Lineage{1, 2, 4}}) {
    Lineage forced = half_way_history(own, towards);
    EXPECT_EQ(forced.front(), 1U);
    forced.push_back(9);
    EXPECT_EQ(compare(forced, towards), Relation::forked);
  }
  EXPECT_EQ(half_way_history({1, 2, 4}, towards), (Lineage{1, 2, 4})) << "its own history";
}

TEST(Lineage, a_long_history_keeps_its_root_its_bases_and_its_tip) {
  Lineage lineage{1, 2, 3, 4};
  append_generation(lineage, 5, 4, {2});
  EXPECT_EQ(lineage, (Lineage{1, 2, 4, 5}));
  // A tip that fell out of the other's history cannot be proven to be merely old.
  EXPECT_EQ(compare(lineage, {1, 2, 3}), Relation::forked);
}

}  // namespace
}  // namespace baton::replication
