// Disks that are full, and have room again (docs/replication.md "A disk that is full").
#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

const std::vector<Scenario> all = {
    // For longer than a write may wait: what only the peer had room for must not be on it alone.
    {.name = "disk-full", .script = R"(
primary A force
wait-sync
fail A write enospc sticky
burst A requests=20 depth=8 reads=20 hot=12
+3s burst B requests=20 reads=100 hot=12
+30s is A errors
mend A
wait-sync
handover A expect=done
burst B requests=40 reads=100 hot=12
)"},
    // Nobody notices but by the time it takes.
    {.name = "disk-full-and-room-again", .script = R"(
primary A force
wait-sync
fail A write enospc sticky
burst A requests=40 depth=8 reads=20 hot=12 background
+3s burst B requests=20 reads=100 hot=12 background
+3s is A Primary UpToDate Connected Established not-errors
mend A
wait-sync
wait-idle
burst A requests=40 reads=100 hot=12
wait-idle
is A Primary UpToDate Connected Established not-errors
)"},
    // Each waits behind the one before it, and none longer than it may.
    {.name = "full-disk-and-one-block", .script = R"(
primary A force
wait-sync
fail A write enospc sticky
write at=65536 bytes=4096 background
write at=65536 bytes=4096 background
write at=65536 bytes=4096 background
+3s is A Primary UpToDate held not-errors
+19s is A Primary UpToDate errors not-held
mend A
burst A requests=20 reads=20 hot=1
)"},
    // The peer and its link come and go meanwhile.
    {.name = "disk-full-and-the-peer-is-lost", .script = R"(
primary A force
wait-sync
fail A write enospc sticky
burst A requests=40 depth=8 reads=20 hot=12 background
+1s cut silence
+9s is A Primary UpToDate not-errors
mend A
+2s heal
wait-sync
wait-idle
is A Primary UpToDate Connected Established not-errors
fail A write enospc sticky
burst A requests=40 depth=8 reads=20 hot=12 background
+1s kill B
+2s start B
+3s mend A
wait-sync
wait-idle
burst A requests=20 reads=100 hot=12
is A Primary UpToDate Connected Established not-errors
)"},
    // A stop does not wait for room; and a disk that fails instead is one that has failed.
    {.name = "stopped-while-a-disk-is-full", .script = R"(
primary A force
wait-sync
fail A write enospc sticky
burst A requests=40 depth=8 reads=20 hot=12 background
+1s handover A expect=refused
stop A
mend A
start A
wait-sync
promote A
fail A write enospc sticky
burst A requests=40 depth=8 reads=20 hot=12 background
+1500ms mend A
fail A write count=1
+4s is A Primary Failed
attach A expect=done
wait-sync
burst A requests=20 reads=50
)"},
    // Its copy is Outdated, and filled when there is room, without an operator.
    {.name = "peer-disk-full", .script = R"(
primary A force
wait-sync
fail B write enospc sticky
burst A requests=40 depth=8 reads=0
is B Outdated not-Failed not-errors
+4s burst A requests=40 depth=8 reads=0
is B Outdated not-Connected not-errors
kill A
kill B
start B
+4s is B Outdated not-Connected
promote B expect=refused
start A
+4s is B not-UpToDate
mend B
wait-sync
burst A requests=20 reads=100
is B UpToDate not-errors
)"},
    // It comes to know in the middle of a resync, over and over.
    {.name = "peer-disk-full-in-a-resync", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=100 depth=8 reads=0 hot=200
fail B write enospc after=10 count=3
heal
+20s burst A requests=20 reads=0
wait-sync
is A not-errors
stop B
start B
wait-sync
)"},
    // The holder's disk is full, and another node's guest waits.
    {.name = "full-disk-of-the-node-that-serves", .script = R"(
primary A force
wait-sync
detach A expect=done
wait-connected
fail B write enospc sticky
burst A requests=40 depth=8 reads=20 hot=12 background
+5s is A Primary Diskless Connected not-errors
mend B
wait-idle
is A Primary Diskless Connected not-errors
fail B write enospc sticky
burst A requests=4 depth=2 reads=0 background
+30s is A errors
mend B
attach A expect=done
wait-sync
burst A requests=20 reads=100
)"},
    // A Primary whose copy is being filled goes on without that copy.
    {.name = "served-copy-is-full", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=60 depth=8 reads=0 hot=60
pause-sync B
heal
wait-connected
demote A force
promote B expect=done
burst B requests=10 reads=50
fail B write enospc sticky
burst B requests=20 reads=20
wait-idle
is B Primary Failed not-errors
resume-sync B
mend B
attach B
wait-sync
burst B requests=20 reads=100
)"},
};

}  // namespace

const std::vector<Scenario>& room_scripts() {
  return all;
}

}  // namespace baton::sim
