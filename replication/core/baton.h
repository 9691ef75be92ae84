// The baton: who may write (design §4). Pure decisions; engine/ carries them out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "replication/core/lineage.h"
#include "replication/core/states.h"

namespace baton::replication {

// Write authority: at most one holder per number; a record is durable before it is acted on.
struct Epoch {
  std::uint64_t number = 0;
  std::string holder;  // node name; empty: nobody
  friend bool operator==(const Epoch&, const Epoch&) = default;
};

// What a node knows about the baton when it meets its peer.
struct BatonFacts {
  std::string name;
  Epoch epoch;           // highest it has recorded or seen
  bool holding = false;  // admits on its own word now
  Role role = Role::secondary;
  bool served = false;  // Primary, and its writes go through the holder: not bound to the baton
  bool wrote_alone = false;  // made a generation since the two parted
  bool resume_primary =
      false;                   // was Primary in this boot and may take its role again (auto-resume)
  bool two_primaries = false;  // allowed, on both
};

// Who holds the baton from now on in this session, and in which epoch.
struct BatonVerdict {
  std::string_view row;
  std::string holder;          // empty: nobody (split brain, or no data yet)
  std::uint64_t epoch = 0;     // number of the epoch in force
  bool self_demoted = false;   // this side was Primary and must stop
  bool self_promoted = false;  // this side takes its role of before the restart again
  bool refuse = false;         // the two must not talk: see `row`
  friend bool operator==(const BatonVerdict&, const BatonVerdict&) = default;
};

// Decided after settle(): the holder must be the source of whatever is copied.
BatonVerdict assign_baton(const BatonFacts& self, const BatonFacts& peer, const Verdict& data);

// --- `primary` ---------------------------------------------------------------------------------

struct PromotionFacts {
  bool already_primary = false;
  bool connected = false;
  bool peer_primary = false;  // connected, and it says so
  bool peer_holds = false;    // connected, and it can serve this node
  DiskState disk = DiskState::diskless;
  bool fresh = false;          // no generation yet
  bool peer_has_data = false;  // connected, and its copy was adopted or has generations
  bool split_brain = false;
  bool two_primaries = false;  // allowed, on both
  bool holding = false;
  bool force = false;
  bool confirmed = false;
  // A handler can be asked to fence the peer, and its word would do: this copy has lived through
  // the loss, and nobody has left (a holder goes on alone behind a goodbye).
  bool may_fence = false;
  bool fenced = false;  // it was asked just now: the peer is out
};

enum class PromotionAction : std::uint8_t {
  nothing,         // is Primary already
  take_from_peer,  // ask the connected holder, who is Secondary
  take_role,       // the connected holder, who is Secondary, keeps the baton and serves this node
  share,           // the same of one that is Primary and stays so
  take_alone,      // nobody to ask: next epoch on our own word
  fence,           // ask the handler, then decide again
  start_fresh,     // first generation of a new resource
  confirm,         // name the risk and ask
  refuse,
};

struct PromotionVerdict {
  std::string_view row;
  PromotionAction action = PromotionAction::refuse;
  std::string_view sentence;  // the risk to confirm, or why it is refused and what to do
};

PromotionVerdict decide_promotion(const PromotionFacts& facts);

// --- the state of a copy that nobody vouches for yet (rule 4) ------------------------------------

struct RestartFacts {
  bool has_lineage = false;
  bool complete = false;
  bool outdated = false;
  bool every_peer_behind = false;  // durable mark, for every other node of the resource
  bool single_node = false;
  bool clean = false;             // stopped in order, after it had met its peer
  bool last_holder = false;       // its record names itself as holder
  bool same_boot = false;         // the host ran on since the record was written
  bool stopped_in_order = false;  // all that it had written is on the disk
  bool doubtful = false;          // it was already one that may lack something
};

DiskState state_after_restart(const RestartFacts& facts);
Arrival arrival_after_restart(const RestartFacts& facts);

}  // namespace baton::replication
