#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

using replication::Protocol;

constexpr std::string_view under_writes = R"(
primary A force
wait-sync
burst A requests=400 depth=32 reads=5 hot=600 max=65536 background
verify A from-start expect=done
burst A requests=400 depth=32 reads=5 hot=600 max=65536 background
verify B from-start repair expect=done
wait-idle
)";

// The copies are compared while they are in use. "A" is the holder, "B" its peer.
const std::vector<Scenario> all = {
    // Nothing has touched a disk, so nothing may be reported, however much is written meanwhile.
    {.name = "verify-under-writes", .script = under_writes},
    {.name = "verify-under-writes-a", .script = under_writes, .protocol = Protocol::a},
    {.name = "verify-under-writes-b", .script = under_writes, .protocol = Protocol::b},
    {.name = "verify-on-a-slow-peer",
     .script = R"(
primary A force
wait-sync
slow-disk B ms=20 permille=500
burst A requests=600 depth=8 reads=0 flushes=2 hot=64 max=16384 background
verify A from-start expect=done
wait-idle
)",
     .protocol = Protocol::a},
    {.name = "verify-finds-rot", .script = R"(
primary A force
wait-sync
burst A requests=200 reads=0 hot=2000
verify A expect=done
rot B sectors=3
verify A from-start expect=refused
is A damaged Established
verify B repair from-start expect=done
is A not-damaged
verify A from-start expect=done
)"},
    // Which copy is the right one the sums do not tell: the repair takes the holder's, so an
    // operator who knows better hands the baton over first.
    {.name = "verify-repairs-from-the-holder", .script = R"(
primary A force
wait-sync
burst A requests=200 reads=0 hot=2000
rot A sectors=3
verify A from-start expect=refused
handover A expect=done
verify A from-start repair expect=done
is A not-damaged
)"},
    // What was found is durable: the next meeting copies it, whatever happens until then. (Before
    // the rot both stop in order, so that no activity log names the place.)
    {.name = "found-blocks-are-copied-at-the-next-meeting",
     .script = R"(
primary A force
wait-sync
burst A requests=200 reads=0 hot=2000
stop B
stop A
start A
start B
wait-connected
primary A
wait-sync
rot B offset=0 length=262144 sectors=3
slow-disk B ms=40 permille=1000
verify A from-start background
+1s power A lose
power B lose
slow-disk B ms=1 permille=1
start A
start B
wait-connected
promote A force
wait-sync
is A not-damaged
)",
     .auto_resume = false},
    {.name = "verify-is-cut-and-goes-on", .script = R"(
primary A force
wait-sync
burst A requests=100 reads=0 hot=2000
slow-disk B ms=40 permille=1000
verify A from-start background
+300ms cut reset
+100ms heal
slow-disk B ms=1 permille=1
wait-sync
verify A expect=done
verify A stop expect=done
)"},
    {.name = "verify-is-stopped", .script = R"(
primary A force
wait-sync
burst A requests=100 reads=0 hot=2000
slow-disk B ms=40 permille=1000
verify B from-start background
+300ms is A VerifyS
is B VerifyT
verify A expect=refused
verify B stop expect=done
is A Established
slow-disk B ms=1 permille=1
verify A expect=done
)"},
    // The baton goes to and fro under it, and both write: what is compared counts only if it stays.
    {.name = "handover-under-verify",
     .script = R"(
primary A force
wait-sync
slow-disk A ms=30 permille=700
slow-disk B ms=30 permille=700
burst A requests=60 depth=16 reads=0 flushes=0 hot=2000 max=65536 background
verify A from-start background
+20ms handover A expect=done
burst B requests=60 depth=16 reads=0 flushes=0 hot=2000 max=65536 background
+30ms verify B from-start background
+30ms handover B expect=done
burst A requests=60 depth=16 reads=0 flushes=0 hot=2000 max=65536 background
+30ms wait-idle
verify A from-start expect=done
)",
     .seeds = 20},
    // What is repaired is being written as well.
    {.name = "repair-under-writes",
     .script = R"(
primary A force
wait-sync
burst A requests=100 reads=0 flushes=0 discards=0 zeroes=0 hot=64 max=4096
slow-disk A ms=2 permille=300
burst A requests=8000 depth=32 reads=5 flushes=0 discards=0 zeroes=0 hot=64 max=4096 background
lose-writes B count=300
+10ms verify A from-start repair
lose-writes B count=300
+10ms verify A from-start repair
wait-idle
verify A from-start repair
)",
     .seeds = 20},
    {.name = "verify-wants-two-good-copies", .script = R"(
verify A expect=refused
primary A force
wait-sync
cut silence
+8s verify A expect=refused
burst A requests=20 reads=0
heal
wait-sync
verify A expect=done
)"},
    {.name = "verify-on-a-schedule",
     .script = R"(
primary A force
wait-sync
burst A requests=200 reads=0 hot=2000
rot B sectors=3
+40s wait-idle
is A damaged
cut reset
+100ms heal
wait-sync
is A not-damaged
handover A
+40s wait-idle
)",
     .verify_seconds = 30},
    {.name = "checksum-resync-interrupted",
     .script = R"(
primary A force
wait-sync
burst A requests=300 reads=0 hot=3000
cut silence
+8s burst A requests=300 reads=0 hot=3000
heal
wait-connected
slow-disk B ms=20 permille=700
burst A requests=100 depth=8 reads=0 hot=3000 background
+8ms cut reset
+50ms heal
wait-connected
+12ms power B lose
start B
wait-sync
promote B
burst B requests=300 reads=100 hot=3000
)",
     .checksum_based = true,
     .seeds = 20},
    // Found by the swarm: B's disk fails a flush, and reads go on to show what it has dropped.
    // Equal
    // by its sums, it would lack that after the next power cut.
    {.name = "flush-fails-before-a-checksum-resync",
     .script = R"(
primary A force
wait-sync
burst A requests=60 reads=0 flushes=0 fua=0 discards=0 zeroes=0 hot=200
fail B flush
flush A
+1s is B Failed
kill B
start B
wait-sync
power B lose
+8s start B
wait-sync
promote B
burst B requests=60 reads=100 hot=200
)",
     .checksum_based = true,
     .seeds = 20},
    // Nothing is known of what differs but that most does not: compared, and only that copied.
    {.name = "disk-from-the-past-by-checksum", .script = R"(
primary A force
wait-sync
burst A requests=200 reads=0 hot=2000
flush A
snapshot B
cut reset
+100ms heal
wait-sync
burst A requests=60 reads=0 hot=2000
kill B
restore B
start B
+3ms burst A requests=60 depth=8 reads=0 hot=2000 background
wait-sync
promote B
burst B requests=300 reads=100 hot=2000
)"},
};

}  // namespace

const std::vector<Scenario>& verify_scripts() {
  return all;
}

}  // namespace baton::sim
