#include "replication/core/range_lock.h"

#include "base/assert.h"
#include "base/mutant.h"

namespace baton::replication {

bool RangeLock::enter(RangeClaim& claim) {
  BATON_ASSERT(!claim.is_linked(), "a claim is in the lock at most once");
  claim.blockers_ = 0;
  claim.on_granted_ = nullptr;
  for (const RangeClaim& earlier : claims_) {
    if (claim.conflicts_with(earlier)) ++claim.blockers_;
  }
  claims_.push_back(claim);
  claim.waiting_ = claim.blockers_ > 0 && !mutant("overlap-not-ordered");
  return !claim.waiting_;
}

bool RangeLock::wait(RangeClaim& claim, RangeClaim::Granted granted, void* context) {
  BATON_ASSERT(claim.is_linked(), "only what has entered can wait");
  if (!claim.waiting_) return true;
  claim.on_granted_ = granted;
  claim.context_ = context;
  return false;
}

void RangeLock::release(RangeClaim& claim) {
  BATON_ASSERT(claim.is_linked(), "only what has entered can be released");
  auto later = claims_.iterator_to(claim);
  later = claims_.erase(later);
  // Count first, tell afterwards: whoever is granted may acquire or release at once.
  bool somebody = false;
  for (; later != claims_.end(); ++later) {
    if (!later->conflicts_with(claim)) continue;
    BATON_ASSERT(later->blockers_ > 0, "every earlier conflict was counted");
    --later->blockers_;
    somebody = somebody || later->blockers_ == 0;
  }
  while (somebody) somebody = grant_next();
}

bool RangeLock::grant_next() {
  for (RangeClaim& claim : claims_) {
    if (!claim.waiting_ || claim.blockers_ > 0) continue;
    claim.waiting_ = false;
    if (claim.on_granted_ != nullptr) claim.on_granted_(claim);
    return true;
  }
  return false;
}

bool RangeLock::written_in(std::uint64_t offset, std::uint64_t length) const {
  const RangeClaim probe(offset, length, false);
  for (const RangeClaim& claim : claims_) {
    if (probe.conflicts_with(claim)) return true;
  }
  return false;
}

}  // namespace baton::replication
