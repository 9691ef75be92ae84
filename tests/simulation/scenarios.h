// The schedules that break naive designs, each by its name (design §3), as scripts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/simulation/swarm.h"

namespace baton::sim {

struct Scenario {
  std::string_view name;
  std::string_view script;  // empty: see `missing`
  replication::Protocol protocol = replication::Protocol::c;
  std::uint32_t volumes = 1;
  std::string_view missing;  // what the engine or the world lacks for it; shown when skipped
  bool auto_resume = true;
  bool nbd = false;  // clients speak NBD
  std::size_t active_regions = blockdev::active_regions_default;
  bool checksum_based = false;
  std::uint64_t verify_seconds = 0;  // the interval of a scheduled verify
  std::uint64_t seeds = 10;          // as many as a test needs to meet the interleaving
  replication::AfterSplitBrain after_sb{};
  std::uint64_t disk_timeout_seconds = 0;
  replication::OnPeerLost on_peer_lost = replication::OnPeerLost::go_on;
  Fencing fencing = Fencing::absent;
  bool two_primaries = false;
};

// The numbered ones that break naive designs (schedules.cpp).
const std::vector<Scenario>& schedules();
// Disks that fail, lie, or are others than they were (disk_scripts.cpp).
const std::vector<Scenario>& disk_scripts();
// A node without its disk, served by the other (diskless_scripts.cpp).
const std::vector<Scenario>& diskless_scripts();
// A copy that is being filled under its guest (filling_scripts.cpp).
const std::vector<Scenario>& filling_scripts();
// Two primaries (sharing_scripts.cpp).
const std::vector<Scenario>& sharing_scripts();
// Regions that one of them lends to the other (region_scripts.cpp).
const std::vector<Scenario>& region_scripts();
// Two nodes meet, after failures and operators' words (meeting_scripts.cpp).
const std::vector<Scenario>& meeting_scripts();
// Those without which a rare path would be reached by nothing (rare_path_scripts.cpp).
const std::vector<Scenario>& rare_path_scripts();
// The copies are compared while they are in use (verify_scripts.cpp).
const std::vector<Scenario>& verify_scripts();
// A split brain ends, and what one side loses is kept (undo_scripts.cpp).
const std::vector<Scenario>& undo_scripts();
// A resync is held, and a copy is given up (resync_scripts.cpp).
const std::vector<Scenario>& resync_scripts();
// A disk that does not answer, and its time limit (timeout_scripts.cpp).
const std::vector<Scenario>& timeout_scripts();
// A disk that is full (room_scripts.cpp).
const std::vector<Scenario>& room_scripts();
// The holder loses its peer, and its writes wait (peer_loss_scripts.cpp).
const std::vector<Scenario>& peer_loss_scripts();
// The first write brings the role, in a window (first_write_scripts.cpp).
const std::vector<Scenario>& first_write_scripts();
// Handlers fence the lost peer (fencing_scripts.cpp).
const std::vector<Scenario>& fencing_scripts();
// Those in which every event meets every fault (short_scripts.cpp).
const std::vector<Scenario>& short_scripts();
// The schedules, what else was written or found, and the short ones.
const std::vector<Scenario>& scenarios();
// The same, whose nodes suspend when they lose their peer, and have its host fenced.
Scenario fenced(Scenario scenario);
const Scenario* find_scenario(std::string_view name);
Plan plan_of(const Scenario& scenario);

}  // namespace baton::sim
