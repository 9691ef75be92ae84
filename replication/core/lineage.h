// Lineage: whose data is newer (design §5). Pure.
//
// A lineage is the list of generations a copy went through, root first. Comparing two copies is
// comparing two histories, as with git; what is done about the difference is settle()'s verdict,
// a table with named rows whose two sides always complement each other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "replication/core/states.h"

namespace baton::replication {

using GenerationId = std::uint64_t;         // random, never 0
using Lineage = std::vector<GenerationId>;  // root first, newest last

enum class Relation : std::uint8_t {
  both_empty,
  self_empty,
  peer_empty,
  equal,
  self_newer,  // the peer's tip lies in our history
  peer_newer,
  forked,  // a common root, but each has what the other has not
  unrelated,
};

Relation compare(const Lineage& self, const Lineage& peer);

// Appends `id`. When the list would grow past `max`, an id from the middle is dropped: the root and
// the ids in `keep` (bases of peers) stay for ever (schedules: tip-fell-off).
void append_generation(Lineage& lineage, GenerationId id, std::size_t max, const Lineage& keep);

// The history of a copy that is to be used although it is half on its way to `towards`: its own,
// without a tip that it no longer has whole. With a generation appended it forks from `towards`
// (schedules: forced-half-way).
Lineage half_way_history(const Lineage& own, const Lineage& towards);

// True if a copy with history `yields` has something that one with `kept` has not, though both come
// from one root: what is to be kept before it is overwritten.
bool loses_history(const Lineage& yields, const Lineage& kept);

// A session between two nodes, as both stamp it on their superblocks.
struct Stamp {
  std::uint64_t number = 0;
  std::uint64_t id = 0;  // random: of two histories, the same number is not the same session
};

// True if a disk with `session` as its newest stamp cannot be the one that took part in
// `confirmed`, which the other node knows both sides to have stamped: it is an older copy of itself
// (schedules: disk-from-the-past). A copy from within the newest session looks like the disk.
bool is_from_the_past(const Stamp& session, const Stamp& confirmed);

// How a node came to this handshake, the better the higher: of two copies of one generation, the
// higher has at least what was acknowledged in it (B: but for what was only received).
enum class Arrival : std::uint8_t {
  crashed,        // its host's power may have failed, or its disk has: may lack what it has written
  restarted,      // its daemon was killed and its host ran on: has all that it had written
  clean,          // stopped in order
  lived_through,  // has been running since it last met the other
};

// Everything the verdict looks at, for one side. `slot` facts are what this side remembers about
// the other copy.
struct CopyFacts {
  std::string name;  // of the node
  Lineage lineage;
  Lineage towards;               // an interrupted sync target on its way to this
  bool complete = false;         // an image of its own tip
  bool adopted = false;          // held data before it was Baton's
  bool discard_my_data = false;  // the operator gave this copy up
  bool undo_first = false;       // what only this copy has is to be kept before, and is not yet
  bool holder = false;           // holds the baton now
  Role role = Role::secondary;
  Arrival arrival = Arrival::crashed;
  bool writer = false;         // last wrote under protocol A (has what the peer may lack)
  std::uint64_t epoch = 0;     // highest known
  bool last_holder = false;    // its record names itself as holder of that epoch
  bool old_session = false;    // is_from_the_past(), by what the other side remembers
  GenerationId slot_base = 0;  // generation the other copy had when our bitmap began to fill
  GenerationId slot_told = 0;  // generation the other was told to adopt since
};

enum class Action : std::uint8_t {
  wait,         // nothing to do until an operator says `primary --force`
  settle_bits,  // same generation: compare or copy the union of both bitmaps, in `direction`
  by_bitmap,    // copy the union of both bitmaps
  everything,   // copy the whole volume; target zeroed where the source has a hole
  split_brain,  // connected, replication off, until `resolve`
  refuse,       // the connection is refused; `sentence` says what to do
};

enum class Direction : std::uint8_t { none, self_to_peer, peer_to_self };

struct Verdict {
  std::string_view row;  // the log word and the test's name
  Action action = Action::wait;
  Direction direction = Direction::none;
  std::string_view sentence;  // for a person, when action is refuse or split_brain

  friend bool operator==(const Verdict&, const Verdict&) = default;
};

// Both sides call this with their own view and reach complementary verdicts.
Verdict settle(const CopyFacts& self, const CopyFacts& peer, Protocol protocol);

}  // namespace baton::replication
