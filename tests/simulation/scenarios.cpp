#include "tests/simulation/scenarios.h"

#include <algorithm>

namespace baton::sim {
namespace {

using replication::Protocol;

// "A" is the holder, "B" its peer.
const std::vector<Scenario> others = {
    {.name = "write-burst", .script = R"(
primary A force
wait-sync
burst A requests=200 depth=16
handover A expect=done
burst B requests=100 depth=8
burst A requests=20 reads=100
)"},
    {.name = "fail-over", .script = R"(
primary A force
wait-sync
burst A requests=50 depth=8
power A tear
+10s promote B force expect=done
burst B requests=50
start A
wait-sync
burst A requests=20 reads=100
)"},
    // The same over NBD: the session's requests are drained and its clients keep their connections.
    {.name = "nbd-write-burst",
     .script = R"(
primary A force
wait-sync
burst A requests=200 depth=32 fua=20 discards=10 zeroes=10
burst A requests=200 depth=16 background
+2ms handover A expect=done
burst B requests=100 depth=8
burst A requests=20 reads=100
stop A expect=done
start A
wait-sync
burst A requests=40 reads=100
)",
     .nbd = true},
    // A half-received write is a write that never happened; one that was received whole is settled
    // when the session has ended, and not overtaken by what the client sends on its next
    // connection.
    {.name = "nbd-client-cut-mid-write",
     .script = R"(
primary A force
wait-sync
burst A requests=200 depth=8 reads=20 flushes=5 hot=4 background
+1ms drop-clients A
+2ms drop-clients A
+2ms drop-clients A
+3ms drop-clients A
wait-idle
burst A requests=60 reads=100 hot=4
slow-link A ms=20
burst A requests=60 depth=32 reads=20 fua=50 hot=4 background
+10ms drop-clients A
+30ms drop-clients A
wait-idle
heal
burst A requests=60 reads=100 hot=4
stop A expect=done
start A
wait-sync
burst B requests=60 reads=100 hot=4
)",
     .nbd = true},
    // What a guest has to make its data durable, as NBD carries it: FLUSH, and FUA on all that
    // writes.
    {.name = "nbd-flushed-outlives",
     .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=100 discards=10 zeroes=10 hot=8
burst A requests=40 reads=0 flushes=0 fua=0 discards=10 zeroes=10 hot=8
burst A requests=1 flushes=100
burst A requests=20 reads=0 flushes=0 fua=100 hot=8
power A lose
power B lose
+1s start B
+1s promote B force expect=done
burst B requests=60 reads=100 hot=8
start A
wait-connected
)",
     .nbd = true},
    // What was flushed, or written with FUA, is on stable storage on both copies.
    {.name = "fua-outlives-both", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=100 discards=0 zeroes=0 hot=8
power A lose
power B lose
+1s start B
+1s promote B force expect=done
burst B requests=60 reads=100 hot=8
start A
wait-connected
)"},
    // Found by the swarm: under B a FUA write was done when the peer had received it.
    {.name = "fua-outlives-both-under-b",
     .script = R"(
primary A force
wait-sync
slow-disk B ms=40 permille=1000
burst A requests=4 depth=4 reads=0 flushes=0 fua=100 discards=0 zeroes=0 hot=8
power B lose
cut silence
power A lose
heal
+1s start B
+1s promote B force expect=done
burst B requests=60 reads=100 hot=8
start A
wait-connected
)",
     .protocol = Protocol::b},
    {.name = "flush-outlives-both", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0 discards=0 zeroes=0 hot=8
burst A requests=1 flushes=100
power A lose
power B lose
+1s start B
+1s promote B force expect=done
burst B requests=60 reads=100 hot=8
start A
wait-connected
)"},
    // B's disk fails a write: B is no copy until it was repaired, and lacks what it did not write.
    {.name = "peer-eio", .script = R"(
primary A force
wait-sync
fail B write
burst A requests=30 reads=0 flushes=10 discards=0 zeroes=0
burst A requests=1 flushes=100
mend B
+100ms kill B
+1s start B
wait-sync
handover A expect=done
burst B requests=60 reads=100
)"},
    // Alone, with a peer that is known to be behind: what the disk failed to flush is not
    // acknowledged as flushed.
    {.name = "failed-flush", .script = R"(
primary A force
wait-sync
kill B
+8s burst A requests=40 reads=0 flushes=0 fua=0 hot=8
fail A flush
burst A requests=1 flushes=100
mend A
power A lose
+1s start A
+1s promote A
burst A requests=60 reads=100 hot=8
start B
wait-sync
)"},
    // Found by the swarm: a node that was about to be copied to read what only the other had, then
    // the other died, and this copy took itself for the better one.
    {.name = "target-outlives-its-source",
     .script = R"(
primary A force
wait-sync
burst A requests=400 depth=24 reads=30 flushes=0 fua=0 hot=4 max=8192 background
+5ms power A lose
start A
slow-disk B ms=30 permille=500
wait-connected
burst A requests=200 depth=24 reads=100 flushes=0 hot=4 max=8192 background
+500us power B lose
+10ms start B
mend B
wait-sync
burst A requests=40 reads=100 hot=4
burst B requests=40 reads=100 hot=4
)",
     .volumes = 2,
     .seeds = 20},
    // Found by seed 2658: of two equal copies the holder's was chosen, its clients read what only
    // it had, and it died before the other was told; the next time the other was chosen.
    {.name = "read-from-the-source-that-dies",
     .script = R"(
primary A force
wait-sync
burst A requests=400 depth=24 reads=30 flushes=0 fua=0 hot=4 max=8192 background
+5ms cut silence
+1ms kill A
heal
start A
wait-connected
cut silence
burst A requests=200 depth=24 reads=100 flushes=0 hot=4 max=8192 background
+2ms stop A
heal
start A
wait-sync
burst A requests=400 depth=24 reads=30 flushes=0 fua=0 hot=4 max=8192 background
+5ms cut silence
+1ms kill A
heal
start A
wait-connected
slow-link A ms=50
burst A requests=200 depth=24 reads=100 flushes=0 hot=4 max=8192 background
+2ms stop A
start A
+10ms kill A
heal
start A
wait-sync
burst A requests=40 reads=100 hot=4
burst B requests=40 reads=100 hot=4
)",
     .volumes = 2,
     .seeds = 20},
    // Of two copies of one generation the source cannot vouch for what it has.
    {.name = "chosen-source-cannot-flush", .script = R"(
primary A force
wait-sync
burst A requests=400 depth=24 reads=30 flushes=0 fua=0 hot=4 max=8192 background
+5ms cut silence
+1ms kill A
heal
slow-link A ms=50
start A
+10ms fail A flush count=1
+2s heal
mend A
attach A
wait-sync
promote A
burst A requests=40 reads=100 hot=4
)"},
    // The activity log.
    // A write waits for room in the log, the flush that would make it waits for B, and B is lost.
    {.name = "log-full-while-the-peer-is-lost",
     .script = R"(
primary A force
wait-sync
burst A requests=600 depth=16 reads=0 flushes=0 fua=0 hot=500 max=4096 background
+2ms power B lose
+60s is A Primary
start B
wait-sync
)",
     .active_regions = 2},
    // Found by the swarm: somebody else's flush made room, not enough of it, and the log's second
    // question was taken for the first.
    {.name = "room-asked-for-while-cleaning",
     .script = R"(
primary A force
wait-sync
burst A requests=400 depth=24 reads=10 flushes=13 hot=500 max=4096 background
burst A requests=400 depth=24 reads=10 flushes=9 hot=500 max=4096 background
+1ms power B keep
+60s is A Primary
start B
wait-sync
)",
     .active_regions = 2,
     .seeds = 200},
    // Found by the swarm: the data disk failed, and nobody answered the writes that waited for room
    // in the log; a stop waited for them.
    {.name = "disk-fails-while-the-log-is-full",
     .script = R"(
primary A force
wait-sync
fail A write guarded sticky volume=0
burst A requests=200 depth=16 reads=0 flushes=0 fua=0 hot=500 max=4096 background
+100ms stop A
start A
)",
     .active_regions = 2},

    // Links and processes. "late" is a network that is later than anybody's patience.
    {.name = "late-one-way", .script = R"(
primary A force
wait-sync
slow-link A ms=25000
burst A requests=60 depth=8 background
+90s heal
wait-sync
)"},
    {.name = "slow-reader", .script = R"(
primary A force
wait-sync
slow-link A bytes=2000000
burst A requests=400 depth=32 reads=0 max=65536 flushes=2
wait-idle
is A Connected
heal
wait-sync
)"},
    {.name = "half-open", .script = R"(
primary A force
wait-sync
burst A requests=200 depth=8 think=300 background
burst B requests=100 depth=4 reads=100 think=300 background
+10ms half-open B
+50ms half-open A
+2s wait-idle
wait-sync
burst B requests=40 reads=100
)"},
    {.name = "holder-paused-for-minutes", .script = R"(
primary A force
wait-sync
burst A requests=100 depth=8 think=500 background
+10ms pause A
+600s resume A
wait-sync
burst A requests=40 reads=50
is A Primary
)"},
    // The second time it dies before it has met its peer again (found by seed 1157806).
    {.name = "killed-twice-and-still-primary", .script = R"(
primary A force
wait-sync
burst A requests=20
cut silence
kill A
start A
+1s kill A
start A
+1s heal
wait-connected
is A Primary
burst A requests=20 reads=50
+1s kill A
start A
wait-connected
is A Primary
cut silence
kill A
start A
+500ms demote A
kill A
start A
heal
wait-connected
is A Secondary
)"},
    // Under A the new holder writes on behind a link that is gone; the one that gave the baton away
    // has not heard that it was taken, and must not count as the one that wrote last (found by seed
    // 1157806).
    {.name = "writes-behind-an-unheard-grant",
     .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
slow-link B ms=2000
handover A background
+5s cut B silence
burst B requests=20 reads=0 flushes=20
kill B
+8s start B
+1s kill B
start B
heal
wait-connected
burst A requests=20 reads=60
burst B requests=20 reads=60
)",
     .protocol = Protocol::a,
     .seeds = 40},
    {.name = "power-lost-behind-an-unheard-grant",
     .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
slow-link B ms=2000
handover A background
+5s cut B silence
burst B requests=20 reads=0 flushes=20
+1s power B keep
+8s start B
heal
wait-connected
promote B
burst A requests=20 reads=60
burst B requests=20 reads=60
)",
     .protocol = Protocol::a,
     .seeds = 40},
    {.name = "restart-loop", .script = R"(
primary A force
wait-sync
burst A requests=400 depth=8 think=500 background
+20ms kill B
+10ms start B
+30ms kill B
+1ms start B
+200ms kill B
+5ms start B
+2ms kill B
+90ms start B
wait-sync
burst A requests=40 depth=16
)"},
    // A write in flight when the link was cut and B forced, acknowledged by A alone afterwards; A
    // is then told to discard its data.
    {.name = "forced-while-writes-are-in-flight", .script = R"(
primary A force
wait-sync
burst A requests=48 depth=12 reads=30 flushes=3 fua=37 hot=64 max=16384 background
+14ms cut B reset
+900us promote B force
+900us burst B requests=22 depth=19 reads=12 flushes=8 hot=61 max=4096 background
+1900us power B keep
)"},
    // From the field (docs/reliability.md names the incidents).
    {.name = "survivors-bits-are-kept", .script = R"(
primary A force
wait-sync
kill B
+8s burst A requests=100 depth=16 reads=0 hot=200
start B
+6ms kill A
+20ms start A
+3ms kill B
+100ms start B
wait-connected
wait-sync
handover A expect=done
burst B requests=60 reads=100 hot=200
)"},
    {.name = "reconnect-loop", .script = R"(
primary A force
wait-sync
burst A requests=600 depth=8 reads=10 think=2000 hot=60 background
+10ms cut reset
+20ms heal
+150ms cut reset
+20ms heal
+150ms cut reset
+7s heal
+150ms disconnect B
+20ms connect B
+150ms cut reset
+20ms heal
wait-sync
wait-idle
handover A expect=done
burst B requests=60 reads=100 hot=60
)"},
    {.name = "congested-link-is-cut", .script = R"(
primary A force
wait-sync
slow-link A bytes=100000
burst A requests=200 depth=32 reads=0 max=65536 background
+300ms cut reset
+50ms heal
wait-sync
handover A expect=done
burst B requests=60 reads=100
)"},
    // Found by the swarm: a held write at the node that had granted made a generation, and with
    // what the other wrote in its new epoch that was a split brain nobody had forced.
    {.name = "grant-read-after-a-long-pause", .script = R"(
primary A force
wait-sync
handover A background
+548us pause B
+112s burst B requests=27 depth=5 reads=31 flushes=8 fua=0 hot=37 max=1024 background
+1s burst A requests=33 depth=28 reads=54 flushes=0 fua=0 hot=28 think=1661 background
+100ms resume B
wait-sync
is A Secondary
is A not-split-brain
)"},
    // Found by faults at every event: the loser of a split brain, half overwritten with the other's
    // data, counted as a history of its own again when its session was lost; told then to discard
    // the only whole copy, both refused for ever.
    {.name = "resolve-interrupted", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=200 reads=0 flushes=0 hot=200
promote B force expect=done
burst B requests=10 reads=0
heal
wait-split-brain
demote B force
connect B discard no-undo
+105ms is B not-split-brain
slow-link A bytes=10000000
+20ms is B Inconsistent
kill B
start B
wait-connected
is A not-split-brain
wait-sync
burst B requests=60 reads=100 hot=200
)"},
    {.name = "metadata-write-fails", .script = R"(
primary A force
wait-sync
fail B write meta sticky
kill B
+7s burst A requests=40
start B
+5s mend B meta
kill B
start B
wait-sync
)"},
};

}  // namespace

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> all = [] {
    std::vector<Scenario> every = schedules();
    every.insert(every.end(), others.begin(), others.end());
    every.insert(every.end(), disk_scripts().begin(), disk_scripts().end());
    every.insert(every.end(), diskless_scripts().begin(), diskless_scripts().end());
    every.insert(every.end(), filling_scripts().begin(), filling_scripts().end());
    every.insert(every.end(), meeting_scripts().begin(), meeting_scripts().end());
    every.insert(every.end(), rare_path_scripts().begin(), rare_path_scripts().end());
    every.insert(every.end(), verify_scripts().begin(), verify_scripts().end());
    every.insert(every.end(), undo_scripts().begin(), undo_scripts().end());
    every.insert(every.end(), resync_scripts().begin(), resync_scripts().end());
    every.insert(every.end(), timeout_scripts().begin(), timeout_scripts().end());
    every.insert(every.end(), room_scripts().begin(), room_scripts().end());
    every.insert(every.end(), peer_loss_scripts().begin(), peer_loss_scripts().end());
    every.insert(every.end(), first_write_scripts().begin(), first_write_scripts().end());
    every.insert(every.end(), sharing_scripts().begin(), sharing_scripts().end());
    every.insert(every.end(), region_scripts().begin(), region_scripts().end());
    every.insert(every.end(), fencing_scripts().begin(), fencing_scripts().end());
    every.insert(every.end(), short_scripts().begin(), short_scripts().end());
    return every;
  }();
  return all;
}

