#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

// Disks that fail, fill up or hang. "A" is the holder, "B" its peer.
const std::vector<Scenario> all = {
    // Found by the swarm: a write that only the peer's disk had room for left two different
    // copies that both counted as UpToDate.
    {.name = "disk-full", .script = R"(
primary A force
wait-sync
fail A write enospc sticky
burst A requests=20 depth=8 reads=20 hot=12
+3s burst B requests=20 reads=100 hot=12
mend A
wait-sync
handover A expect=done
burst B requests=40 reads=100 hot=12
)"},
    {.name = "peer-disk-full", .script = R"(
primary A force
wait-sync
fail B write enospc sticky
burst A requests=40 depth=8 reads=0
is B Failed
mend B
kill B
start B
wait-sync
)"},
    // Found by the swarm: the holder's disk failed, and what was still in flight was acknowledged
    // from that disk alone, in a generation that nobody else would ever get.
    {.name = "holder-disk-fails", .script = R"(
primary A force
wait-sync
fail A write count=2
burst A requests=40 depth=16 reads=25 flushes=17 fua=40 background
+40ms is A Failed
+6s promote B force expect=done
burst B requests=20 reads=100
mend A
kill A
start A
wait-sync
burst A requests=40 reads=100
)"},
    // Found by faults at every event: the disk failed while a lost link was not known to be lost,
    // and that was not looked at before the peer had answered, too. Writes were then acknowledged
    // from that disk alone.
    {.name = "holder-disk-fails-in-silence", .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
cut silence
fail A write
burst A requests=4 depth=4 reads=0 flushes=0 discards=0 zeroes=0 background
+8s is A Failed
promote B force expect=done
burst B requests=10 reads=0
heal
mend A
kill A
start A
wait-sync
burst A requests=40 reads=100
)"},
    // Found by the swarm: the other volume of that node still served reads of writes that the peer
    // lacked.
    {.name = "one-disk-of-two-fails",
     .script = R"(
primary A force
wait-sync
fail A write volume=1
burst A requests=60 depth=12 reads=40 flushes=16 fua=40 think=300 background
+2s burst A requests=10 reads=50
promote B force expect=done
burst B requests=40 reads=100
mend A volume=1
kill A
start A
wait-sync
burst A requests=40 reads=100
)",
     .volumes = 2},
    {.name = "bad-sectors", .script = R"(
primary A force
wait-sync
burst A requests=60 reads=0 hot=200
fail B write sticky offset=65536 length=1048576
burst A requests=60 reads=0 hot=200
kill B
start B
+3s burst A requests=20
mend B
kill B
start B
wait-sync
)"},
    {.name = "peer-flush-fails", .script = R"(
primary A force
wait-sync
burst A requests=30 reads=0 flushes=0 fua=0
fail B flush
burst A requests=40 reads=0 flushes=60
is B Failed
mend B
power B lose
start B
wait-sync
power A lose
+10s promote B force expect=done
burst B requests=40 reads=100
start A
wait-sync
)"},
    // A disk that answers nothing is a peer that is stuck: dropped after the timeout.
    {.name = "peer-disk-hangs", .script = R"(
primary A force
wait-sync
hang B
burst A requests=40 depth=8
wait-idle
+60s burst A requests=20 depth=8
mend B
wait-sync
)"},
};

}  // namespace

const std::vector<Scenario>& disk_scripts() {
  return all;
}

}  // namespace baton::sim
