#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

// Few requests, so that every event can be met; hot blocks, so that they meet each other.
const std::vector<Scenario> all = {
    {.name = "short-write-burst", .script = R"(
primary A force
wait-sync
mark
burst A requests=12 depth=4 reads=20 flushes=0 hot=4 max=8192
burst B requests=3 reads=100 hot=4
burst A requests=4 reads=50 flushes=0 hot=4 max=8192
)"},
    {.name = "short-flush", .script = R"(
primary A force
wait-sync
mark
burst A requests=16 depth=6 reads=0 flushes=40 fua=30 hot=4 max=4096
burst A requests=6 depth=2 reads=0 flushes=50 hot=4 max=4096
)"},
    {.name = "short-fail-over", .script = R"(
primary A force
wait-sync
mark
burst A requests=8 depth=4 reads=0 hot=4 max=4096 background
+400us kill A
+7s promote B force expect=done
burst B requests=4 reads=25 hot=4 max=4096
start A
wait-sync
burst A requests=4 reads=100 hot=4
)"},
    {.name = "short-resync", .script = R"(
primary A force
wait-sync
mark
burst A requests=4 reads=0 hot=8 max=4096
kill B
+7s burst A requests=8 depth=4 reads=0 hot=8 max=4096
start B
+1ms burst A requests=8 depth=4 reads=10 hot=8 max=4096
wait-sync
)"},
    {.name = "short-resync-interrupted", .script = R"(
primary A force
wait-sync
power B lose
+7s burst A requests=8 depth=4 reads=0 hot=8 max=4096
mark
start B
+3ms cut reset
+20ms burst A requests=4 reads=0 hot=8 max=4096
heal
wait-sync
burst B requests=4 reads=100 hot=8
)"},
    {.name = "short-first-write", .script = R"(
primary A force
wait-sync
burst A requests=6 depth=4 reads=0
flush A
mark
allow B
+21ms write B
burst B requests=4 depth=2
write A
)"},
    // The question waits, the source goes on.
    {.name = "short-first-write-refused", .script = R"(
primary A force
wait-sync
allow B
burst A requests=6 depth=4 reads=0 flushes=0
mark
write B background
+2ms write A
+2ms burst B requests=2
burst A requests=4 depth=2
)"},
    {.name = "short-handover", .script = R"(
primary A force
wait-sync
burst A requests=4 reads=0 hot=4 max=4096
mark
burst A requests=6 depth=3 reads=0 hot=4 max=4096 background
burst B requests=3 reads=100 hot=4 background
+100us handover A expect=done
burst B requests=4 reads=25 hot=4 max=4096
handover B expect=done
burst A requests=4 reads=50 hot=4
)"},
    // Voided by the holder's own write, withdrawn, and cut off in the middle.
    {.name = "short-handover-aborted", .script = R"(
primary A force
wait-sync
burst A requests=4 reads=0 hot=4 max=4096
mark
offer A
burst A requests=2 reads=0 hot=4 max=4096
offer A
withdraw A expect=done
burst A requests=2 reads=0 hot=4 max=4096
handover A background
+200us cut reset
+20ms heal
wait-connected
burst A requests=2 reads=0 hot=4 max=4096 background
burst B requests=2 reads=0 hot=4 max=4096 background
wait-idle
)"},
    {.name = "short-split-brain", .script = R"(
primary A force
wait-sync
burst A requests=4 reads=0 hot=4 max=4096
cut silence
+7s mark
burst A requests=4 reads=0 hot=4 max=4096
promote B force expect=done
burst B requests=4 reads=0 hot=4 max=4096
heal
wait-split-brain
demote B force
connect B discard
wait-sync
burst B requests=4 reads=100 hot=4
)"},
    // What the loser has alone is kept first, whatever fails while it is.
    {.name = "short-resolve", .script = R"(
primary A force
wait-sync
burst A requests=4 reads=0 hot=4 max=4096
cut silence
+8s burst A requests=3 reads=0 hot=4 max=4096
promote B force
burst B requests=4 reads=0 hot=6 max=4096
demote B force
heal
wait-split-brain
mark
resolve A own
wait-sync
burst B requests=4 reads=100 hot=6
)"},
    {.name = "short-first-sync", .script = R"(
mark
primary A force
burst A requests=8 depth=4 reads=20 hot=4 max=4096
wait-sync
burst B requests=4 reads=100 hot=4
)"},
    // Under its clients, at the Primary, and back.
    {.name = "short-detach-and-attach", .script = R"(
primary A force
wait-sync
burst A requests=4 reads=0 hot=4 max=4096
mark
burst A requests=6 depth=2 reads=30 hot=4 max=4096 background
+200us detach A
burst A requests=4 reads=50 flushes=25 hot=4 max=4096
attach A
burst A requests=6 depth=2 reads=30 hot=4 max=4096 background
wait-idle
)"},
    // The role goes to a node without its disk, and comes back.
    {.name = "short-move-without-a-disk", .script = R"(
primary A force
wait-sync
burst A requests=4 reads=0 hot=4 max=4096
detach B
burst A requests=4 reads=0 hot=4 max=4096
mark
burst A requests=6 depth=2 reads=30 hot=4 max=4096 background
+200us handover A
burst B requests=4 reads=50 flushes=25 hot=4 max=4096
handover B
burst A requests=4 reads=50 hot=4 max=4096
attach B
wait-sync
)"},
    {.name = "short-stop-and-start", .script = R"(
primary A force
wait-sync
burst A requests=4 reads=0 hot=4 max=4096
mark
stop B
burst A requests=6 depth=3 reads=0 hot=4 max=4096
start B
wait-sync
stop A
+10ms start A
wait-connected
promote A
wait-sync
burst A requests=4 reads=50 hot=4
)"},
    {.name = "short-both-lose-power", .script = R"(
primary A force
wait-sync
burst A requests=4 reads=0 hot=4 max=4096
mark
burst A requests=8 depth=4 reads=0 flushes=10 hot=4 max=4096 background
+400us power A tear
power B tear
+1s start A
start B
wait-connected
promote A
wait-sync
burst A requests=6 reads=50 hot=4 max=4096
)"},
    {.name = "short-discard-storm", .script = R"(
primary A force
wait-sync
burst A requests=6 depth=4 reads=0 flushes=0 hot=4
mark
burst A requests=16 depth=8 reads=10 flushes=5 discards=45 zeroes=30 hot=3 max=16384
burst A requests=4 reads=100 hot=4
)"},
};

}  // namespace

const std::vector<Scenario>& short_scripts() {
  return all;
}

}  // namespace baton::sim
