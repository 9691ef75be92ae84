#include "replication/core/diskless.h"

#include <algorithm>

#include "base/mark.h"
#include "base/mutant.h"

namespace baton::replication {
namespace {

ServiceVerdict refused(std::string_view row, std::string_view sentence) {
  return {.row = row, .refuse = true, .sentence = sentence};
}

// The disk's node holds and its record is the newest: it keeps its number; else it takes the next.
std::uint64_t epoch_of(const ServiceFacts& with, const ServiceFacts& without, bool keeps) {
  const bool newest = with.epoch.number >= without.epoch.number;
  return keeps && newest ? with.epoch.number
                         : std::max(with.epoch.number, without.epoch.number) + 1;
}

}  // namespace

ServiceVerdict settle_service(const ServiceFacts& with, const ServiceFacts& without) {
  if (!with.complete) {
    return refused("no-complete-copy",
                   "one node has no usable disk and the other's copy is not complete; repair the "
                   "disk and attach it, or promote the other side with --force");
  }
  const Relation relation = compare(with.lineage, without.lineage);
  const bool follows = relation == Relation::equal || relation == Relation::self_newer ||
                       relation == Relation::peer_empty;
  // A copy that was being overwritten has no history of its own to lose.
  if (!follows && without.complete) {
    reached("served-copy-knows-more");
    return refused("lacks-writes",
                   "the copy that is left lacks writes of the node whose disk has failed; repair "
                   "that disk and attach it, or promote the other side with --force");
  }
  // Beside a holder that is Primary, too.
  const bool may_stay = !with.primary || with.two_primaries;
  if (with.holding) {
    const bool stays = without.primary && without.served && may_stay;
    return {.row = "served",
            .epoch = epoch_of(with, without, with.epoch.number >= without.epoch.number),
            .diskless_stays = stays};
  }
  if (without.holding && relation == Relation::equal) {
    // Its disk has failed and nobody has taken over yet. What it has acknowledged must be there.
    const bool has_all = with.arrival == Arrival::lived_through && with.same_session;
    if ((!has_all || without.peer_lacks) && !mutant("serves-what-it-lacks")) {
      reached("both-copies-have-failed");
      return refused("both-have-failed",
                     "one node's disk has failed, and the other's copy may lack what was "
                     "acknowledged there; repair the disk and attach it, or promote the other side "
                     "with --force");
    }
    return {.row = "takes-over",
            .epoch = epoch_of(with, without, false),
            .diskless_stays = without.primary,
            .holder_demoted = without.primary && !may_stay && !mutant("grantor-stays-primary")};
  }
  // Of two copies of one generation the other would be the source, if it were there.
  const bool worse = relation == Relation::equal && without.complete && !without.lineage.empty() &&
                     with.arrival < std::min(without.arrival, Arrival::restarted);
  if (worse && !mutant("crashed-copy-serves")) {
    reached("crashed-copy-does-not-serve");
    return refused("crashed",
                   "the copy that is left has crashed and may lack what was acknowledged; attach "
                   "the other node's disk, or promote this side with --force");
  }
  // What a crash has taken from the only copy, a client that lived on would miss.
  // A later epoch than the one that the other was served in is somebody else's.
  const bool same_epoch = with.epoch.number == without.epoch.number;
  const bool has_what_it_wrote = with.arrival != Arrival::crashed && same_epoch;
  if (without.served && !has_what_it_wrote) reached("served-by-a-crashed-copy");
  const bool trusts = has_what_it_wrote || mutant("served-by-a-crashed-copy");
  const bool was_served = without.primary && without.served && may_stay;
  return {.row = "disk-takes",
          .epoch = epoch_of(with, without, false),
          .diskless_stays = was_served && trusts && (!with.resume_primary || with.two_primaries),
          .holder_promoted = with.resume_primary};
}

}  // namespace baton::replication