Scenario fenced(Scenario scenario) {
  scenario.on_peer_lost = replication::OnPeerLost::suspend;
  scenario.fencing = Fencing::works;
  return scenario;
}

const Scenario* find_scenario(std::string_view name) {
  const auto found = std::ranges::find(scenarios(), name, &Scenario::name);
  return found == scenarios().end() ? nullptr : &*found;
}

Plan plan_of(const Scenario& scenario) {
  Plan plan;
  plan.settings.protocol = scenario.protocol;
  plan.settings.auto_resume = scenario.auto_resume;
  plan.settings.two_primaries = scenario.two_primaries;
  plan.settings.after_sb = scenario.after_sb;
  plan.settings.on_peer_lost = scenario.on_peer_lost;
  plan.settings.fencing = scenario.fencing;
  plan.settings.nbd = scenario.nbd;
  plan.settings.active_regions = scenario.active_regions;
  plan.settings.checksum_based = scenario.checksum_based;
  plan.settings.verify_interval = std::chrono::seconds(scenario.verify_seconds);
  plan.settings.disk_timeout = std::chrono::seconds(scenario.disk_timeout_seconds);
  // Never-flushes needs more regions than a small volume has.
  plan.settings.volume_bytes.assign(scenario.volumes, 16U << 20U);
  plan.script = parse_script(scenario.script);
  return plan;
}

}  // namespace baton::sim
