#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

// A node without its disk, served by the other (docs/replication.md). "A" is Primary.
const std::vector<Scenario> all = {
    // The old holder has not heard that its baton was taken when it is to serve the new one.
    {.name = "disk-fails-behind-an-unheard-grant", .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
slow-link B ms=2000
handover A background
+3s cut B silence
fail B write sticky
burst B requests=4 depth=4 reads=0 background
+1s is B Primary Failed
+9s heal
wait-connected
is A Secondary
is B Primary
wait-idle
mend B
attach B
wait-sync
burst B requests=20 reads=50
)"},
    // The guest does not notice: no request of its clients fails, from the failure to the moment
    // when its own copy is the one that counts again.
    {.name = "disk-fails-under-the-guest", .script = R"(
primary A force
wait-sync
fail A write
burst A requests=200 depth=16 reads=30 flushes=10 fua=10 background
burst B requests=20 reads=100 background
wait-idle
is A Primary Failed not-errors
is B Secondary UpToDate
burst A requests=100 depth=8 reads=40 flushes=10
mend A
attach A expect=done
burst A requests=100 depth=8 reads=40 background
wait-sync
+1s is A Primary UpToDate not-errors
is B Secondary UpToDate not-errors
handover A expect=done
burst B requests=60 reads=60
)"},
    {.name = "disk-fails-a-read", .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
fail A read
burst A requests=40 depth=8 reads=80
is A Primary Failed not-errors
burst A requests=20 reads=50
)"},
    {.name = "disk-fails-a-flush", .script = R"(
primary A force
wait-sync
fail A flush
burst A requests=60 depth=8 reads=20 flushes=30
is A Primary Failed not-errors
burst A requests=20 reads=50 flushes=20
power B lose
kill A
mend A
start B
+1s promote B force
burst B requests=40 reads=100
start A
wait-sync
)"},
    // Both have what was acknowledged, whichever of the two is lost next.
    {.name = "served-then-failed-over", .script = R"(
primary A force
wait-sync
fail A write
burst A requests=60 depth=8 reads=20 flushes=20
is A Primary Failed
kill A
+8s promote B expect=done
burst B requests=60 reads=80
mend A
start A
wait-sync
burst A requests=40 reads=100
)"},
    // What was flushed through the holder outlives the holder's power; a client that lived on does
    // not write on top of what it knows and the disk has lost.
    {.name = "holder-of-the-served-loses-power", .script = R"(
primary A force
wait-sync
fail A write
burst A requests=80 depth=8 reads=20 flushes=20
is A Primary Failed
burst A requests=80 depth=8 reads=0 flushes=10 background
+4ms power B lose
+1s start B
+3s is A Secondary
wait-idle
promote B force expect=done
burst B requests=60 reads=90
mend A
attach A
wait-sync
)"},
    // The link is gone for a while: the guest waits, and goes on.
    {.name = "served-through-a-bad-link", .script = R"(
primary A force
wait-sync
fail A write
burst A requests=40 depth=8 reads=20
is A Primary Failed
burst A requests=100 depth=8 reads=30 flushes=10 background
+2ms cut reset
+3s heal
wait-idle
is A Primary Failed not-errors
)"},
    // The link goes with the disk: nobody has taken over yet, and the other has everything.
    {.name = "disk-and-link-fail-together", .script = R"(
primary A force
wait-sync
burst A requests=100 depth=8 reads=30 flushes=10 background
fail A write sticky
+3ms cut reset
+2s heal
wait-idle
wait-connected
is A Primary Failed not-errors
burst A requests=30 reads=50
)"},
    // While the Primary is served its holder dies for good: nothing is done until an operator says.
    {.name = "served-and-left-alone", .script = R"(
primary A force
wait-sync
fail A write
burst A requests=40 depth=8 reads=20
is A Primary Failed
kill B
burst A requests=10 depth=4 reads=0 background
+30s mend A
start B
wait-connected
attach A
wait-sync
burst A requests=30 reads=50
)"},
    {.name = "detached-and-attached", .script = R"(
primary A force
wait-sync
burst A requests=100 depth=8 reads=20 flushes=5 background
+1ms detach A expect=done
wait-idle
is A Primary Diskless not-errors
burst A requests=60 depth=8 reads=40 flushes=10 background
burst B requests=20 reads=100
wait-idle
attach A expect=done
burst A requests=60 depth=8 reads=40 flushes=10 background
wait-sync
+1s is A Primary UpToDate not-errors
detach B expect=done
burst A requests=60 depth=8 reads=20
burst B requests=10 reads=100
is B Diskless not-errors
attach B expect=done
wait-sync
handover A expect=done
burst B requests=30 reads=70
)"},
    // The disk fails a write that the peer has, and the node dies before the peer has taken over.
    {.name = "killed-before-it-is-served", .script = R"(
primary A force
wait-sync
burst A requests=20 depth=4 reads=0 hot=8
mark
burst A requests=12 depth=6 reads=0 flushes=0 fua=0 discards=0 hot=200 max=4096 background
+100us fail A write count=1
wait-idle
burst A requests=40 reads=100 hot=200
attach A
wait-sync
)"},
    // The link goes when the role has moved and the node that gave it has not been told.
    {.name = "role-moves-as-the-link-goes", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
burst A requests=10 reads=0 hot=8
hang B meta
handover A background
+80ms cut reset
+10ms mend B meta
+100ms heal
wait-connected
promote B
attach A
wait-sync
)"},
    // The holder that wrote for a guest is gone: the role can be given up all the same.
    {.name = "demoted-without-its-holder", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
burst A requests=10 reads=0 hot=8
kill B
demote A force expect=done
is A Secondary not-errors
start B
wait-connected
attach A expect=done
wait-sync
promote A expect=done
burst A requests=20 reads=50 hot=8
)"},
    // And what it had only in its cache no flush here is answered for.
    {.name = "demoted-and-then-flushed", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
burst A requests=20 reads=0 flushes=0 hot=8
wait-idle
cut
demote A force expect=done
burst A requests=2 reads=0 flushes=100
wait-idle
power B lose
heal
start B
wait-connected
attach A expect=done
wait-sync
promote A expect=done
burst A requests=20 reads=50 hot=8
)"},
    // A disk that comes back knows that others wrote without it.
    {.name = "attached-copy-is-older", .script = R"(
primary A force
wait-sync
burst A requests=20 depth=4 reads=0 hot=8
detach A expect=done
burst A requests=40 depth=4 reads=0 flushes=20 hot=8
kill B
attach A expect=done
is A Outdated
promote A expect=refused
start B
wait-sync
burst A requests=20 reads=50 hot=8
)"},
    // What is taken over from a disk that fails must not hang on the cache of the copy that is
    // left.
    {.name = "takes-over-and-loses-power", .script = R"(
primary A force
wait-sync
burst A requests=30 depth=4 reads=0 flushes=0 fua=0 hot=4
mark
fail A read sticky
burst A requests=3 depth=1 reads=100 flushes=0 hot=4 background
wait-idle
mend A
burst A requests=20 reads=100 hot=4
attach A
wait-sync
burst A requests=20 reads=100 hot=4
)"},
    // The guest moves before the copy is there: the role goes, the baton follows when it is filled.
    {.name = "moved-to-a-copy-that-is-being-filled", .script = R"(
primary A force
wait-sync
stop B
burst A requests=200 depth=8 reads=0 max=65536
slow-disk B ms=60 permille=500
start B
wait-connected
handover A expect=done
is B Primary not-UpToDate not-errors
is A Secondary UpToDate
burst B requests=60 depth=8 reads=50 flushes=10
burst A requests=10 reads=100
is B not-errors
slow-disk B permille=0
wait-sync
+1s is B Primary UpToDate not-errors
burst B requests=40 reads=50
handover B expect=done
burst A requests=20 reads=50
)"},
    // The holder's disk fails before it has heard that the Primary's copy is whole: they meet
    // again,
    // and the Primary goes on with its own. One seed: in others the copy is not whole by then.
    {.name = "served-until-its-copy-is-whole",
     .script = R"(
primary A force
wait-sync
stop B
write A at=0 bytes=4096
wait-idle
slow-disk B ms=300
start B
wait-connected
handover A expect=done
is B Primary not-UpToDate
slow-link B ms=2000
slow-disk B permille=0
+2500ms fail A write count=1
burst B requests=1 reads=0 flushes=0 background
+20s is A Failed
is B Primary UpToDate Connected
burst B requests=40 depth=4 reads=30 flushes=10
wait-idle
is B not-errors
heal
mend A
attach A
wait-sync
)",
     .seeds = 1},
    // And back, while it is still being filled.
    {.name = "moved-there-and-back", .script = R"(
primary A force
wait-sync
stop B
burst A requests=200 depth=8 reads=0 max=65536
slow-disk B ms=60 permille=500
start B
wait-connected
handover A expect=done
burst B requests=20 depth=8 reads=30
handover B expect=done
is A Primary UpToDate
is B Secondary
burst A requests=20 reads=30
handover A expect=done
demote B expect=done
promote A expect=done
burst A requests=20 reads=30
)"},
    // The source is lost meanwhile: what it alone had cannot be read, and nothing wrong is.
    {.name = "moved-and-the-source-is-lost", .script = R"(
primary A force
wait-sync
stop B
burst A requests=200 depth=8 reads=0 max=65536
slow-disk B ms=60 permille=500
start B
wait-connected
handover A expect=done
burst B requests=30 depth=4 reads=30 background
kill A
+3s start A
wait-idle
is B Primary not-errors
burst B requests=30 depth=4 reads=50
)"},
    {.name = "moved-to-a-node-without-a-disk", .script = R"(
primary A force
wait-sync
detach B expect=done
wait-connected
handover A expect=done
is B Primary Diskless
burst B requests=40 depth=8 reads=40 flushes=10
is B not-errors
handover B expect=done
is A Primary UpToDate
burst A requests=20 reads=50
attach B
wait-sync
)"},
    // Found by the swarm (seed 1003250): the operator gives the better disk up before the two have
    // met.
    {.name = "crashed-copy-does-not-serve", .script = R"(
primary A force
wait-sync
burst A requests=60 reads=0 flushes=0 fua=0 hot=100
power A lose
start A
detach B
+3s is A not-UpToDate
attach B expect=done
wait-connected
promote A force
wait-sync
burst B requests=40 reads=100 hot=100
)"},
    // A guest reads and writes on a copy that is being filled, and its link breaks now and then.
    {.name = "reads-of-a-copy-that-is-being-filled", .script = R"(
primary A force
wait-sync
pause-sync A
stop B
burst A requests=200 depth=8 reads=0 max=65536 hot=8
start B
wait-connected
handover A expect=done
is B Primary not-UpToDate not-errors
burst B requests=200 depth=16 reads=60 hot=8 max=2048 flushes=5
slow-disk A ms=20 permille=300
burst B requests=200 depth=16 reads=60 hot=8 max=2048 flushes=5 background
+20ms cut reset
heal
slow-disk B ms=60 permille=500
resume-sync A
burst B requests=200 depth=16 reads=80 hot=12
wait-idle
is B not-errors
slow-disk B permille=0
slow-disk A permille=0
wait-sync
+1s is B Primary UpToDate not-errors
burst A requests=60 reads=100
)"},
    // The holder is promoted when it has lost the node that it serves, and that one has not noticed:
    // what it has of its copy is old.
    {.name = "reads-of-a-copy-that-is-left-behind", .script = R"(
primary A force
wait-sync
burst A requests=60 depth=8 reads=0 hot=12
pause-sync A
stop B
write A at=0 bytes=4096
wait-idle
start B
wait-connected
handover A expect=done
is B Primary not-UpToDate not-errors
burst B requests=60 depth=8 reads=50 hot=12
wait-idle
cut silence
half-open A
promote A expect=done
burst B requests=200 depth=1 reads=100 hot=12 think=10000 background
burst A requests=60 depth=4 reads=0 hot=12 max=8192
+500ms burst A requests=60 depth=4 reads=0 hot=12 max=8192
heal
resume-sync A
)"},
    // What it reads there of its own writes is done, or it waits: the holder, which has not written
    // them yet, is killed, and so is this node.
    {.name = "reads-of-what-is-being-written", .script = R"(
primary A force
wait-sync
burst A requests=60 depth=8 reads=0 hot=2
pause-sync A
stop B
write A at=0 bytes=4096
wait-idle
start B
wait-connected
handover A expect=done
slow-disk A ms=300 permille=1000
burst B requests=200 depth=16 reads=50 flushes=0 fua=0 discards=0 zeroes=0 hot=2 max=2048 background
+80ms kill A
kill B
start A
+1s start B
wait-connected
promote A
burst A requests=60 reads=100 hot=2
resume-sync A
)"},
    // The guest flushes all the time while its copy is filled and the baton comes back.
    {.name = "flushes-as-the-baton-comes", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
burst A requests=60 depth=4 reads=0 hot=4
attach A background
burst A requests=900 depth=32 reads=0 flushes=90 hot=2 max=4096 background
wait-sync
wait-idle
is A Primary not-errors
)"},
    // Found by the swarm (seed 1003452): what was carried out, read, and begun once more came back
    // after a later write of the same block.
    {.name = "served-through-a-link-that-breaks-often", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
burst A requests=300 depth=8 reads=0 flushes=0 discards=0 zeroes=0 hot=1 max=4096 background
burst B requests=300 depth=4 reads=100 hot=1 background
+2ms cut reset
+120ms heal
+120ms cut reset
+1ms heal
+120ms cut reset
+1ms heal
+130ms cut reset
+1ms heal
+140ms cut reset
+1ms heal
wait-idle
is A not-errors
attach A expect=done
wait-sync
)"},
    // Refused where it would leave nobody with the data.
    {.name = "last-copy-is-not-detached", .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
cut silence
+8s burst A requests=20 reads=0
detach A expect=refused
is A UpToDate
heal
wait-sync
)"},
};

}  // namespace

const std::vector<Scenario>& diskless_scripts() {
  return all;
}

}  // namespace baton::sim
