// A request on its way to the medium of a SimDisk; for the parts of SimDisk.
#pragma once

#include "tests/simulation/sim_disk.h"

namespace baton::sim {

struct SimDisk::InFlight : Timer, Runnable {
  explicit InFlight(SimDisk& owner)
      : Timer(&SimDisk::land, this), Runnable(&SimDisk::deliver), disk(owner) {}
  SimDisk& disk;
  std::list<InFlight>::iterator self;
  blockdev::Request* request = nullptr;
  std::vector<std::byte> data;   // as submitted: it must not change under the disk
  std::uint64_t flush_mark = 0;  // of a flush: what had completed when it was submitted
  bool landed = false;
  bool stuck = false;  // came to the medium while that hung
  TimePoint submitted;
};

}  // namespace baton::sim
