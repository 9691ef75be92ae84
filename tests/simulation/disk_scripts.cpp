#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

// Disks that fail, fill up or hang; then those that lie, or are others than they were. "A" is the
// holder, "B" its peer.
const std::vector<Scenario> all = {
    // Found by the swarm: a write that only the peer's disk had room for left two different
    // copies that both counted as UpToDate.
    // Found by the swarm: the holder's disk failed, and what was still in flight was acknowledged
    // from that disk alone, in a generation that nobody else would ever get.
    {.name = "holder-disk-fails", .script = R"(
primary A force
wait-sync
fail A write count=2
burst A requests=40 depth=16 reads=25 flushes=17 fua=40 background
+40ms is A Failed
is B UpToDate
kill A
+8s promote B expect=done
burst B requests=20 reads=100
mend A
start A
wait-sync
burst A requests=40 reads=100
)"},
    // Found by faults at every event: the disk failed while a lost link was not known to be lost,
    // and that was not looked at before the peer had answered, too. Writes were then acknowledged
    // from that disk alone.
    {.name = "holder-disk-fails-in-silence", .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
cut silence
fail A write
burst A requests=4 depth=4 reads=0 flushes=0 discards=0 zeroes=0 background
+8s is A Failed
promote B force expect=done
burst B requests=10 reads=0
heal
mend A
kill A
start A
wait-sync
burst A requests=40 reads=100
)"},
    // Found by the swarm: the other volume of that node still served reads of writes that the peer
    // lacked.
    {.name = "one-disk-of-two-fails",
     .script = R"(
primary A force
wait-sync
fail A write volume=1
burst A requests=60 depth=12 reads=40 flushes=16 fua=40 think=300 background
+2s burst A requests=10 reads=50
is A Primary not-errors
kill A
+8s promote B expect=done
burst B requests=40 reads=100
mend A volume=1
start A
wait-sync
burst A requests=40 reads=100
)",
     .volumes = 2},
    {.name = "bad-sectors", .script = R"(
primary A force
wait-sync
burst A requests=60 reads=0 hot=200
fail B write sticky offset=65536 length=1048576
burst A requests=60 reads=0 hot=200
kill B
start B
+3s burst A requests=20
mend B
kill B
start B
wait-sync
)"},
    {.name = "peer-flush-fails", .script = R"(
primary A force
wait-sync
burst A requests=30 reads=0 flushes=0 fua=0
fail B flush
burst A requests=40 reads=0 flushes=60
is B Failed
mend B
power B lose
start B
wait-sync
power A lose
+10s promote B force expect=done
burst B requests=40 reads=100
start A
wait-sync
)"},
    // The other node cannot take over, since the link is silent. What reads go on to show is
    // written
    // anew before it is believed, or the next power cut takes it back.
    {.name = "flush-fails-in-silence", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0 discards=0 zeroes=0 hot=200
cut silence
fail A flush
flush A background
+50ms is A Failed
kill A
start A
heal
wait-sync
power A lose
start A
wait-sync
burst A requests=40 reads=100 hot=200
burst B requests=40 reads=100 hot=200
)"},
    // The holder's disk fails a flush, and with it drops what reads still show. Its daemon is
    // restarted at once: the other copy is the one that counts.
    {.name = "flush-fails-at-the-holder", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0 discards=0 zeroes=0 hot=200
fail A flush
flush A
is A Failed
kill A
start A
wait-sync
burst B requests=20 reads=100 hot=200
power A lose
+10s promote B force
start A
wait-sync
burst A requests=60 reads=100 hot=200
)"},
    // Found by the swarm: the metadata's disk was full for a moment; the activity log took nothing
    // any more, every write got ENOSPC for ever, and the node counted as a good copy.
    {.name = "activity-log-cannot-be-written",
     .script = R"(
primary A force
wait-sync
fail A flush meta enospc
burst A requests=20 reads=0
is A Failed
kill A
start A
wait-sync
promote A
burst A requests=40 reads=100
)",
     .active_regions = 2},
    // Found by the swarm: the generation in which the holder goes on could not be recorded, and it
    // went on; with its disk it forgot what it had acknowledged.
    {.name = "generation-cannot-be-recorded", .script = R"(
primary A force
wait-sync
write A at=0
cut silence
fail A write meta sticky
write A at=0 background
+8s is A Failed
heal
mend A meta
kill A
start A
wait-sync
burst A requests=40 reads=100
)"},
    // Found by the swarm: alone, and done although the disk was none any more when it was.
    {.name = "metadata-fails-under-a-lone-write", .script = R"(
primary A force
wait-sync
kill B
+8s write A at=0
slow-disk A ms=800 permille=1000
fail A write meta sticky
write A at=0 background
start B
+5s is A Failed
mend A meta
kill A
start A
wait-sync
)"},
    // A disk that answers nothing is a peer that is stuck: dropped after the timeout.
    {.name = "peer-disk-hangs", .script = R"(
primary A force
wait-sync
hang B
burst A requests=40 depth=8
wait-idle
+60s burst A requests=20 depth=8
mend B
wait-sync
)"},

    // Disks that lie, or are others than they were, and what was found while looking at them.
    // Stamped anew, a disk of the past looks like any other; and it was stopped in order when its
    // source, lost before the first block, has crashed.
    {.name = "copied-from-the-past-is-interrupted",
     .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 hot=2000 max=4096
flush A
stop B
snapshot B
start B
wait-sync
cut reset
+100ms heal
wait-sync
burst A requests=100 reads=0 hot=2000 max=4096
flush A
kill B
restore B
slow-disk A ms=60 permille=1000
+200ms start B
+25ms power A keep
slow-disk A permille=0
start A
wait-connected
promote B
wait-sync
burst B requests=300 reads=100 hot=2000 max=4096
)",
     .seeds = 20},
    // What a disk from the past goes on to write, forced, is another history.
    {.name = "forced-from-the-past",
     .script = R"(
primary A force
wait-sync
burst A requests=20 reads=0
snapshot B
cut reset
+100ms heal
wait-sync
burst A requests=40 reads=0
burst A requests=1 flushes=100
kill B
restore B
cut silence
start B
+100ms promote B force expect=done
burst B requests=10 reads=0
heal
wait-split-brain
)",
     .seeds = 60},
    // Its record says that the other node is behind, and that it was Primary in this boot. The
    // other node knows better and can be asked.
    {.name = "record-from-the-past", .script = R"(
primary A force
wait-sync
kill B
+8s burst A requests=20 reads=0
snapshot A
start B
wait-sync
handover A expect=done
burst B requests=40 reads=0
kill A
restore A
start A
+1s is A not-Primary
is B Primary
wait-sync
)"},
    // The node that was lost is provisioned anew while the other one has a bitmap for it, and once
    // more in the middle of its first sync.
    // The same by an operator, who asks sooner than the other node can be heard.
    {.name = "promoted-on-a-record-from-the-past", .script = R"(
primary A force
wait-sync
kill B
+8s burst A requests=20 reads=0
stop A
snapshot A
start A
start B
wait-sync
handover A expect=done
burst B requests=20 reads=0
kill A
restore A
slow-link B ms=200
start A
+20ms promote A expect=refused
heal
wait-sync
burst B requests=20 reads=100
)"},
    {.name = "left-over-bitmap", .script = R"(
primary A force
wait-sync
burst A requests=100 reads=0 hot=500
kill B
+8s burst A requests=20 reads=0 hot=500
blank B
create-md B
start B
+4ms kill B
blank B
create-md B
start B
wait-sync
promote B
burst B requests=300 reads=100 hot=500
)"},
    {.name = "metadata-lost", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0
kill B
rot B meta offset=0 length=4096
rot B meta offset=65536 length=4096
start B
+1s is A Primary
get-well
burst B requests=60 reads=100
)"},
    // One copy rots: the other one says the same.
    {.name = "superblock-copy-rots", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0
kill A
rot A meta offset=0 length=4096
start A
wait-sync
kill A
rot A meta offset=65536 length=4096
start A
wait-sync
burst A requests=40 reads=50
)"},
    // All of it counts as different then.
    {.name = "bitmap-rots", .script = R"(
primary A force
wait-sync
kill B
+8s burst A requests=400 reads=0 discards=0 zeroes=0 hot=4000
stop A
rot A meta offset=135168 sectors=16
start A
start B
wait-sync
promote B
burst B requests=400 reads=100 hot=4000
)"},
    // Found by the swarm beyond the model: a session that ended while it was being settled left its
    // target Outdated in all that followed.
    {.name = "target-of-a-session-that-never-was",
     .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0
power A keep
start A
+2600us kill B
start B
wait-connected
+1s promote B
wait-sync
)",
     .seeds = 20},
    // A stop that comes while a handover flushes a slow disk.
    {.name = "stopped-while-handing-over",
     .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 flushes=0 fua=0
slow-disk A ms=300 permille=900
handover A background
+2ms stop A
start A
wait-sync
)",
     .seeds = 40},
};

}  // namespace

const std::vector<Scenario>& disk_scripts() {
  return all;
}

}  // namespace baton::sim
