#include "replication/core/baton.h"

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"

namespace baton::replication {
namespace {

// The holder is another: who was Primary by holding the baton is none any more. Who is served by
// the holder stays, unless that has become Primary itself and only one may be.
bool loses_role(const BatonFacts& self, const BatonFacts& holder) {
  const bool stays = self.served && (holder.role != Role::primary || self.two_primaries);
  return self.role == Role::primary && !stays;
}

// What it was before its restart, unless the other has become Primary meanwhile and is served.
bool takes_role_again(const BatonFacts& self, const BatonFacts& peer) {
  const bool peer_stays = peer.served && peer.role == Role::primary && !self.two_primaries;
  return self.role != Role::primary && self.resume_primary && !peer_stays;
}

BatonVerdict keep(std::string_view row, const BatonFacts& holder, const BatonFacts& self,
                  const BatonFacts& other) {
  BatonVerdict verdict{.row = row, .holder = holder.name};
  const bool newest = holder.epoch.number > other.epoch.number ||
                      (holder.epoch == other.epoch && holder.epoch.holder == holder.name);
  // A holder whose record is not the newest, or not its own, takes the next number.
  verdict.epoch = newest && holder.epoch.holder == holder.name
                      ? holder.epoch.number
                      : std::max(holder.epoch.number, other.epoch.number) + 1;
  verdict.self_demoted = holder.name != self.name && loses_role(self, holder);
  verdict.self_promoted = holder.name == self.name && takes_role_again(self, other);
  return verdict;
}

// Nobody holds: the source of a copy if there is one, else the last holder by epoch, else by name.
// True if self is the one to take it.
bool self_is_first_choice(const BatonFacts& self, const BatonFacts& peer, const Verdict& data) {
  if (data.direction != Direction::none) return data.direction == Direction::self_to_peer;
  if (self.epoch.number != peer.epoch.number) return self.epoch.number > peer.epoch.number;
  const bool ours = self.epoch.holder == self.name;
  const bool theirs = peer.epoch.holder == peer.name;
  if (ours != theirs) return ours;
  return self.name < peer.name;
}

BatonVerdict two_holders(const BatonFacts& self, const BatonFacts& peer) {
  if (self.wrote_alone && peer.wrote_alone) {
    reached("two-holders-both-wrote");
    return {.row = "both-wrote"};
  }
  if (self.wrote_alone) return keep("self-wrote-alone", self, self, peer);
  if (peer.wrote_alone) return keep("peer-wrote-alone", peer, self, self);
  if (self.epoch.number != peer.epoch.number) {
    const bool ours = self.epoch.number > peer.epoch.number;
    return keep("higher-epoch", ours ? self : peer, self, ours ? peer : self);
  }
  reached("two-holders-of-one-epoch");
  const bool ours = self.role != peer.role ? self.role == Role::primary : self.name < peer.name;
  return keep("equal-epochs", ours ? self : peer, self, ours ? peer : self);
}

}  // namespace

BatonVerdict assign_baton(const BatonFacts& self, const BatonFacts& peer, const Verdict& data) {
  const std::uint64_t highest = std::max(self.epoch.number, peer.epoch.number);
  if (data.action == Action::refuse) return {.row = "refused", .epoch = highest, .refuse = true};
  if (data.action == Action::split_brain) return {.row = "split-brain", .epoch = highest};
  if (data.action == Action::wait) return {.row = "no-data-yet", .epoch = highest};

  BatonVerdict verdict;
  if (self.holding && peer.holding) {
    verdict = two_holders(self, peer);
    if (verdict.holder.empty()) verdict.epoch = highest;
  } else if (self.holding) {
    verdict = keep("self-holds", self, self, peer);
  } else if (peer.holding) {
    verdict = keep("peer-holds", peer, self, self);
  } else {
    const bool ours = self_is_first_choice(self, peer, data);
    const BatonFacts& chosen = ours ? self : peer;
    verdict = keep(ours ? "self-takes" : "peer-takes", chosen, self, ours ? peer : self);
  }

  // Only a complete copy may be written through: the source of a copy holds, whoever held before
  // (settle() has refused the case that a Primary would be the target).
  const bool self_is_target = data.direction == Direction::peer_to_self;
  const bool peer_is_target = data.direction == Direction::self_to_peer;
  const bool copies = data.action == Action::everything || data.action == Action::by_bitmap;
  // Both wrote, and an operator has given one copy up: that is the end of it.
  const bool given_up = data.action == Action::everything && verdict.holder.empty();
  if (copies && self_is_target && (verdict.holder == self.name || given_up)) {
    verdict = {.row = "source-takes",
               .holder = peer.name,
               .epoch = highest + 1,
               .self_demoted = loses_role(self, peer)};
  } else if (copies && peer_is_target && (verdict.holder == peer.name || given_up)) {
    verdict = {.row = "source-takes",
               .holder = self.name,
               .epoch = highest + 1,
               .self_promoted = takes_role_again(self, peer)};
  }
  return verdict;
}

PromotionVerdict decide_promotion(const PromotionFacts& facts) {
  using A = PromotionAction;
  const bool may = facts.force && facts.confirmed;
  if (facts.already_primary) return {"already-primary", A::nothing, {}};
  if (mutant("promote-without-connection-check") && facts.disk == DiskState::up_to_date) {
    return {"up-to-date-alone", A::take_alone, {}};
  }
  if (facts.peer_primary && facts.two_primaries && !facts.split_brain) {
    if (facts.holding) return {"shares-as-the-holder", A::take_alone, {}};
    if (facts.peer_holds) return {"shares-with-the-holder", A::share, {}};
    return {"holder-cannot-serve-yet", A::refuse,
            "it holds the baton and cannot serve this node yet; wait with wait-sync"};
  }
  if (facts.peer_primary) {
    return {"peer-is-primary", A::refuse, "demote it there first, or use handover"};
  }
  const bool lacks_copy = facts.disk < DiskState::up_to_date && !facts.fresh;
  if (facts.peer_holds && lacks_copy && !facts.split_brain) {
    return {"served-by-the-holder", A::take_role, {}};
  }
  if (facts.disk <= DiskState::failed) {
    return {"no-disk", A::refuse, "this node's disk is not attached; attach it first"};
  }
  if (facts.fresh && !facts.connected) {
    if (!facts.force) {
      return {"fresh-needs-force", A::refuse,
              "no copy has data yet; say which one is the first with primary --force"};
    }
    if (facts.peer_has_data && !facts.confirmed) {
      reached("fresh-over-data");
      return {"fresh-over-data", A::confirm,
              "the other node's copy holds data and would not be used"};
    }
    return {"fresh", A::start_fresh, {}};
  }
  if (facts.disk == DiskState::up_to_date && !facts.split_brain) {
    return facts.connected ? PromotionVerdict{"up-to-date-connected", A::take_from_peer, {}}
                           : PromotionVerdict{"up-to-date-alone", A::take_alone, {}};
  }
  if (facts.split_brain) {
    if (may) {
      reached("forced-in-split-brain");
      return {"split-brain-forced", A::take_alone, {}};
    }
    return {"split-brain", facts.force ? A::confirm : A::refuse,
            "both copies were written since they parted; resolve first, or force this side"};
  }
  // Connected to a holder, and not UpToDate: the copy is being filled, or the baton has just been
  // granted away. A promotion, even a forced one, would make two holders of nodes that can talk
  // (rule 3).
  if (facts.connected) {
    return {"sync-target", A::refuse,
            "this copy is still being filled, or the baton is on its way to the other node; wait "
            "with wait-sync"};
  }
  if (facts.disk == DiskState::consistent) {
    if (may) {
      reached("forced-consistent");
      return {"consistent-forced", A::take_alone, {}};
    }
    if (facts.fenced) return {"consistent-fenced", A::take_alone, {}};
    if (facts.may_fence && !facts.force) return {"consistent-to-be-fenced", A::fence, {}};
    return {"consistent", facts.force ? A::confirm : A::refuse,
            "the other node cannot be asked and may be Primary or have newer data: two writers or "
            "lost writes are possible"};
  }
  if (facts.disk == DiskState::outdated) {
    if (may) {
      reached("forced-outdated");
      return {"outdated-forced", A::take_alone, {}};
    }
    return {"outdated", facts.force ? A::confirm : A::refuse,
            "this copy is known to lack newer writes: they would be lost"};
  }
  if (may) {
    reached("forced-inconsistent");
    return {"inconsistent-forced", A::take_alone, {}};
  }
  return {"inconsistent", facts.force ? A::confirm : A::refuse,
          "this copy is half-synced: it is a mixture of old and new blocks"};
}

DiskState state_after_restart(const RestartFacts& facts) {
  if (!facts.complete || !facts.has_lineage) return DiskState::inconsistent;
  if (facts.single_node) return DiskState::up_to_date;
  if (facts.outdated) return DiskState::outdated;
  if (mutant("restarted-copy-is-up-to-date")) return DiskState::up_to_date;
  if (facts.every_peer_behind) return DiskState::up_to_date;
  // The last to leave in order: nobody can have written since.
  if (facts.clean && facts.last_holder) return DiskState::up_to_date;
  return DiskState::consistent;
}

Arrival arrival_after_restart(const RestartFacts& facts) {
  if (facts.clean) return Arrival::clean;
  if (mutant("doubt-forgotten") && facts.same_boot) return Arrival::restarted;
  const bool has_what_it_wrote = facts.same_boot || facts.stopped_in_order;
  return has_what_it_wrote && !facts.doubtful ? Arrival::restarted : Arrival::crashed;
}

}  // namespace baton::replication
