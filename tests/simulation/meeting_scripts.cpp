#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

// Whose copy counts when two nodes meet, and who holds the baton. "A" is the holder, "B" its peer.
const std::vector<Scenario> all = {
    // Found by the swarm (seed 1147911): A forces itself into the number that it has granted to B,
    // when B has taken it and cannot say so. For a link that is lost one way at every event.
    {.name = "forced-while-its-grant-is-on-the-way", .script = R"(
primary A force
wait-sync
burst A requests=4 reads=0
mark
handover A background
+8s promote A force
burst A requests=4 reads=0
+5s get-well
)"},
    // Found by the swarm: B has everything that was acknowledged, its daemon was only killed; A,
    // the last holder, has lost its disk's cache. Both were taken for copies that had crashed.
    {.name = "daemon-dies-then-power-fails", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0 discards=0 zeroes=0
cut silence
kill B
power A lose
heal
start B
start A
wait-sync
promote A
burst A requests=60 reads=100
)"},
    // The same, and A's daemon is killed once more before the two have met: that its host ran on
    // since then does not make good what it had lost before.
    {.name = "crash-is-not-forgotten", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0 discards=0 zeroes=0
cut silence
kill B
power A lose
start A
+1s kill A
+1s stop B
start A
start B
heal
wait-sync
promote A
burst A requests=60 reads=100
)"},
    // Found by the swarm: B's disk was slow, and what B had received landed when B had become
    // Primary
    // and had been read.
    {.name = "promoted-under-received-writes",
     .script = R"(
primary A force
wait-sync
slow-disk B ms=3000 permille=1000
burst A requests=8 depth=8 reads=0 flushes=0 discards=0 zeroes=0 hot=8 max=4096 background
+1ms cut reset
promote B force
slow-disk B ms=1 permille=1
burst B requests=40 reads=100 hot=8 max=4096
+4s burst B requests=40 reads=100 hot=8 max=4096
)",
     .seeds = 20},
    // B lost its cache, has met A and is to be copied to; that A was heard makes it no better.
    {.name = "met-and-not-copied-yet",
     .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0 discards=0 zeroes=0 hot=200
kill A
power B lose
slow-disk A ms=3000 permille=1000
start A
start B
wait-connected
cut silence
slow-disk A ms=1 permille=1
+8s kill A
start A
heal
wait-sync
promote A
burst A requests=60 reads=100 hot=200
)",
     .auto_resume = false,
     .seeds = 20},
    // The first copy of a new node is forced half-way: two histories of one beginning.
    {.name = "first-copy-forced-half-way", .script = R"(
stop B
primary A force
burst A requests=60 reads=0 hot=200
slow-disk B ms=60 permille=800
start B
wait-connected
+40ms cut silence
+8s is B Inconsistent
promote B force expect=done
write B at=0
heal
wait-split-brain
)"},
    // The target dies when one volume has made the history its own and the other has not.
    {.name = "adopted-in-one-volume",
     .script = R"(
primary A force
wait-sync
kill B
burst A requests=60 depth=8 reads=0 hot=40
slow-disk B ms=30 permille=700
start B
wait-connected
+8ms fail B write meta volume=1 offset=0 length=131072 count=1
+500ms kill B
slow-disk B permille=0
start B
wait-sync
burst A requests=20 reads=50 hot=40
)",
     .volumes = 2,
     .seeds = 20},
    // Found by the swarm: a copy that is only to be brought up to date within one generation was
    // promoted by force half-way; its history seemed to follow from that of the complete copy.
    {.name = "forced-half-way",
     .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0 hot=200
kill A
start A
wait-connected
slow-link A ms=50
+20ms cut silence
+8s promote B force expect=done
write B at=0
heal
wait-split-brain
)",
     .seeds = 4},
    // Found by the swarm: a new copy, connected to the other one's data and about to be filled, was
    // promoted by force and began a history of its own.
    {.name = "new-copy-is-filled-not-forced", .script = R"(
primary A force
burst A requests=20 reads=0 background
+20ms demote A
wait-connected
promote B force expect=refused
wait-sync
promote B
burst B requests=40 reads=100
)"},
    // Found by the swarm: the offer's end let the writes go on that the demotion had stopped, and
    // some were done by a Secondary.
    {.name = "demoted-while-offering",
     .script = R"(
primary A force
wait-sync
slow-disk A ms=40 permille=1000
offer A background
+1ms burst A requests=40 depth=16 reads=0 flushes=0 background
+6ms demote A force background
+2s wait-idle
promote B expect=done
burst B requests=20 reads=100
)",
     .seeds = 30},
    // Found by the swarm: A stops before it has heard that its grant was taken, and calls itself
    // the last holder when it starts again.
    // A guest whose daemon was restarted under it writes before the other node has been heard.
    {.name = "write-as-the-role-comes-back", .script = R"(
primary A force
wait-sync
burst A requests=10
flush A
cut silence
kill A
start A
+1s write A background
+5s is A Secondary held
heal
wait-idle
is A Primary not-errors
)"},
    {.name = "write-as-the-role-has-gone", .script = R"(
primary A force
wait-sync
burst A requests=10
flush A
cut silence
kill A
+8s start A
+1s write A background
+1s is A Secondary held
promote B force expect=done
write B
heal
wait-idle
is A Secondary errors
is B Primary
)"},
    {.name = "stopped-after-its-grant", .script = R"(
primary A force
wait-sync
burst A requests=20
slow-disk B meta ms=200 permille=1000
handover A background
+5ms stop A
+1s cut silence
burst B requests=20 reads=0
start A
+1s promote A expect=refused
heal
wait-sync
burst B requests=20 reads=100
)"},
    {.name = "peer-of-another-version", .script = R"(
primary A force
wait-sync
version B other
kill B
start B
+8s burst A requests=30 reads=0
is A Primary UpToDate Connecting
is B Consistent Connecting
version B same
stop B
start B
wait-sync
handover A expect=done
burst B requests=40 reads=100
)"},
    {.name = "clocks-leap", .script = R"(
primary A force
wait-sync
burst A requests=400 depth=8 reads=20 think=500 background
+20ms jump A ms=600000
+20ms jump B ms=3000
+20ms jump B ms=3600000
+10s wait-sync
burst A requests=40 reads=100
)"},
    {.name = "resolved-from-either-side", .script = R"(
primary A force
wait-sync
resolve A own expect=refused
cut silence
+8s burst A requests=20 reads=0
promote B force expect=done
burst B requests=20 reads=0
resolve B own expect=refused
heal
wait-split-brain
resolve B own expect=refused
demote A force
resolve B own expect=done
is A not-split-brain
wait-sync
cut silence
+8s burst B requests=20 reads=0
promote A force expect=done
burst A requests=20 reads=0
heal
wait-split-brain
resolve A other expect=refused
demote A force
resolve A other expect=done
wait-sync
burst B requests=40 reads=100
)"},
};

}  // namespace

const std::vector<Scenario>& meeting_scripts() {
  return all;
}

}  // namespace baton::sim
