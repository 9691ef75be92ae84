// Two primaries (docs/dual-primary.md): both nodes' clients write at once.
#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

Scenario shared(std::string_view name, std::string_view script) {
  Scenario scenario{.name = name, .script = script};
  scenario.two_primaries = true;
  return scenario;
}

}  // namespace

const std::vector<Scenario>& sharing_scripts() {
  static const std::vector<Scenario> all = {
      // Everywhere, and all of them in the same few blocks.
      shared("both-write", R"(
primary A force
wait-sync
promote B expect=done
is A Primary
is B Primary UpToDate
burst A requests=200 depth=8 reads=40 flushes=5 background
burst B requests=200 depth=8 reads=40 flushes=5
wait-idle
burst A requests=200 depth=8 reads=50 hot=4 max=16384 flushes=5 background
burst B requests=200 depth=8 reads=50 hot=4 max=16384 flushes=5
wait-idle
is A Primary not-errors
is B Primary not-errors
)"),
      // The link comes and goes under both.
      shared("both-write-and-the-link-is-lost", R"(
primary A force
wait-sync
promote B
burst A requests=400 depth=8 reads=40 hot=4 flushes=5 background
burst B requests=400 depth=8 reads=40 hot=4 flushes=5 background
+20ms cut reset
+1ms heal
+300ms cut reset
+1ms heal
+300ms cut silence
+8s heal
wait-connected
wait-idle
wait-sync
is A Primary not-errors
is B Primary UpToDate not-errors
)"),
      // The one that does not hold the baton waits while the link is lost; the other one goes on.
      shared("without-the-baton-it-waits", R"(
primary A force
wait-sync
promote B
burst B requests=20
cut silence
write B background
read B at=8388608 background
+8s burst A requests=20
is A Primary not-errors
is B Primary held held-reads
heal
wait-idle
wait-sync
is A Primary not-errors
is B Primary not-errors
)"),
      // The holder's host dies: the other one makes sure, and takes over what they shared.
      fenced(shared("the-holder-is-fenced-and-taken-over", R"(
primary A force
wait-sync
promote B expect=done
burst A requests=60 depth=8 reads=30 hot=4 background
burst B requests=60 depth=8 reads=30 hot=4 background
+5ms power A lose
+8s promote B expect=done
wait-idle
burst B requests=40 depth=4 reads=40 hot=4
is B Primary not-held
start A
wait-sync
promote A expect=done
burst A requests=40 depth=4 reads=40 hot=4 background
burst B requests=40 depth=4 reads=40 hot=4
wait-idle
is A Primary not-split-brain
is B Primary not-split-brain
)")),
      // It does not wait for ever.
      shared("without-the-baton-it-gives-up", R"(
primary A force
wait-sync
promote B
burst B requests=20
cut silence
+1s write B background
+25s is B Primary errors not-held
burst A requests=20
is A Primary
heal
wait-sync
burst B requests=20
)"),
      // The holder's process is killed and started again: both go on as Primary.
      shared("the-holder-is-restarted", R"(
primary A force
wait-sync
promote B
burst A requests=20
burst B requests=200 depth=8 reads=30 background
+10ms kill A
+1s start A
wait-connected
wait-idle
+1s is A Primary
is B Primary
burst A requests=50 hot=4 background
burst B requests=50 hot=4
)"),
      // And the other one.
      shared("the-other-one-is-restarted", R"(
primary A force
wait-sync
promote B
burst B requests=100 depth=8 reads=30 background
burst A requests=100 depth=8 reads=30 background
+10ms kill B
+8s start B
wait-connected
wait-sync
wait-idle
+1s is A Primary
is B Primary
burst B requests=50 hot=4 background
burst A requests=50 hot=4
)"),
      // The holder is gone for good: an operator says so, and the other one goes on with its copy.
      shared("the-other-one-takes-over", R"(
primary A force
wait-sync
promote B
burst A requests=50 background
burst B requests=50 hot=4 reads=20 background
+5ms power A lose
+8s promote B force
wait-idle
burst B requests=50
is B Primary
start A
wait-sync
is A Secondary
promote A
burst A requests=20 background
burst B requests=20
)"),
      // The holder gives its role up: the baton goes where the role is.
      shared("the-holder-becomes-secondary", R"(
primary A force
wait-sync
promote B
burst B requests=200 depth=8 reads=30 background
burst A requests=20
flush A
demote A
wait-idle
+1s is A Secondary
is B Primary not-errors
promote A
burst A requests=50 hot=4 background
burst B requests=50 hot=4
wait-idle
is A Primary
is B Primary not-errors
)"),
      shared("the-holder-stops-in-order", R"(
primary A force
wait-sync
promote B
burst B requests=300 depth=8 reads=30 background
+5ms stop A
wait-idle
is B Primary not-errors
start A
wait-sync
promote A expect=done
burst A requests=50 hot=4 background
burst B requests=50 hot=4
)"),
      // A copy that is filled meanwhile is read by the holder's hand.
      shared("both-write-while-a-copy-is-filled", R"(
primary A force
wait-sync
stop B
burst A requests=200 depth=8 reads=0 max=65536
slow-disk B ms=60 permille=500
start B
wait-connected
promote B expect=done
is B Primary not-UpToDate
burst A requests=100 depth=8 reads=50 hot=8 background
burst B requests=100 depth=8 reads=50 hot=8
slow-disk B permille=0
wait-sync
burst A requests=100 depth=8 reads=50 hot=8 background
burst B requests=100 depth=8 reads=50 hot=8
wait-idle
is A Primary not-errors
is B Primary UpToDate not-errors
)"),
      // A disk fails under one of them: both go on, with the copy that is left.
      shared("the-holders-disk-fails", R"(
primary A force
wait-sync
promote B
burst A requests=200 depth=8 reads=30 background
burst B requests=200 depth=8 reads=30 background
+5ms fail A write count=1
wait-idle
+1s is A Primary Failed not-errors
is B Primary UpToDate not-errors
mend A
attach A
wait-sync
burst A requests=50 hot=4 background
burst B requests=50 hot=4
wait-idle
is A Primary UpToDate not-errors
is B Primary not-errors
)"),
      // For a while: nobody notices but by the time it takes.
      shared("the-holders-disk-is-full", R"(
primary A force
wait-sync
promote B
fail A write enospc sticky
burst B requests=40 depth=8 reads=20 hot=12 background
+5s is B Primary not-errors
mend A
wait-sync
wait-idle
burst A requests=40 reads=50 hot=12 background
burst B requests=40 reads=50 hot=12
wait-idle
is A Primary not-errors
is B Primary not-errors
)"),
      // A cluster manager starts both at once: nobody takes anything from the other.
      shared("promoted-at-once", R"(
primary A force
wait-sync
burst A requests=20
flush A
demote A
+10ms promote A background
promote B expect=done
+1s is A Primary
is B Primary
burst A requests=50 hot=4 background
burst B requests=50 hot=4
wait-idle
is A Primary not-errors
is B Primary not-errors
)"),
      // Requests of many pieces, some of which are done when the link, or the holder, is lost.
      shared("large-writes-and-the-link-is-lost", R"(
primary A force
wait-sync
promote B
burst B requests=60 depth=8 reads=10 hot=2 max=8388608 background
burst A requests=200 depth=8 reads=50 hot=2 max=8388608 background
+15ms cut reset
+1ms heal
+250ms cut reset
+1ms heal
+250ms cut reset
+1ms heal
wait-connected
wait-idle
wait-sync
is A Primary not-errors
is B Primary not-errors
)"),
      shared("large-writes-and-the-holder-is-restarted", R"(
primary A force
wait-sync
promote B
burst B requests=60 depth=8 reads=10 hot=2 max=8388608 background
+20ms kill A
start A
wait-connected
burst A requests=200 depth=8 reads=50 hot=2 max=8388608 background
wait-idle
wait-sync
+1s is A Primary
is B Primary
)"),
      // The baton comes to the node whose writes are under way: it goes on where the holder was.
      shared("large-writes-and-the-baton-comes", R"(
primary A force
wait-sync
promote B
burst B requests=40 depth=4 reads=10 hot=2 max=8388608 background
burst A requests=40 depth=4 reads=50 hot=2 max=8388608
wait-idle
write B at=0 bytes=8388608 background
+5ms read A at=0 bytes=4096
write A at=0 bytes=4096
read A at=0 bytes=4096
flush A
demote A expect=done
wait-idle
is A Secondary not-errors
is B Primary not-errors
)"),
      // The operator has the last word, also behind a restart.
      shared("told-to-be-secondary-after-a-restart", R"(
primary A force
wait-sync
promote B
burst B requests=20
cut silence
kill B
+8s start B
+1s promote B force expect=done
+1s demote B force expect=done
heal
wait-connected
+3s is B Secondary
)"),
      shared("handed-over-after-a-restart", R"(
primary A force
wait-sync
promote B
kill B
+8s start B
wait-connected
wait-sync
+1s is A Primary
is B Primary
demote A
+1s is B Primary
handover B expect=done
is A Primary
+3s is B Secondary
)"),
      // The other one's disk fails: it goes on by the holder's hand.
      shared("the-other-ones-disk-fails", R"(
primary A force
wait-sync
promote B
burst A requests=200 depth=8 reads=30 background
burst B requests=200 depth=8 reads=30 background
+5ms fail B write count=1
wait-idle
+1s is A Primary UpToDate not-errors
is B Primary Failed not-errors
mend B
attach B
wait-sync
burst A requests=50 hot=4 background
burst B requests=50 hot=4
wait-idle
is A Primary not-errors
is B Primary UpToDate not-errors
)"),
      // There is nothing to hand over.
      shared("no-handover-between-two-primaries", R"(
primary A force
wait-sync
promote B
+10ms is A Primary
handover A expect=refused
offer A expect=refused
offer B expect=refused
burst A requests=20 background
burst B requests=20
)"),
  };
  return all;
}

}  // namespace baton::sim
