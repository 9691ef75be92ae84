#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

// "A" is the holder, "B" its peer.
const std::vector<Scenario> all = {
    // Stamped anew, a disk of the past looks like any other; and it has lived through when its
    // source, lost before the first block, has not.
    {.name = "copied-from-the-past-is-interrupted",
     .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 hot=2000 max=4096
burst A requests=1 flushes=100
snapshot B
cut reset
+100ms heal
wait-sync
burst A requests=100 reads=0 hot=2000 max=4096
burst A requests=1 flushes=100
kill B
restore B
slow-disk A ms=60 permille=1000
+200ms start B
+25ms power A keep
slow-disk A permille=0
start A
wait-connected
promote B
wait-sync
burst B requests=300 reads=100 hot=2000 max=4096
)",
     .seeds = 20},
    // What a disk from the past goes on to write, forced, is another history.
    {.name = "forced-from-the-past",
     .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
snapshot B
cut reset
+100ms heal
wait-sync
burst A requests=40 reads=0
burst A requests=1 flushes=100
kill B
restore B
cut silence
start B
+100ms promote B force expect=done
burst B requests=10 reads=0
heal
wait-split-brain
)",
     .seeds = 60},
    // Its record says that the other node is behind, and that it was Primary in this boot. The
    // other node knows better and can be asked.
    {.name = "record-from-the-past", .script = R"(
primary A force
wait-sync
kill B
+8s burst A requests=20 reads=0
snapshot A
start B
wait-sync
handover A expect=done
burst B requests=40 reads=0
kill A
restore A
start A
+1s is A not-Primary
is B Primary
wait-sync
)"},
    // The node that was lost is provisioned anew while the other one has a bitmap for it, and once
    // more in the middle of its first sync.
    {.name = "left-over-bitmap", .script = R"(
primary A force
wait-sync
burst A requests=100 reads=0 hot=500
kill B
+8s burst A requests=20 reads=0 hot=500
blank B
create-md B
start B
+4ms kill B
blank B
create-md B
start B
wait-sync
promote B
burst B requests=300 reads=100 hot=500
)"},
    {.name = "metadata-lost", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0
kill B
rot B meta offset=0 length=4096
rot B meta offset=65536 length=4096
start B
+1s is A Primary
get-well
burst B requests=60 reads=100
)"},
    // One copy rots: the other one says the same.
    {.name = "superblock-copy-rots", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0
kill A
rot A meta offset=0 length=4096
start A
wait-sync
kill A
rot A meta offset=65536 length=4096
start A
wait-sync
burst A requests=40 reads=50
)"},
    // All of it counts as different then.
    {.name = "bitmap-rots", .script = R"(
primary A force
wait-sync
kill B
+8s burst A requests=400 reads=0 discards=0 zeroes=0 hot=4000
stop A
rot A meta offset=135168 sectors=16
start A
start B
wait-sync
promote B
burst B requests=400 reads=100 hot=4000
)"},
    // Found by the swarm beyond the model: a session that ended while it was being settled left its
    // target Outdated in all that followed.
    {.name = "target-of-a-session-that-never-was",
     .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0
power A keep
start A
+2600us kill B
start B
wait-connected
+1s promote B
wait-sync
)",
     .seeds = 20},
    // A stop that comes while a handover flushes a slow disk.
    {.name = "stopped-while-handing-over",
     .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0
slow-disk A ms=300 permille=900
handover A background
+2ms stop A
start A
wait-sync
)",
     .seeds = 40},
};

}  // namespace

const std::vector<Scenario>& disk_scenarios() {
  return all;
}

}  // namespace baton::sim
