#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

using replication::Protocol;

// More starts alone than a lineage holds generations, each with a write that makes one.
const std::string& more_generations_than_fit() {
  static const std::string script = [] {
    std::string text = R"(
primary A force
wait-sync
burst A requests=10 reads=0
kill B
+8s write A at=0
)";
    for (std::size_t i = 0; i < blockdev::lineage_max + 6; ++i) {
      text += "kill A\nstart A\n+2500ms is A Primary UpToDate\nwrite A at=0\n";
    }
    return text + R"(
start B
wait-connected
+100ms is A not-split-brain
wait-sync
cut silence
+8s write A at=0
promote B force expect=done
write B at=4096
heal
wait-split-brain
)";
  }();
  return script;
}

// Numbers are those of the list of schedules (docs/reliability.md). "A" is the holder, "B" its
// peer.
const std::vector<Scenario> all = {
    // 1
    {.name = "own-cache-lost", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0
power A lose
start A
wait-sync
burst A requests=30 reads=100
)"},
    // 2
    {.name = "bit-cleared-before-flush", .script = R"(
primary A force
wait-sync
kill B
+7s burst A requests=60 reads=0 flushes=0 fua=0
start B
+30ms power B lose
+1s start B
wait-sync
power B lose
start B
wait-sync
)"},
    // 3
    {.name = "fast-forward-forgets-the-shorter-side", .script = R"(
primary A force
wait-sync
burst A requests=40 depth=32 reads=0 flushes=0 background
+300us kill A
+10s promote B force expect=done
burst B requests=5 reads=0
start A
wait-sync
burst B requests=40 reads=100
burst A requests=40 reads=100
)"},
    // 4
    {.name = "two-volumes-two-directions",
     .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=10 reads=0 volume=0
promote B force
burst B requests=10 reads=0 volume=1
heal
wait-split-brain
)",
     .volumes = 2},
    // 5
    {.name = "end-of-resync-lost", .script = R"(
primary A force
wait-sync
kill B
+7s burst A requests=10 reads=0
start B
+3ms cut silence
+8s burst A requests=10 reads=0
kill A
promote B force
burst B requests=10 reads=0
start A
heal
wait-connected
+3s wait
)"},
    // 6
    {.name = "interrupted-target", .script = R"(
primary A force
wait-sync
kill B
+7s burst A requests=100 depth=16 reads=0 hot=200
start B
+8ms kill B
+100ms cut silence
start B
promote B expect=refused
heal
wait-sync
)"},
    // 7
    {.name = "tip-fell-off", .script = more_generations_than_fit(), .seeds = 3},
    // 8
    {.name = "idle-after-loss",
     .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0 flushes=0 fua=0
power B lose
+10s kill A
start B
+1s promote B force expect=done
burst B requests=10 reads=0 flushes=0
start A
wait-split-brain
)",
     .protocol = Protocol::b},
    // 9
    {.name = "diskless-holder", .script = R"(
primary A force
wait-sync
burst A requests=10 reads=0
fail A write sticky
burst A requests=40 depth=4 reads=20
is A Primary Failed not-errors
kill B
kill A
mend A
start A
+3s promote A expect=refused
promote A force expect=done
write A at=0
start B
wait-split-brain
)"},
    // 10
    {.name = "stale-read-on-secondary",
     .script = R"(
primary A force
wait-sync
burst A requests=200 depth=8 reads=10 think=300 hot=4 background
burst B requests=200 depth=8 reads=100 think=300 hot=4 background
+30ms cut one-way A
+8s heal
burst B requests=50 reads=100 hot=4
wait-idle
)",
     .protocol = Protocol::a},
    // 11
    {.name = "hole-skipped-onto-old-bytes", .script = R"(
primary A force
wait-sync
burst A requests=30 reads=0
kill B
+7s burst A requests=60 reads=0 discards=50 zeroes=50
start B
wait-sync
handover A expect=done
burst B requests=40 reads=100
)"},
    // 12
    {.name = "trim-differs", .script = R"(
primary A force
wait-sync
burst A requests=30 reads=0 flushes=0
burst A requests=60 reads=0 discards=100
handover A expect=done
burst B requests=60 reads=100
)"},
    // 13, 14: client-gone-baton-back and quiet-is-not-stopped are in first_write_scripts.cpp.
    // 15
    {.name = "priority-overtakes", .script = R"(
primary A force
wait-sync
burst A requests=200 depth=32 reads=0 flushes=25 fua=30 background
+2ms power B lose
+10s start B
wait-sync
burst A requests=100 depth=32 flushes=25 background
burst B requests=100 depth=16 reads=100 background
+3ms handover A background
+1s wait-idle
burst B requests=40 reads=100
)"},
    // 16
    {.name = "old-session-write-lands-late", .script = R"(
primary A force
wait-sync
slow-disk B ms=4000 permille=500
burst A requests=40 depth=16 reads=0 hot=2 background
+2ms cut reset
+50ms heal
+100ms burst A requests=40 depth=16 reads=0 hot=2 background
+20s wait-idle
mend B
wait-sync
)"},
    // 17. The lineages are equal, and what was written has left the activity log: only the
    // session's
    // stamp tells, through a crash of the node that remembers it.
    {.name = "disk-from-the-past",
     .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 hot=2000 max=4096
burst A requests=1 flushes=100
snapshot B
cut reset
+100ms heal
wait-sync
burst A requests=400 reads=0 hot=4000 max=4096
burst A requests=1 flushes=100
kill B
kill A
restore B
start A
start B
wait-sync
promote B
burst B requests=400 reads=100 hot=4000 max=4096
)",
     .active_regions = 2},
    // 18
    {.name = "boots-first", .script = R"(
primary A force
wait-sync
burst A requests=10 reads=0
power B lose
+10s burst A requests=20 reads=0
power A keep
+1s start B
+3s promote B expect=refused
start A
wait-connected
promote A
wait-sync
burst A requests=40 reads=100
)"},
    // 19
    {.name = "stale-behind-mark", .script = R"(
primary A force
wait-sync
kill B
+8s burst A requests=10 reads=0
start B
wait-sync
cut reset
+100ms kill A
+1s promote B force
burst B requests=10 reads=0
start A
+10s is A not-Primary
promote A expect=refused
heal
wait-sync
)"},
    // 20
    {.name = "equal-epochs", .script = R"(
primary A force
wait-sync
burst A requests=10 reads=0
cut silence
+100ms kill A
+8s promote B force expect=done
start A
+1s promote A force
heal
+5s wait    # both stop, and refuse each other until an operator has demoted one
)"},
    // 21
    {.name = "grant-from-the-past", .script = R"(
primary A force
wait-sync
burst A requests=200 depth=8 think=500 background
burst B requests=200 depth=8 reads=50 think=500 background
+10ms handover A background
+150us cut reset
+200ms heal
+3s handover A background
+100us cut silence
+8s heal
+5s wait-connected
)"},
    {.name = "paused-holder", .script = R"(
primary A force
wait-sync
burst A requests=400 depth=4 reads=0 think=2000 background
+50ms pause A
+30s promote B force
burst B requests=20 reads=0
+30s resume A
+10s wait-connected
)"},
    // 23
    {.name = "partition-both-promote", .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
cut silence
+8s burst A requests=10 reads=0
promote B expect=refused
promote B force expect=done
burst B requests=10 reads=0
heal
wait-split-brain
is A split-brain
is B split-brain
)"},
    // 24
    {.name = "primary-made-target", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=10 reads=0
wait-idle
power A keep
promote B force expect=done
start A
heal
+10s is B Primary
)"},
    {.name = "equal-row-holes", .script = R"(
primary A force
wait-sync
burst A requests=60 depth=32 reads=0 flushes=0 background
+500us power A tear
power B tear
+1s start A
start B
wait-connected
promote A
wait-sync
burst A requests=60 reads=100
)"},
    // early-grant: first_write_scripts.cpp.
    // 27
    {.name = "synctarget-holder-loses-source", .script = R"(
primary A force
wait-sync
kill B
+8s burst A requests=100 depth=16 reads=0 hot=200
start B
+4ms handover A background
+1ms cut silence
burst B requests=10 background
burst A requests=10 background
+30s heal
wait-sync limit=120
)"},
    // 28
    {.name = "protocol-A-flush",
     .script = R"(
primary A force
wait-sync
slow-disk B ms=3000 permille=900
burst A requests=50 depth=4 reads=0 flushes=40
mend B
wait-sync
)",
     .protocol = Protocol::a},
    {.name = "holds-add-up",
     .script = R"(
primary A force
wait-sync
cut silence
+8s is A Primary suspended
write at=65536 bytes=4096 background
+13s fail A write enospc sticky
heal
wait-connected
wait-idle limit=9
is A Primary UpToDate errors
mend A
)",
     .on_peer_lost = replication::OnPeerLost::suspend},
    // refused-first-write: first-write-waits-for-silence in first_write_scripts.cpp.
    // 31
    {.name = "never-flushes", .script = R"(
primary A force
wait-sync
burst A requests=3000 depth=16 reads=0 flushes=0 fua=0 discards=0 hot=2000 max=4096
wait-idle
)"},
    // More of them in sharing_scripts.cpp.
    {.name = "two-primaries",
     .script = R"(
primary A force
wait-sync
promote B expect=done
burst A requests=150 depth=8 reads=40 hot=2 max=1048576 flushes=5 background
burst B requests=150 depth=8 reads=40 hot=2 max=1048576 flushes=5
wait-idle
is A Primary not-errors
is B Primary not-errors
)",
     .two_primaries = true},
    // 33
    {.name = "dirty-read", .script = R"(
primary A force
wait-sync
slow-disk B ms=300 permille=700
burst A requests=60 depth=32 reads=50 flushes=0 hot=1 background
+20ms power A lose
+10s promote B force expect=done
burst B requests=20 reads=100 hot=1
start A
wait-sync
)"},
    {.name = "resize-half-done", .missing = "resize"},
};

}  // namespace

const std::vector<Scenario>& schedules() {
  return all;
}

}  // namespace baton::sim
