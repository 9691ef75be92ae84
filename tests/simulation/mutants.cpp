#include "tests/simulation/mutants.h"

namespace baton::sim {
namespace {

// In the order of a write's life, then what follows a loss, then who may write.
const std::vector<Mutant> all = {
    // writes
    {"ack-before-peer", "a write is done when it was handed to the link, whatever the protocol"},
    {"ack-before-local", "a write is done when the peer has it"},
    {"overlap-not-ordered", "overlapping requests go on side by side"},
    {"activity-log-after-data", "the region is logged while its write is on the way"},
    {"activity-log-not-flushed", "the log's page is written, not flushed"},
    {"room-asked-for-once", "a flush that fails to make room in the log is not repeated",
     "log-full-while-the-peer-is-lost"},
    {"region-clean-at-release", "a region leaves the log before a flush covers its writes"},
    {"skip-dirty-bit", "a write without the peer sets no bit"},
    {"fua-ignored", "the peer writes a FUA write like any other", "fua-outlives-both"},
    {"fua-done-when-received", "under B a FUA write is done when the peer has received it",
     "fua-outlives-both-under-b"},
    {"trim-left-to-the-disk", "the own disk may do with a discard what it likes"},
    {"trim-not-replicated", "the peer answers a zeroing and does nothing"},
    {"peer-eio-ignored", "the peer answers a write that its disk has failed", "peer-eio"},
    // flushes
    {"served-flush-not-asked", "a node without its disk answers a flush by itself",
     "holder-of-the-served-loses-power"},
    {"flush-not-forwarded", "a client's flush reaches the own disk only", "flush-outlives-both"},
    {"flush-overtakes-writes", "the peer flushes before the writes that the flush names"},
    {"failed-flush-answered", "a flush that the own disk has failed is answered like any other"},
    {"flush-answered-unflushed", "the peer answers a flush and does not flush"},
    // reads
    {"dirty-read", "a read returns what the peer does not have yet"},
    {"secondary-serves-local-reads", "any complete copy serves reads"},
    {"target-serves-local-reads", "any copy serves reads, a half-synced one too"},
    // losing the peer, going on alone
    {"done-before-generation",
     "a write is done before the generation that it belongs to is durable", "short-fail-over",
     "kill-B"},
    {"generation-on-unflushed-data", "a new generation stands on what the disk has not flushed",
     "short-resync", "power-lose-A"},
    {"disk-failure-noticed-late", "the own disk's failure is looked at when the peer has answered",
     "holder-disk-fails-in-silence"},
    {"unflushed-forgotten", "what the peer had not flushed sets no bits when the session ends"},
    {"generation-not-persisted", "the new generation is in memory only"},
    {"told-tip-not-counted", "after a resync the peer does not count as having the tip"},
    // meeting again, resync
    {"history-not-compared", "the longer lineage is newer"},
    {"peer-bits-ignored", "only the own bitmap says what differs"},
    {"resync-without-range-lock", "the resync reads a block that is being written"},
    {"crashed-copy-preferred", "of equal copies the one that crashed is the source",
     "short-write-burst", "power-lose-A"},
    {"target-not-recorded", "a copy does not record that it is being overwritten",
     "short-split-brain", "kill-B"},
    {"loser-asked-again", "a half overwritten copy counts as one side of a split brain",
     "resolve-interrupted"},
    {"target-has-lived-through", "a copy counts as good when it is about to be copied to",
     "met-and-not-copied-yet"},
    {"doubt-forgotten", "a copy that crashed counts as good once its daemon was restarted",
     "crash-is-not-forgotten"},
    {"failed-flush-recorded-late", "a failed flush is recorded when the peer has answered, too",
     "flush-fails-in-silence"},
    {"failed-flush-not-recorded", "a restart makes a disk that failed a flush a good one",
     "flush-fails-in-silence"},
    {"forced-copy-keeps-its-tip",
     "a half-synced copy that is forced follows the generation that it has not whole",
     "forced-half-way"},
    {"restarted-copy-is-up-to-date", "a copy that was complete is UpToDate after a restart"},
    // comparing the copies
    {"verify-without-range-lock", "a verify compares blocks that are being written",
     "verify-under-writes"},
    {"sums-before-applied", "sums are of what is on the disk when they are asked for",
     "verify-on-a-slow-peer"},
    {"found-blocks-not-recorded", "what was found to differ is known until the daemon ends",
     "found-blocks-are-copied-at-the-next-meeting"},
    {"copied-after-its-claim", "a repair copies what it has read, whoever wrote since",
     "repair-under-writes"},
    {"sums-of-a-doubtful-copy", "what reads show after a failed flush counts as equal",
     "flush-fails-before-a-checksum-resync"},
    // the baton
    {"promote-without-connection-check", "an UpToDate copy may be promoted, whoever is Primary"},
    {"handover-before-drain", "the baton goes while writes are in flight"},
    {"demotes-while-others-quiesce", "whoever is done first lets the writes go on",
     "demoted-while-offering"},
    {"stops-as-holder-after-its-grant",
     "a holder that stops while its grant is under way may go on alone after its next start",
     "stopped-after-its-grant"},
    {"reconnects-without-a-pause", "a dial that failed is repeated at once"},
    {"promoted-under-received-writes",
     "a promotion does not wait for what the last session had received",
     "promoted-under-received-writes"},
    {"promotes-before-it-hears", "a record that nobody else can have written is believed at once",
     "promoted-on-a-record-from-the-past"},
    {"resumes-without-asking", "a restarted holder takes the baton before it has met its peer",
     "stale-behind-mark"},
    // bytes
    {"checksum-not-verified", "a message that was damaged on the way is taken", "short-write-burst",
     "corrupt-A"},
    // NBD
    {"nbd-fua-dropped", "the server passes a FUA write on like any other", "nbd-flushed-outlives"},
    {"nbd-flush-not-passed-on", "the server answers a flush itself", "nbd-flushed-outlives"},
    {"nbd-trim-not-passed-on", "a trim is a hint, so the server answers it itself",
     "nbd-write-burst"},
    {"nbd-half-write-carried-out", "a write whose connection breaks is carried out as it is",
     "nbd-client-cut-mid-write"},
    {"nbd-error-not-told", "every answer says that the request is done"},
    {"superblock-in-place", "there is one copy of the superblock, and it is written over",
     "short-resync", "power-tear-A"},
    {"superblock-not-flushed", "a commit is done when the superblock is in the disk's cache"},
    {"metadata-error-ignored", "a metadata write that fails is taken for done"},
    // disks beyond the model
    {"stamp-not-compared", "equal lineages are the same copy, whatever sessions a disk knows",
     "disk-from-the-past"},
    {"past-not-recorded", "a disk of the past is a target once its first block is due",
     "copied-from-the-past-is-interrupted"},
    {"left-over-bitmap-is-believed", "a new copy gets what the bitmap of the old one says",
     "left-over-bitmap"},
    {"superblock-checksum-not-verified", "a superblock with the magic number is believed"},
    {"second-superblock-ignored", "copy 0 of the superblock is the superblock",
     "superblock-copy-rots"},
    {"cell-checksum-not-verified", "a cell of bits that is where it belongs is believed",
     "bitmap-rots"},
    // a node without its disk
    {"no-generation-for-the-served", "what only the holder has is no generation of its own",
     "served-then-failed-over"},
    {"serves-what-it-lacks", "a copy serves a node whose disk has failed, whatever it has lost"},
    {"served-by-a-crashed-copy", "a Primary stays one when the copy that serves it has crashed",
     "holder-of-the-served-loses-power"},
    {"forced-into-a-granted-epoch", "a forced holder takes a number that it has granted away",
     "forced-while-its-grant-is-on-the-way", "one-way-B"},
};

}  // namespace

const std::vector<Mutant>& mutants() {
  return all;
}

}  // namespace baton::sim
