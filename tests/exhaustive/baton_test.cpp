// Goal: whatever two nodes know of the baton when they meet, both name the same holder and the same
// epoch, and no rule is broken. Method: enumerate all inputs, both sides.
#include "replication/core/baton.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace baton::replication {
namespace {

std::vector<BatonFacts> every_node(const std::string& name, bool two_primaries) {
  std::vector<BatonFacts> all;
  for (std::uint64_t number = 0; number <= 2; ++number) {
    for (const char* holder : {"", "alpha", "beta"}) {
      // Epoch 0 is nobody's; of a later one somebody is the holder.
      if ((number == 0) != (*holder == '\0')) continue;
      for (unsigned bits = 0; bits < 32; ++bits) {
        const auto bit = [bits](unsigned n) { return (bits >> n & 1U) != 0; };
        BatonFacts facts{.name = name, .epoch = {number, holder}};
        facts.holding = bit(0);
        facts.role = bit(1) ? Role::primary : Role::secondary;
        facts.wrote_alone = bit(2);
        facts.resume_primary = bit(3);
        facts.served = bit(4);
        facts.two_primaries = two_primaries;
        // A Primary, not the holder itself.
        if (facts.served && (facts.holding || facts.role != Role::primary)) continue;
        // Who holds has recorded an epoch of its own.
        if (facts.holding && facts.epoch.holder != name) continue;
        all.push_back(facts);
      }
    }
  }
  return all;
}

const Verdict data_verdicts[] = {
    {"wait", Action::wait, Direction::none, {}},
    {"in-sync", Action::settle_bits, Direction::none, {}},
    {"settle", Action::settle_bits, Direction::self_to_peer, {}},
    {"settle", Action::settle_bits, Direction::peer_to_self, {}},
    {"bitmap", Action::by_bitmap, Direction::self_to_peer, {}},
    {"bitmap", Action::by_bitmap, Direction::peer_to_self, {}},
    {"everything", Action::everything, Direction::self_to_peer, {}},
    {"everything", Action::everything, Direction::peer_to_self, {}},
    {"split-brain", Action::split_brain, Direction::none, {}},
    {"refuse", Action::refuse, Direction::none, {}},
};

Verdict as_seen_by_the_other(Verdict verdict) {
  if (verdict.direction == Direction::self_to_peer) {
    verdict.direction = Direction::peer_to_self;
  } else if (verdict.direction == Direction::peer_to_self) {
    verdict.direction = Direction::self_to_peer;
  }
  return verdict;
}

// "self-..." of one side is "peer-..." of the other.
std::string neutral(std::string_view row, bool ours) {
  const std::string prefix = ours ? "self-" : "peer-";
  if (!row.starts_with("self-") && !row.starts_with("peer-")) return std::string(row);
  const bool alpha = row.starts_with("self-") == ours;
  return (alpha ? "alpha-" : "beta-") + std::string(row.substr(prefix.size()));
}

// With `two`, two primaries are allowed.
void look_at_every_meeting(bool two, std::map<std::string, std::uint64_t>& reached) {
  for (const BatonFacts& alpha : every_node("alpha", two)) {
    for (const BatonFacts& beta : every_node("beta", two)) {
      for (const Verdict& data : data_verdicts) {
        const BatonVerdict ours = assign_baton(alpha, beta, data);
        const BatonVerdict theirs = assign_baton(beta, alpha, as_seen_by_the_other(data));
        ++reached[std::string(ours.row)];
        ASSERT_EQ(neutral(ours.row, true), neutral(theirs.row, false));
        ASSERT_EQ(ours.holder, theirs.holder) << ours.row;
        ASSERT_EQ(ours.epoch, theirs.epoch) << ours.row;
        ASSERT_EQ(ours.refuse, data.action == Action::refuse);
        ASSERT_EQ(ours.refuse, theirs.refuse);
        ASSERT_GE(ours.epoch, std::max(alpha.epoch.number, beta.epoch.number));

        // Only a holder writes: a Primary that is none stops, unless the holder serves it and is no
        // Primary itself, or both may be. Only a holder is promoted again.
        const bool somebody = !ours.holder.empty();
        if (somebody) {
          const bool alpha_stays = alpha.served && (two || beta.role != Role::primary);
          const bool beta_stays = beta.served && (two || alpha.role != Role::primary);
          ASSERT_EQ(ours.self_demoted,
                    alpha.role == Role::primary && ours.holder != "alpha" && !alpha_stays);
          ASSERT_EQ(theirs.self_demoted,
                    beta.role == Role::primary && ours.holder != "beta" && !beta_stays);
        } else {
          ASSERT_FALSE(ours.self_demoted || theirs.self_demoted) << ours.row;
        }
        const bool alpha_ends =
            ours.self_promoted || (alpha.role == Role::primary && !ours.self_demoted);
        const bool beta_ends =
            theirs.self_promoted || (beta.role == Role::primary && !theirs.self_demoted);
        if (somebody && alpha_ends && beta_ends) {
          ASSERT_TRUE(two) << ours.row;
          ASSERT_TRUE(ours.holder == "alpha" ? beta.served : alpha.served) << ours.row;
        }
        if (ours.self_promoted) ASSERT_TRUE(ours.holder == "alpha" && alpha.resume_primary);
        if (theirs.self_promoted) ASSERT_TRUE(ours.holder == "beta" && beta.resume_primary);

        // An epoch number has one holder: who takes a number that is known already is its holder.
        for (const BatonFacts* known : {&alpha, &beta}) {
          if (somebody && known->epoch.number == ours.epoch) {
            ASSERT_EQ(known->epoch.holder, ours.holder) << ours.row;
          }
        }
        // Nobody writes through a copy that is being overwritten.
        const bool copies = data.action == Action::everything || data.action == Action::by_bitmap;
        const char* target = data.direction == Direction::self_to_peer ? "beta" : "alpha";
        if (copies) ASSERT_NE(ours.holder, target) << ours.row;
        if (copies || data.action == Action::settle_bits) {
          ASSERT_TRUE(somebody || (alpha.wrote_alone && beta.wrote_alone)) << ours.row;
        }
      }
    }
  }
}

TEST(BatonTable, both_sides_name_the_same_holder_and_no_rule_is_broken) {
  std::map<std::string, std::uint64_t> reached;
  look_at_every_meeting(false, reached);
  look_at_every_meeting(true, reached);
  for (const char* row : {"refused", "split-brain", "no-data-yet", "both-wrote", "self-wrote-alone",
                          "peer-wrote-alone", "higher-epoch", "equal-epochs", "self-holds",
                          "peer-holds", "self-takes", "peer-takes", "source-takes"}) {
    EXPECT_GT(reached[row], 0U) << row << " is never reached";
  }
  EXPECT_EQ(reached.size(), 13U) << "a row without a name in this test";
}

constexpr DiskState every_disk[] = {
    DiskState::diskless, DiskState::attaching, DiskState::failed,     DiskState::inconsistent,
    DiskState::outdated, DiskState::unknown,   DiskState::consistent, DiskState::up_to_date};

TEST(PromotionTable, no_copy_is_promoted_without_a_witness_or_an_operators_confirmed_word) {
  std::map<std::string, std::uint64_t> reached;
  for (unsigned bits = 0; bits < 2048; ++bits) {
    const auto bit = [bits](unsigned n) { return (bits >> n & 1U) != 0; };
    for (const DiskState disk : every_disk) {
      PromotionFacts facts{.already_primary = bit(0),
                           .connected = bit(1),
                           .peer_primary = bit(2),
                           .peer_holds = bit(8),
                           .disk = disk,
                           .fresh = bit(3),
                           .peer_has_data = bit(4),
                           .split_brain = bit(5),
                           .two_primaries = bit(9),
                           .holding = bit(10),
                           .force = bit(6),
                           .confirmed = bit(7)};
      const PromotionVerdict verdict = decide_promotion(facts);
      ++reached[std::string(verdict.row)];
      const bool says_no =
          verdict.action == PromotionAction::refuse || verdict.action == PromotionAction::confirm;
      ASSERT_EQ(says_no, !verdict.sentence.empty()) << verdict.row;
      ASSERT_EQ(verdict.action == PromotionAction::nothing, facts.already_primary);
      if (verdict.action == PromotionAction::confirm) {
        ASSERT_TRUE(facts.force && !facts.confirmed) << verdict.row;
      }
      const bool takes = verdict.action == PromotionAction::take_alone ||
                         verdict.action == PromotionAction::take_from_peer ||
                         verdict.action == PromotionAction::start_fresh;
      // Beside another Primary only where both may be, and by the holder's leave or as the holder.
      if (verdict.action == PromotionAction::share) {
        ASSERT_TRUE(facts.two_primaries && facts.peer_primary && facts.peer_holds);
      }
      if (!takes) continue;
      if (facts.peer_primary) {
        ASSERT_TRUE(facts.two_primaries && facts.holding) << verdict.row;
        ASSERT_EQ(verdict.action, PromotionAction::take_alone);
        continue;
      }
      ASSERT_GT(disk, DiskState::failed) << verdict.row;
      // Of nodes that can talk nobody takes the baton on its own word (rule 3), but in a split
      // brain, where an operator says so.
      const bool own_word = verdict.action != PromotionAction::take_from_peer;
      if (facts.connected && own_word) ASSERT_TRUE(facts.split_brain) << verdict.row;
      const bool witness = disk == DiskState::up_to_date && !facts.split_brain;
      if (verdict.action == PromotionAction::start_fresh) {
        ASSERT_TRUE(facts.force && (facts.confirmed || !facts.peer_has_data));
      } else if (!witness) {
        ASSERT_TRUE(facts.force && facts.confirmed) << verdict.row;
      }
    }
  }
  EXPECT_EQ(reached.size(), 21U) << "a row more or less than this test knows";
}

TEST(RestartTable, a_copy_claims_only_what_its_record_bears_out) {
  for (unsigned bits = 0; bits < 1024; ++bits) {
    const auto bit = [bits](unsigned n) { return (bits >> n & 1U) != 0; };
    const RestartFacts facts{.has_lineage = bit(0),
                             .complete = bit(1),
                             .outdated = bit(2),
                             .every_peer_behind = bit(3),
                             .single_node = bit(4),
                             .clean = bit(5),
                             .last_holder = bit(6),
                             .same_boot = bit(7),
                             .stopped_in_order = bit(8),
                             .doubtful = bit(9)};
    const DiskState disk = state_after_restart(facts);
    const bool whole = facts.has_lineage && facts.complete;
    ASSERT_EQ(disk == DiskState::inconsistent, !whole);
    if (disk == DiskState::up_to_date && !facts.single_node) {
      ASSERT_FALSE(facts.outdated);
      ASSERT_TRUE(facts.every_peer_behind || (facts.clean && facts.last_holder));
    }
    const Arrival arrival = arrival_after_restart(facts);
    ASSERT_NE(arrival, Arrival::lived_through);
    ASSERT_EQ(arrival == Arrival::clean, facts.clean);
    if (facts.doubtful && !facts.clean) ASSERT_EQ(arrival, Arrival::crashed);
    if (arrival == Arrival::restarted) ASSERT_TRUE(facts.same_boot || facts.stopped_in_order);
  }
}

}  // namespace
}  // namespace baton::replication
