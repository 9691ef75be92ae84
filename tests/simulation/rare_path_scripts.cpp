#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

// Written for marks that no other world reached (marks.cpp). "A" is the holder, "B" its peer.
const std::vector<Scenario> all = {
    // Requests of a size that guests send and the worlds by seed do not: each is several pieces,
    // and together they are more than a session may have in flight, while a copy is being filled.
    {.name = "large-writes-fill-the-window",
     .script = R"(
primary A force
wait-sync
cut silence
+8s write A at=0 bytes=15728640 volume=0
heal
slow-link A ms=30
wait-connected
+10ms wait
write A at=0 bytes=15728640 volume=1 background
write A at=0 bytes=15728640 volume=2 background
write A at=0 bytes=15728640 volume=3 background
write A at=0 bytes=15728640 volume=4 background
write A at=0 bytes=15728640 volume=5 background
wait-idle
heal
wait-sync
handover A expect=done
burst B requests=40 reads=100
)",
     .volumes = 6,
     .seeds = 1},
    {.name = "large-write-is-cut-short", .script = R"(
primary A force
wait-sync
slow-link A bytes=20000000
write A at=1048576 bytes=6291456 background
+60ms cut reset
+200ms heal
wait-idle
wait-sync
handover A expect=done
burst B requests=40 reads=100
)"},
    // Its copy is the only good one, and what it would copy from might vanish.
    {.name = "source-cannot-flush", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=20 reads=0 flushes=0
heal
fail A flush
+2s is A Failed
mend A
kill A
start A
get-well
)"},
    // Between the flush that the source asks for and the one at the target's own end.
    {.name = "target-cannot-flush-at-the-end", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=20 reads=0 flushes=0
heal
slow-link A ms=50
wait-connected
+125ms fail B flush
+1s is B Failed
mend B
kill B
start B
wait-sync
burst A requests=40 reads=100
)"},
    {.name = "source-cannot-record-the-end", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=20 reads=0 flushes=0
heal
slow-link A ms=50
wait-connected
+125ms fail A write meta
+1s is A Failed
mend A
kill A
start A
get-well
)"},
    // What a killed daemon left in the disk's cache, and the disk will not have it.
    {.name = "flush-fails-at-the-start", .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0 flushes=0
kill B
fail B flush
start B
+1s mend B
kill B
start B
wait-sync
burst A requests=40 reads=100
)"},
    {.name = "disconnect-is-undone", .script = R"(
primary A force
wait-sync
cut silence
+8s disconnect A background expect=refused
+1ms connect A
heal
wait-sync
)"},
    // Nobody is Primary, both were written: only now does a promotion by force meet a split brain.
    {.name = "forced-in-split-brain", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=20 reads=0 flushes=0
primary B force
burst B requests=20 reads=0
heal
wait-split-brain
demote A force
demote B force
+20ms primary A expect=refused
primary A force expect=done
burst A requests=20 reads=0
connect B discard
wait-sync
burst A requests=40 reads=100
)"},
};

}  // namespace

const std::vector<Scenario>& rare_path_scripts() {
  return all;
}

}  // namespace baton::sim
