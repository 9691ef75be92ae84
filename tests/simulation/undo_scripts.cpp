#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

using replication::AfterSb0;
using replication::AfterSb1;

// A split brain ends, and what one side loses is kept first. "A" stays, "B" yields, where nothing
// else is said.
const std::vector<Scenario> all = {
    {.name = "resolve-keeps-what-is-lost",
     .script = R"(
primary A force
wait-sync
burst A requests=80 reads=0 hot=60 discards=10 zeroes=10
cut silence
+8s burst A requests=60 reads=0 hot=60
promote B force expect=done
burst B requests=60 reads=0 hot=90 discards=10 zeroes=10
heal
wait-split-brain
demote B force
burst A requests=200 reads=20 hot=90 think=500 background
resolve A own expect=done
wait-sync
burst B requests=60 reads=100 hot=90
)",
     .volumes = 2},
    // The other way, and by the word that an operator gives to the node itself.
    {.name = "discard-keeps-what-is-lost", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=60 reads=0 hot=60
promote B force expect=done
burst B requests=60 reads=0 hot=60
disconnect B
heal
demote B force
connect B discard expect=done
wait-sync
burst B requests=60 reads=100 hot=60
)"},
    // A word in favour of a copy that is half the very one that gives it is void (found by seed
    // 1117874, whose operator had it said at the source of a resync that was interrupted).
    {.name = "discard-of-the-only-whole-copy", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=60 reads=0 hot=60
promote B force expect=done
burst B requests=60 reads=0 hot=60
demote B force
demote A force
heal
wait-split-brain
pause-sync B
resolve A own expect=done
connect A discard expect=refused
cut silence
+8s connect A discard expect=done
heal
resume-sync B
wait-sync
promote A
burst A requests=20 reads=60 hot=60
)"},
    // Whatever becomes of the saving, B's copy is what it was, and told again it yields.
    {.name = "undo-is-interrupted", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=100 reads=0 hot=100
promote B force expect=done
burst B requests=100 reads=0 hot=100
heal
wait-split-brain
demote B force
slow-disk B ms=200 permille=1000
resolve A own background
+900ms is A split-brain
kill B
+10ms start B
wait-split-brain
resolve B other background
+900ms is B split-brain
power B lose
+10ms start B
wait-split-brain
resolve A own background
+900ms cut silence
+10s heal
slow-disk B ms=1 permille=0
wait-sync
burst B requests=60 reads=100 hot=100
)"},
    {.name = "undo-overtaken-by-promotion", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=60 reads=0 hot=60
promote B force expect=done
burst B requests=60 reads=0 hot=60
heal
wait-split-brain
demote A force
demote B force
slow-disk B ms=100 permille=1000
resolve A own background
+500ms promote B force expect=done
slow-disk B ms=1 permille=0
burst B requests=20 reads=0 hot=60
+5s is A split-brain
resolve B own expect=done
wait-sync
burst A requests=60 reads=100 hot=60
)"},
    // Nothing is overwritten that could not be kept first.
    {.name = "undo-does-not-fit", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=60 reads=0 hot=60
promote B force expect=done
burst B requests=60 reads=0 hot=60
heal
wait-split-brain
demote B force
undo-room B bytes=8192
resolve A own expect=refused
is A split-brain
is B split-brain
resolve B other expect=refused
is B split-brain
resolve A own no-undo expect=done
wait-sync
burst B requests=60 reads=100 hot=60
)"},
    {.name = "undo-disk-fails", .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=60 reads=0 hot=60
promote B force expect=done
burst B requests=60 reads=0 hot=60
heal
wait-split-brain
demote B force
fail B undo write enospc
resolve A own expect=refused
is B split-brain
fail B undo flush
resolve A own expect=refused
is B split-brain
mend B undo
resolve A own expect=done
wait-sync
burst B requests=60 reads=100 hot=60
)"},
    // Whether the bitmaps say where the copies differ is not known of a disk from the past: all of
    // it is kept.
    {.name = "undo-of-everything", .script = R"(
primary A force
wait-sync
burst A requests=40 reads=0 hot=40
stop B
snapshot B
start B
wait-sync
burst A requests=40 reads=0 hot=40
cut silence
stop B
restore B
start B
+1s promote B force
burst B requests=30 reads=0 hot=40
burst A requests=30 reads=0 hot=40
demote B force
heal
wait-connected
resolve A own
wait-sync
burst B requests=60 reads=100 hot=40
)"},
    // --- without being asked ---
    {.name = "policy-discards-the-younger-primary",
     .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=60 reads=0 hot=60
promote B force expect=done
burst B requests=60 reads=0 hot=60
demote A force
demote B force
heal
wait-sync
is A not-split-brain
promote A expect=done
burst B requests=60 reads=100 hot=60
)",
     .after_sb = {.zero = AfterSb0::discard_younger_primary}},
    {.name = "policy-discards-the-secondary",
     .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=60 reads=0 hot=60
promote B force expect=done
burst B requests=60 reads=0 hot=60
demote A force
heal
wait-sync
is B Primary
is A not-split-brain
burst A requests=60 reads=100 hot=60
)",
     .after_sb = {.one = AfterSb1::discard_secondary}},
    // Each has a guest: nobody yields, whatever the policies for other cases say.
    {.name = "policy-leaves-two-primaries-alone",
     .script = R"(
primary A force
wait-sync
cut silence
+8s burst A requests=60 reads=0 hot=60
promote B force expect=done
burst B requests=10 reads=0 hot=60
heal
wait-split-brain
+5s is A Primary split-brain
is B Primary split-brain
demote B force
+2s is B split-brain
cut reset
heal
wait-sync
is A Primary
burst B requests=60 reads=100 hot=60
)",
     .after_sb = {.zero = AfterSb0::discard_least_changes, .one = AfterSb1::consensus}},
};

}  // namespace

const std::vector<Scenario>& undo_scripts() {
  return all;
}

}  // namespace baton::sim
