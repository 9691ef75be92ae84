#include "replication/core/lineage.h"

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"

namespace baton::replication {
namespace {

bool contains(const Lineage& lineage, GenerationId id) {
  return std::find(lineage.begin(), lineage.end(), id) != lineage.end();
}

GenerationId tip_of(const Lineage& lineage) {
  return lineage.empty() ? 0 : lineage.back();
}

Direction opposite(Direction direction) {
  switch (direction) {
    case Direction::none:
      return Direction::none;
    case Direction::self_to_peer:
      return Direction::peer_to_self;
    case Direction::peer_to_self:
      return Direction::self_to_peer;
  }
  return Direction::none;
}

Verdict mirrored(Verdict verdict) {
  verdict.direction = opposite(verdict.direction);
  return verdict;
}

// The source's bitmap for the target is right only if the target still is the copy that the bitmap
// was filled for: at the base, at a generation it was told since, or on its way to one of ours.
bool bitmap_fits(const CopyFacts& source, const CopyFacts& target) {
  const GenerationId tip = tip_of(target.lineage);
  const bool known_copy = tip == source.slot_base || (tip != 0 && tip == source.slot_told);
  if (target.towards.empty()) return known_copy;
  return known_copy && contains(source.lineage, tip_of(target.towards));
}

// A sync from `source` to `target`, self being the source; or why it must not be.
Verdict sync_verdict(const CopyFacts& source, const CopyFacts& target, std::string_view row,
                     Action action) {
  if (!source.complete) {
    reached("source-incomplete");
    return {"source-incomplete", Action::refuse, Direction::none,
            "the newer copy is itself incomplete; bring back the node it was syncing from, or "
            "promote one side with --force"};
  }
  if (target.role == Role::primary) {
    reached("primary-made-target");
    return {"primary-made-target", Action::refuse, Direction::none,
            "the side with the older data is Primary; demote it before it can be overwritten"};
  }
  if (target.adopted && !target.discard_my_data) {
    reached("adopted-never-target");
    return {"adopted-never-target", Action::refuse, Direction::none,
            "the side to be overwritten holds data that was not written through Baton; run "
            "connect --discard-my-data there if it may be lost"};
  }
  return {row, action, Direction::self_to_peer, {}};
}

// Of two copies of one generation, which is the source (design §5, row "equal").
Direction equal_direction(const CopyFacts& self, const CopyFacts& peer, Protocol protocol) {
  const auto pick = [](bool ours, bool theirs) {
    if (ours == theirs) return Direction::none;
    return ours ? Direction::self_to_peer : Direction::peer_to_self;
  };
  const bool reversed = mutant("crashed-copy-preferred");
  const Arrival ours = reversed ? peer.arrival : self.arrival;
  const Arrival theirs = reversed ? self.arrival : peer.arrival;
  const Direction order[] = {
      pick(self.complete, peer.complete),
      pick(self.holder, peer.holder),
      protocol == Protocol::a ? pick(self.writer, peer.writer) : pick(ours > theirs, theirs > ours),
      pick(self.epoch > peer.epoch, peer.epoch > self.epoch),
      pick(self.last_holder, peer.last_holder),
      pick(self.name < peer.name, peer.name < self.name),
  };
  for (const Direction direction : order) {
    if (direction != Direction::none) return direction;
  }
  return Direction::none;
}

Verdict equal_verdict(const CopyFacts& self, const CopyFacts& peer, Protocol protocol) {
  const Direction direction = equal_direction(self, peer, protocol);
  if (direction == Direction::peer_to_self) {
    return mirrored(sync_verdict(peer, self, "equal", Action::settle_bits));
  }
  return sync_verdict(self, peer, "equal", Action::settle_bits);
}

// `self` has the newer lineage.
Verdict fast_forward(const CopyFacts& self, const CopyFacts& peer) {
  if (bitmap_fits(self, peer)) {
    return sync_verdict(self, peer, "fast-forward-by-bitmap", Action::by_bitmap);
  }
  reached("fast-forward-everything");
  return sync_verdict(self, peer, "fast-forward-everything", Action::everything);
}

Verdict first_sync(const CopyFacts& self, const CopyFacts& peer) {
  const bool interrupted =
      (!peer.towards.empty() && bitmap_fits(self, peer)) || mutant("left-over-bitmap-is-believed");
  if (interrupted) {
    reached("first-sync-resumed");
    return sync_verdict(self, peer, "first-sync-resumed", Action::by_bitmap);
  }
  return sync_verdict(self, peer, "first-sync", Action::everything);
}

// Being overwritten with the other's history, by an operator's word that is carried out: what is
// left of its own is no history any more. The word was about the other copy as it was then, not
// about a disk from the past.
bool given_up(const CopyFacts& copy, const CopyFacts& other) {
  return !copy.towards.empty() && !other.old_session &&
         contains(other.lineage, tip_of(copy.towards));
}

Verdict discard(const CopyFacts& self, const CopyFacts& peer, std::string_view row) {
  bool self_yields = self.discard_my_data;
  bool peer_yields = peer.discard_my_data;
  // A word in favour of what is half this very copy is void: there is nothing else to keep
  // (schedules: discard-of-the-only-whole-copy).
  const bool half_counts = !mutant("loser-asked-again");
  const bool self_half = half_counts && given_up(self, peer);
  const bool peer_half = half_counts && given_up(peer, self);
  if (self_half != peer_half) {
    reached("half-overwritten-is-no-history");
    self_yields = self_half;
    peer_yields = peer_half;
  }
  if (self_yields == peer_yields) return {};
  const CopyFacts& kept = peer_yields ? self : peer;
  const CopyFacts& yields = peer_yields ? peer : self;
  const Verdict decided = sync_verdict(kept, yields, row, Action::everything);
  const bool first = yields.undo_first && loses_history(yields.lineage, kept.lineage);
  if (first && decided.action != Action::refuse) {
    return {"split-brain-undo-first", Action::split_brain, Direction::none,
            "the side that yields first keeps what it has alone"};
  }
  return peer_yields ? decided : mirrored(decided);
}

Verdict forked(const CopyFacts& self, const CopyFacts& peer) {
  const Verdict decided = discard(self, peer, "split-brain-discarded");
  if (!decided.row.empty()) return decided;
  return {"split-brain", Action::split_brain, Direction::none,
          "both sides wrote since they parted; decide with resolve --keep NODE"};
}

Verdict unrelated(const CopyFacts& self, const CopyFacts& peer) {
  const Verdict decided = discard(self, peer, "unrelated-discarded");
  if (!decided.row.empty()) return decided;
  reached("unrelated-data");
  return {"unrelated-data", Action::refuse, Direction::none,
          "the two copies have no history in common; run connect --discard-my-data on the node "
          "whose copy may be overwritten"};
}

// `past` is an older copy of itself, by what `other` remembers. What its lineage has beyond the
// other's was made on top of data that lacks acknowledged writes: two histories.
Verdict from_the_past(const CopyFacts& past, const CopyFacts& other, bool past_is_newer) {
  if (past_is_newer) {
    reached("past-made-a-history");
    return forked(other, past);
  }
  return sync_verdict(other, past, "copy-from-the-past", Action::everything);
}

// For two copies of which the lineages alone would say that one follows from the other.
Verdict settle_past(const CopyFacts& self, const CopyFacts& peer, Relation relation) {
  const Verdict decided = discard(self, peer, "copy-from-the-past-discarded");
  if (!decided.row.empty()) return decided;
  if (self.old_session && peer.old_session) {
    reached("both-from-the-past");
    return {"both-from-the-past", Action::refuse, Direction::none,
            "each node remembers a session that the other's disk does not know, so both disks are "
            "older copies of themselves; run connect --discard-my-data on the node whose copy may "
            "be overwritten"};
  }
  if (peer.old_session) return from_the_past(peer, self, relation == Relation::peer_newer);
  return mirrored(from_the_past(self, peer, relation == Relation::self_newer));
}

}  // namespace

bool loses_history(const Lineage& yields, const Lineage& kept) {
  if (yields.empty() || kept.empty() || yields.front() != kept.front()) return false;
  return !contains(kept, yields.back());
}

bool is_from_the_past(const Stamp& session, const Stamp& confirmed) {
  if (mutant("stamp-not-compared")) return false;
  if (session.number != confirmed.number) return session.number < confirmed.number;
  return session.id != confirmed.id;
}

Relation compare(const Lineage& self, const Lineage& peer) {
  if (self.empty() && peer.empty()) return Relation::both_empty;
  if (self.empty()) return Relation::self_empty;
  if (peer.empty()) return Relation::peer_empty;
  if (self.back() == peer.back()) return Relation::equal;
  if (mutant("history-not-compared"))
    return std::pair(self.size(), self.back()) > std::pair(peer.size(), peer.back())
               ? Relation::self_newer
               : Relation::peer_newer;
  const bool peer_tip_known = contains(self, peer.back());
  const bool self_tip_known = contains(peer, self.back());
  if (peer_tip_known && !self_tip_known) return Relation::self_newer;
  if (self_tip_known && !peer_tip_known) return Relation::peer_newer;
  return self.front() == peer.front() ? Relation::forked : Relation::unrelated;
}

void append_generation(Lineage& lineage, GenerationId id, std::size_t max, const Lineage& keep) {
  lineage.push_back(id);
  if (lineage.size() <= max) return;
  // Oldest first, but never the root, a base, or the newest two.
  for (auto at = lineage.begin() + 1; at + 2 < lineage.end(); ++at) {
    if (!contains(keep, *at)) {
      reached("history-too-long");
      lineage.erase(at);
      return;
    }
  }
}

Lineage half_way_history(const Lineage& own, const Lineage& towards) {
  Lineage history = own;
  if (tip_of(history) == tip_of(towards) && !history.empty()) history.pop_back();
  if (history.empty() && !towards.empty()) history.push_back(towards.front());
  return history;
}

Verdict settle(const CopyFacts& self, const CopyFacts& peer, Protocol protocol) {
  const Relation relation = compare(self.lineage, peer.lineage);
  const bool related = relation == Relation::equal || relation == Relation::self_newer ||
                       relation == Relation::peer_newer;
  if (related && (self.old_session || peer.old_session)) {
    return settle_past(self, peer, relation);
  }
  switch (relation) {
    case Relation::both_empty:
      return {"both-empty", Action::wait, Direction::none, {}};
    case Relation::self_empty:
      return mirrored(first_sync(peer, self));
    case Relation::peer_empty:
      return first_sync(self, peer);
    case Relation::equal:
      return equal_verdict(self, peer, protocol);
    case Relation::self_newer:
      return fast_forward(self, peer);
    case Relation::peer_newer:
      return mirrored(fast_forward(peer, self));
    case Relation::forked:
      return forked(self, peer);
    case Relation::unrelated:
      return unrelated(self, peer);
  }
  return {};
}

}  // namespace baton::replication
