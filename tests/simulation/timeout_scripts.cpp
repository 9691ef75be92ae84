// A disk that does not answer, and `disk-timeout` (docs/replication.md "A disk that does not
// answer"). The disk compares each write's buffer with what it was given, however late it lands.
#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

const std::vector<Scenario> all = {
    // The guest goes on at the other node, in the same memory; the disk wants to be whole again
    // before it is used, and a clean stop does not wait for it.
    {.name = "disk-timeout",
     .script = R"(
primary A force
wait-sync
burst A requests=20 depth=4 hot=8
hang A
burst A requests=60 depth=8 reads=20 flushes=10 hot=200 max=8192 background
+1s is A Primary UpToDate
+5s is A Primary Failed not-errors
burst A requests=60 depth=8 reads=20 hot=200 max=8192
is A Failed not-errors
attach A expect=refused
mend A
+1s attach A expect=done
wait-sync
burst A requests=20 depth=4 reads=50 hot=200
is A Primary UpToDate not-errors
hang A
burst A requests=20 depth=8 reads=0 hot=8 background
+5s stop A
mend A
start A
wait-sync
promote A
burst A requests=20 depth=4 reads=80 hot=200
)",
     .disk_timeout_seconds = 3},
    // Late for the guest's write, in time for the next one: the disk is used as if nothing was.
    {.name = "disk-answers-within-its-timeout",
     .script = R"(
primary A force
wait-sync
hang A
burst A requests=20 depth=8 reads=20 hot=8 background
+2s mend A
wait-idle
+10s is A Primary UpToDate not-errors
)",
     .disk_timeout_seconds = 3},
    {.name = "disk-timeout-of-metadata",
     .script = R"(
primary A force
wait-sync
hang A meta
burst A requests=60 depth=8 reads=0 flushes=10 background
wait-idle
is A Primary Failed not-errors
burst A requests=20 depth=8
attach A expect=refused
mend A meta
+1s attach A expect=done
wait-sync
)",
     .active_regions = 2,
     .disk_timeout_seconds = 3},
    // Both at once, as when one disk carries both.
    {.name = "disk-timeout-of-both",
     .script = R"(
primary A force
wait-sync
hang A
hang A meta
burst A requests=60 depth=8 reads=10 flushes=10 background
wait-idle
is A Primary Failed not-errors
+20s stop A
mend A
mend A meta
start A
wait-sync
)",
     .active_regions = 2,
     .disk_timeout_seconds = 3},
    {.name = "disk-timeout-of-the-peer",
     .script = R"(
primary A force
wait-sync
burst A requests=20 depth=4
hang B
burst A requests=60 depth=8 reads=0 background
wait-idle
+10s is A Primary UpToDate not-errors
is B Failed
burst B requests=20 reads=100
attach B expect=refused
mend B
+1s attach B expect=done
wait-sync
)",
     .disk_timeout_seconds = 3},
    // A resync writes, or reads, on a disk that hangs.
    {.name = "disk-timeout-in-a-resync",
     .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=60 depth=8 reads=0
hang B
heal
+15s is B Failed
mend B
+1s attach B expect=done
wait-sync
)",
     .disk_timeout_seconds = 3},
    // A flush that hangs has failed: this copy may lack what it was to make durable.
    {.name = "disk-timeout-of-a-flush",
     .script = R"(
primary A force
wait-sync
burst A requests=40 depth=8 reads=0 flushes=0 fua=0 hot=200
hang A
flush A
is A Primary Failed not-errors
kill A
mend A
start A
wait-sync
)",
     .disk_timeout_seconds = 3},
    // No other copy to go on with: clients are told.
    {.name = "disk-timeout-alone",
     .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=20 depth=4 reads=0
hang A
burst A requests=20 depth=8 background
wait-idle
is A Failed errors
mend A
+1s attach A
heal
)",
     .disk_timeout_seconds = 3},
    // While the process slept nobody can have heard the disk's answers.
    {.name = "disk-timeout-and-a-pause",
     .script = R"(
primary A force
wait-sync
slow-disk A ms=3500 permille=1000
burst A requests=40 depth=8 reads=10 flushes=0 background
+6s pause A
+60s resume A
+5s is A UpToDate
slow-disk A ms=50 permille=0
wait-sync
)",
     .disk_timeout_seconds = 4},
};

}  // namespace

const std::vector<Scenario>& timeout_scripts() {
  return all;
}

}  // namespace baton::sim
