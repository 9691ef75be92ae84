// Two nodes of which one has no usable copy: the other serves it, or nobody can (design §5 "Never
// from an incomplete copy"; docs/replication.md "A node without its disk"). Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "replication/core/baton.h"
#include "replication/core/lineage.h"

namespace baton::replication {

// What a node says of itself when one of the two has no usable disk. A node whose disk has failed
// since it started still knows the lineage of what it had.
struct ServiceFacts {
  bool complete = false;  // an image of its own tip
  Lineage lineage;
  Epoch epoch;
  bool holding = false;
  bool primary = false;
  // Primary, and its writes go through the holder: its role does not hang on the baton.
  bool served = false;
  bool resume_primary = false;  // was Primary in this boot and may take its role again
  Arrival arrival = Arrival::crashed;
  // Its copy took part in the last session that the other remembers, and every write that was
  // acknowledged to a client had been answered by the other's disk when that session ended.
  bool same_session = false;
  bool peer_lacks = false;
  bool two_primaries = false;  // allowed, on both
};

// What becomes of them. The node with the disk holds the baton unless the two are refused.
struct ServiceVerdict {
  std::string_view row;
  bool refuse = false;
  std::string_view sentence;     // for a person, when refused
  std::uint64_t epoch = 0;       // in force, held by the node with the disk
  bool diskless_stays = false;   // Primary all the same: its writes go through the other
  bool holder_promoted = false;  // takes its role of before its restart again
  bool holder_demoted = false;   // it gave its role away, and has not heard that it was taken
  friend bool operator==(const ServiceVerdict&, const ServiceVerdict&) = default;
};

// The same call on both sides: `with` is the node that has a disk, `without` the other.
ServiceVerdict settle_service(const ServiceFacts& with, const ServiceFacts& without);

}  // namespace baton::replication
