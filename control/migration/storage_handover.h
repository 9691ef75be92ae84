// The door to the storage: one resource, all its volumes together (design §4, "Who asks" (b)).
//
// Whoever implements it speaks to the daemons of both nodes; the coordinator speaks to it only. The
// source node S holds the baton at first. Every verb returns by its deadline, and where the session
// between the nodes breaks meanwhile, it uses what is left of the deadline to learn from the next
// session where the baton is.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"

namespace baton::control::migration {

// Where the baton is *after* a verb. `undecided`: a GRANT was sent and no session has settled yet
// whether it arrived. S then holds its clients, D admits only if the GRANT did arrive.
enum class BatonAt : std::uint8_t { source, destination, undecided };

struct HandoverAnswer {
  BatonAt baton = BatonAt::undecided;
  std::string reason;  // for a person, where it is not where the verb wanted it
};

class StorageHandover {
 public:
  virtual ~StorageHandover() = default;

  // Checks, changes nothing: connected, no split brain, S holds the baton, every volume UpToDate on
  // both nodes and of one size, no other window or offer open. Fails with one sentence.
  virtual Task<Result<>> prepare(TimePoint deadline) = 0;

  // S stops admitting writes, has everything acknowledged or in flight written and flushed on both
  // copies, records the offer for D, and admits again. S still holds the baton. From then until the
  // offer ends, whichever comes first decides:
  //  - a write of a client of S: it is admitted at once and voids the offer for good;
  //  - D's first write, or grant(): S sends the GRANT;
  //  - take_back(), or the end of the session: the offer is void.
  // It has no timer: an open offer delays nobody. FLUSH and reads, on either node, do not touch it.
  // On failure nothing is offered and S admits writes as before.
  virtual Task<Result<>> quiesce_and_offer(TimePoint deadline) = 0;

  // The coordinator's word that D's guest runs (or is complete and only waits for `cont`). Answers
  // `destination` once D has taken the baton durably, at once if its first write had brought it
  // already; `source` if no offer is open, with nothing changed.
  virtual Task<HandoverAnswer> grant(TimePoint deadline) = 0;

  // Ends the offer, or gets back a baton that was granted and never used. Answers `source` once S
  // is the holder and admits writes, at once if it never was otherwise; D's held first write is
  // then refused. Answers `destination` if D has admitted a write in its epoch: nothing is changed
  // (that guest is the newer one). An implementation may answer so for every granted baton.
  virtual Task<HandoverAnswer> take_back(TimePoint deadline) = 0;
};

}  // namespace baton::control::migration
