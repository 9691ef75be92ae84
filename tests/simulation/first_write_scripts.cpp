// The destination's first write brings the role, where a window is open (docs/handover.md "The
// first write decides").
#include "tests/simulation/scenarios.h"

namespace baton::sim {

const std::vector<Scenario>& first_write_scripts() {
  static const std::vector<Scenario> all = {
      // As libvirt moves a guest: the source stops, flushes and is silent, the destination writes.
      {.name = "first-write-takes-the-baton", .script = R"(
primary A force
wait-sync
allow B
is B Secondary window
burst A requests=60 depth=8
flush A
+50ms burst B requests=40 depth=8
is B Primary not-window not-errors
is A Secondary
burst B requests=40 reads=100
)"},
      // And back, to another client than the one that was left there.
      {.name = "first-writes-there-and-back", .script = R"(
primary A force
wait-sync
burst A requests=20
flush A
allow B
+30ms burst B requests=20
flush B
kill A
start A
wait-sync
allow A
+30ms burst A requests=20
is A Primary not-held
flush A
kill B
start B
wait-sync
allow B
+30ms burst B requests=20
is B Primary not-held
)"},
      // Nobody is to be taken anything from.
      {.name = "first-write-where-nobody-is-primary", .script = R"(
primary A force
wait-sync
burst A requests=20
flush A
demote A
allow B
burst B requests=20
is B Primary not-errors
)"},
      // Nor asked: it has the baton.
      {.name = "first-write-where-the-baton-is", .script = R"(
primary A force
wait-sync
burst A requests=20
stop A
start A
wait-sync
is B Secondary
allow B
burst B requests=20
is B Primary not-window not-errors
)"},
      // The baton is here, and serves a Primary without a disk whose link is lost: it is waited
      // for.
      {.name = "first-write-beside-a-served-primary", .script = R"(
primary A force
wait-sync
detach A expect=done
is A Primary Diskless
cut silence
+8s allow B
+1s heal
wait-connected
allow B
cut silence
write B background
+3s is B Secondary held
heal
wait-idle
)"},
      // It is asked before the source is silent: it waits for that (schedules:
      // refused-first-write).
      {.name = "first-write-waits-for-silence", .script = R"(
primary A force
wait-sync
allow B
burst A requests=20 flushes=0
write B background
+2s is B Secondary held
flush A
wait-idle
is B Primary not-errors
)"},
      // The source's guest goes on: one answer, for good.
      {.name = "source-writes-first", .script = R"(
primary A force
wait-sync
allow B
burst A requests=20 flushes=0
write B background
+1s is B Secondary held
write A
wait-idle
is A Primary
is B Secondary not-window errors
flush A
+1s write B
is A Primary
)"},
      // It reads, or it flushes: a flush says nothing.
      {.name = "source-reads-first", .script = R"(
primary A force
wait-sync
allow B
burst A requests=20 flushes=0
write B background
+1s burst A requests=1 reads=100
wait-idle
is A Primary
is B Secondary not-window errors
)"},
      // What lies in the socket while admission is stopped counts.
      {.name = "source-writes-as-it-is-asked", .script = R"(
primary A force
wait-sync
allow B
burst A requests=20
flush A
+50ms write B background
+300us burst A requests=30 depth=1 reads=50 background
wait-idle limit=40
)"},
      // Both lie there when A's process goes on: the question, and its own client's write.
      {.name = "source-writes-while-its-daemon-is-paused",
       .script = R"(
primary A force
wait-sync
allow B
burst A requests=20
flush A
+100ms pause A
+1ms write A background
+1ms write B background
+500ms resume A
wait-idle
is A Primary
is B Secondary not-window errors
)",
       .nbd = true},
      // The listener's word, against a guest that is quiet after each flush of its own.
      {.name = "quiet-is-not-stopped", .script = R"(
primary A force
wait-sync
allow B
burst A requests=20
flush A
guest A stopped
+100ms guest A running
write A
flush A
+100ms write B
is A Primary
is B Secondary not-window errors
)"},
      // With a listener silence alone is not enough, and its word is.
      {.name = "listener-says-stopped", .script = R"(
primary A force
wait-sync
guest A running
allow B
burst A requests=20
flush A
+100ms write B background
+1s is B Secondary held
guest A stopped
wait-idle
is B Primary not-errors
)"},
      // D wrote, and was killed; S goes on with older memory, and somebody opens a window for it.
      {.name = "client-gone-baton-back", .script = R"(
primary A force
wait-sync
burst A requests=20
flush A
allow B
+50ms burst B requests=20
flush B
stop-clients
+1s allow A
burst A requests=4 reads=0 flushes=0 background
+1s is A Secondary held
+25s wait-idle
is A Secondary errors
is B Primary
handover B
write A
is A Primary
)"},
      // The window closes by itself, with a write held in it or without.
      {.name = "window-times-out", .script = R"(
primary A force
wait-sync
allow B seconds=5
+6s is B not-window
write B
is B Secondary errors
allow B seconds=3
burst A requests=10 flushes=0
write B background
+1s is B held window
+3s is B Secondary not-window not-held
)"},
      {.name = "window-is-denied", .script = R"(
primary A force
wait-sync
allow B
burst A requests=10 flushes=0
write B background
+1s is B held
deny B
wait-idle
is B Secondary not-window errors
allow B
deny A
+1s is B not-window
)"},
      // Its write waits no longer: nothing is given to nobody.
      {.name = "first-write-gives-up", .script = R"(
primary A force
wait-sync
allow B
burst A requests=10 flushes=0
write B background
+22s wait-idle
is B Secondary errors window
flush A
+2s is A Primary
write B
is B Primary
)"},
      // Either daemon stops while it waits.
      {.name = "stopped-while-a-first-write-waits", .script = R"(
primary A force
wait-sync
guest A running
allow B
burst A requests=10 flushes=0
write B background
+250ms verify A background
+20ms stop A expect=done
+5s start A
wait-sync
wait-idle
allow A
write A background
+1s stop A expect=done
start A
wait-sync
allow B
stop B expect=done
start B
wait-sync
)"},
      // The coordinator offers while it waits: that is an answer, too.
      {.name = "offered-while-a-first-write-waits", .script = R"(
primary A force
wait-sync
allow B
burst A requests=10 flushes=0
write B background
+1s is B Secondary held
offer A expect=done
wait-idle
is B Primary not-errors
)"},
      // The source stops in order, and the baton comes without the role: the window stays.
      {.name = "window-outlives-the-source", .script = R"(
primary A force
wait-sync
burst A requests=10
allow B
stop A expect=done
is B Secondary window
start A
wait-sync
burst B requests=10
is B Primary not-window not-errors
)"},
      // A role that a coordinator brings back is not for the client that was left there; nor does
      // that client, which reads all the time, stand for a guest when the next one asks.
      {.name = "left-behind-by-a-coordinator", .script = R"(
primary A force
wait-sync
burst A requests=10
offer A
grant A expect=done
burst B requests=10
flush B
offer B
grant B expect=done
is A Primary
write A background
+1s is A Primary held
kill B
start B
+25s wait-sync
allow B
burst A requests=4000 depth=4 reads=100 background
+1ms burst B requests=10
is B Primary
handover B expect=done
burst A requests=10
is A Primary
)"},
      // The link is lost while it waits; asked again when the two have met.
      {.name = "first-write-over-a-lost-link", .script = R"(
primary A force
wait-sync
allow B
burst A requests=10 flushes=0
write B background
+1s cut reset
+100ms heal
wait-connected
flush A
wait-idle
is B Primary
)"},
      // The grant is lost with the link: the next session decides, and the window is open still.
      {.name = "grant-for-a-first-write-lost", .script = R"(
primary A force
wait-sync
burst A requests=10
flush A
allow B
+50ms burst B requests=4 reads=0 background
+1ms cut silence
+10s heal
wait-idle
wait-sync
)"},
      // To a copy that is being filled: the role moves, the baton stays.
      {.name = "first-write-on-a-copy-that-is-filled", .script = R"(
primary A force
wait-sync
kill B
burst A requests=200 depth=16 reads=0 hot=4000
start B
wait-connected
flush A
allow B
+30ms burst B requests=20
is B Primary
wait-sync
)"},
      // Offered, and the destination's host dies: its source goes on (26).
      {.name = "early-grant", .script = R"(
primary A force
wait-sync
burst A requests=20
offer A
power B lose
+8s burst A requests=20
is A Primary not-errors
start B
wait-sync
)"},
  };
  return all;
}

}  // namespace baton::sim
