// Regions that the holder lends to the other one of two primaries (docs/dual-primary.md
// "Regions"). B has some when the trouble begins: it has written, alone, to the few blocks that
// every client of a world likes best.
#include <memory>
#include <string>

#include "tests/simulation/scenarios.h"

namespace baton::sim {
namespace {

constexpr const char* borrowed = R"(
primary A force
wait-sync
promote B
burst B requests=60 depth=4 reads=10 hot=2 max=16384
)";

Scenario region(std::string_view name, std::string_view script) {
  // Scripts live as long as the program.
  static std::vector<std::unique_ptr<std::string>> texts;
  texts.push_back(std::make_unique<std::string>(std::string(borrowed) + std::string(script)));
  Scenario scenario{.name = name, .script = *texts.back()};
  scenario.two_primaries = true;
  return scenario;
}

}  // namespace

const std::vector<Scenario>& region_scripts() {
  static const std::vector<Scenario> all = {
      // They come back with one message when the holder's clients write there, again and again.
      region("regions-come-and-go", R"(
burst A requests=20 depth=4 reads=30 hot=2 max=16384
burst B requests=60 depth=4 reads=30 hot=2 max=16384
burst A requests=20 depth=4 reads=30 hot=2 max=16384
burst B requests=200 depth=8 reads=30 hot=2 max=16384 flushes=5 background
burst A requests=200 depth=8 reads=30 hot=2 max=16384 flushes=5
wait-idle
is A Primary not-errors
is B Primary not-errors
)"),
      // What is on its way in them when they are asked for is done first.
      region("regions-come-back-when-all-is-done", R"(
slow-link B ms=1 bytes=100000000
write B at=0 bytes=1048576 background
write B at=1048576 bytes=1048576 background
write B at=2097152 bytes=1048576 background
+1ms write A at=2097152 bytes=4096
is A Connected Established
+50ms is A Connected Established
heal
wait-idle
burst A requests=20 reads=50 hot=2
is A Primary not-errors
)"),
      // What is read here is on both copies.
      region("the-holder-reads-what-is-lent", R"(
slow-disk B ms=20 permille=1000
burst B requests=300 depth=8 reads=0 hot=2 max=16384 background
burst A requests=2500 depth=4 reads=100 hot=2 max=16384
wait-idle
is A Primary Established not-errors
)"),
      // Each read would cost a trip: a region comes back that is not written to any more, and one
      // that is stays.
      region("the-holder-reads-what-nobody-writes", R"(
write B at=8388608 bytes=4096
write B at=8388608 bytes=4096
is A lends
+500ms read A at=8388608 bytes=4096
+20ms is A lends
+1200ms read A at=0 bytes=16777216
+20ms is A not-lends Established
write B at=8388608 bytes=4096
write B at=8388608 bytes=4096
is A lends
+700ms write B at=8388608 bytes=4096
+700ms read A at=0 bytes=16777216
+20ms is A lends not-errors
)"),
      // The link is lost with writes under way in them.
      region("regions-and-the-link-is-lost", R"(
burst B requests=300 depth=8 reads=20 hot=2 max=16384 flushes=3 background
+3ms cut reset
burst A requests=20 depth=4 reads=30 hot=2 background
+1ms heal
+300ms cut reset
+1ms heal
+300ms cut silence
+8s heal
wait-connected
wait-idle
wait-sync
burst A requests=40 depth=4 reads=60 hot=2
is A Primary not-errors
is B Primary UpToDate not-errors
)"),
      // Nobody writes to a lent region without asking, at both nodes at once: each would wait for
      // the other's answer.
      region("both-write-one-block-of-a-region", R"(
write B at=1048576 bytes=4096 background
write A at=1048576 bytes=4096
is A Connected Established not-errors
wait-idle
)"),
      // It waits for the disk of the node that writes there, and says so.
      region("the-holder-waits-for-a-region", R"(
slow-disk B ms=2000 permille=1000
write B at=1048576 bytes=4096 background
write A at=1048576 bytes=4096 background
+150ms is A Primary held
wait-idle
is A Primary not-held not-errors
)"),
      // Of what is lost with the link and the holder's process nobody knows; the copies are equal.
      region("a-loan-and-another-holder", R"(
slow-link B ms=20
write B at=12582912 bytes=4096 background
+5ms kill A
start A
wait-connected
wait-idle
wait-sync
read A at=12582912 bytes=4096
read B at=12582912 bytes=4096
)"),
      // A flush that has overtaken what it covers would say that the holder has it.
      region("a-flush-in-a-loan-and-another-holder", R"(
slow-link B ms=1 bytes=100000000
write B at=12582912 bytes=1048576 background
write B at=13631488 bytes=1048576 background
write B at=14680064 bytes=1048576 background
flush B background
+25ms kill A
heal
start A
wait-connected
wait-idle
wait-sync
)"),
      // The disk answers when the nodes have parted and met again.
      region("a-read-outlives-its-session", R"(
write A at=1048576 bytes=4096
slow-disk B ms=5000 permille=1000
pause B
+8s write A at=1048576 bytes=4096
read A at=1048576 bytes=4096
read B at=1048576 bytes=4096 background
resume B
wait-idle
wait-sync
)"),
      // They were that session's: in the next one B asks first.
      region("loans-end-with-their-session", R"(
cut reset
+1ms heal
wait-connected
wait-sync
write B at=1048576 bytes=4096 background
+20ms is A Connected Established
wait-idle
is B Primary not-errors
)"),
      // With the holder's answer: its clients have read the write and written over it by the time
      // it is asked for again.
      region("a-write-in-a-region-is-done-once", R"(
slow-link A ms=50
write B at=1048576 bytes=4096 background
+20ms cut reset
read A at=1048576 bytes=4096
write A at=1048576 bytes=4096
read A at=1048576 bytes=4096
heal
wait-connected
wait-idle
wait-sync
read A at=1048576 bytes=4096
read B at=1048576 bytes=4096
is A Primary not-errors
is B Primary not-errors
)"),
      // Who has them dies; what it was writing is settled, and the holder goes on at once.
      region("who-has-regions-is-killed", R"(
burst B requests=300 depth=8 reads=20 hot=2 max=16384 flushes=3 background
+3ms kill B
burst A requests=60 depth=4 reads=40 hot=2
is A Primary
+8s start B
wait-connected
wait-sync
+1s is B Primary UpToDate
burst B requests=100 depth=8 reads=60 hot=2
)"),
      region("who-has-regions-loses-power", R"(
burst B requests=300 depth=8 reads=20 hot=2 max=16384 flushes=3 background
+3ms power B lose
burst A requests=60 depth=4 reads=40 hot=2
is A Primary
+8s start B
wait-connected
wait-sync
burst A requests=60 depth=4 reads=60 hot=2
)"),
      // The holder dies, and is back at once.
      region("who-lends-is-restarted", R"(
burst B requests=300 depth=8 reads=20 hot=2 max=16384 flushes=3 background
+3ms kill A
+1s start A
wait-connected
wait-idle
+1s is A Primary
is B Primary
burst A requests=60 depth=4 reads=60 hot=2
burst B requests=60 depth=4 reads=60 hot=2
)"),
      // The holder dies for good, and the other one takes over with what it has written.
      fenced(region("who-lends-is-fenced", R"(
burst B requests=300 depth=8 reads=20 hot=2 max=16384 flushes=3 background
+3ms power A lose
+8s promote B expect=done
wait-idle
burst B requests=60 depth=4 reads=60 hot=2
start A
wait-sync
promote A expect=done
burst A requests=60 depth=4 reads=60 hot=2
is A not-split-brain
is B not-split-brain
)")),
      // The baton comes to who has regions: nothing of theirs is under way then.
      region("who-lends-gives-up", R"(
burst B requests=300 depth=8 reads=20 hot=2 max=16384 flushes=3 background
+3ms demote A expect=done
wait-idle
is A Secondary not-errors
is B Primary not-errors
promote A
burst A requests=60 depth=4 reads=60 hot=2
)"),
      // And to who lent them when it stops.
      region("who-has-regions-stops", R"(
burst B requests=60 depth=8 reads=20 hot=2 max=16384 background
+2ms stop-clients B
wait-idle
flush B
demote B expect=done
burst A requests=60 depth=4 reads=60 hot=2
is A Primary not-errors
is B Secondary UpToDate
)"),
      // A verify sees both copies, with nothing under way on one of them.
      region("regions-and-a-verify", R"(
burst B requests=400 depth=8 reads=10 hot=2 max=16384 background
+1ms verify A expect=done
wait-idle
is A Primary Established not-errors
is B Primary Established not-errors
)"),
      // Who lends has no room: the write waits there, as any other.
      region("who-lends-has-no-room", R"(
fail A write enospc sticky
burst B requests=40 depth=8 reads=20 hot=2 background
+5s is B Primary not-errors
mend A
wait-sync
wait-idle
burst A requests=40 reads=60 hot=2
is A Primary UpToDate not-errors
is B Primary not-errors
)"),
      // Who has them has no room: its copy is outdated, and its writes go through the holder.
      region("who-has-regions-has-no-room", R"(
fail B write enospc sticky
burst B requests=40 depth=8 reads=20 hot=2 background
+5s is A Primary UpToDate
mend B
wait-sync
wait-idle
burst A requests=40 reads=60 hot=2
is A Primary not-errors
is B Primary UpToDate not-errors
)"),
      region("who-lends-loses-its-disk", R"(
burst B requests=300 depth=8 reads=20 hot=2 max=16384 flushes=3 background
burst A requests=50 depth=2 reads=50 background
+3ms fail A write count=1
wait-idle
+1s is A Primary Failed not-errors
is B Primary UpToDate not-errors
burst A requests=60 depth=4 reads=60 hot=2
)"),
      region("who-has-regions-loses-its-disk", R"(
burst B requests=300 depth=8 reads=20 hot=2 max=16384 flushes=3 background
+3ms fail B write count=1
wait-idle
+1s is A Primary UpToDate not-errors
is B Primary Failed not-errors
burst A requests=60 depth=4 reads=60 hot=2
)"),
      // What was lent before a long pause is worth nothing after it.
      region("regions-before-a-long-pause", R"(
pause B
+8s burst A requests=60 depth=4 reads=40 hot=2
is A Primary not-errors
resume B
burst B requests=60 depth=4 reads=40 hot=2 background
wait-connected
wait-idle
burst A requests=60 depth=4 reads=60 hot=2
is A Primary not-errors
)"),
  };
  return all;
}

}  // namespace baton::sim
