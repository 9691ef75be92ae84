#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

// A guest on a node whose copy is still being filled, served by the other (docs/replication.md).
const std::vector<Scenario> all = {
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
    // As the migration coordinator moves it: there by the first write, back by the coordinator's
    // word.
    {.name = "offered-while-it-is-being-filled", .script = R"(
primary A force
wait-sync
stop B
burst A requests=200 depth=8 reads=0 max=65536
slow-disk B ms=60 permille=500
start B
wait-connected
offer A expect=done
is A Primary window
is B Secondary window
burst B requests=30 depth=8 reads=30
is B Primary not-UpToDate not-window not-errors
is A Secondary not-window
offer B expect=done
grant B expect=done
is A Primary UpToDate not-errors
is B Secondary
promote A
burst A requests=20 reads=30
)"},
    // The coordinator's word and the first write cross: the role is the answer to both.
    {.name = "granted-as-the-first-write-asks", .script = R"(
primary A force
wait-sync
stop B
burst A requests=200 depth=8 reads=0 max=65536
slow-disk B ms=60 permille=500
start B
wait-connected
offer A expect=done
grant A background
burst B requests=20 reads=0
is B Primary not-errors
is A Secondary
)"},
    // The source's guest goes on, with its own copy and without: its write decides.
    {.name = "offer-voided-while-it-is-being-filled", .script = R"(
primary A force
wait-sync
stop B
burst A requests=200 depth=8 reads=0 max=65536
slow-disk B ms=60 permille=500
start B
wait-connected
offer A expect=done
write A
is A Primary not-window
pause-sync A
handover A expect=done
is B Primary not-UpToDate
burst B requests=10
offer B expect=done
write B
is B Primary not-window not-errors
grant B expect=refused
write A
is B Primary
is A Secondary errors
offer B expect=done
withdraw B expect=done
burst B requests=10
is B Primary not-window
resume-sync A
)"},
    // The copy becomes whole while the role of its node is offered back.
    {.name = "offered-back-as-it-becomes-whole", .script = R"(
primary A force
wait-sync
stop B
burst A requests=200 depth=8 reads=0 max=65536
slow-disk B ms=60 permille=500
start B
wait-connected
handover A expect=done
burst B requests=10
offer B expect=done
slow-disk B permille=0
wait-sync
+1s is B Primary UpToDate window
grant B expect=done
is A Primary UpToDate not-errors
is B Secondary
promote A
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
    // The holder is promoted when it has lost the node that it serves, and that one has not
    // noticed:
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
};

}  // namespace

const std::vector<Scenario>& filling_scripts() {
  return all;
}

}  // namespace baton::sim
