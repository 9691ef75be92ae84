#include "replication/core/first_write.h"

#include "base/mutant.h"

namespace baton::replication {

// The first row that holds counts.
FirstWriteVerdict decide_first_write(const SourceFacts& facts) {
  using A = FirstWriteAction;
  if (facts.spoke && !mutant("asked-again-after-an-answer")) {
    return {"source-goes-on", A::refuse,
            "a client of the other node has gone on since: its guest runs there"};
  }
  if (facts.resumed) {
    return {"source-resumed", A::refuse, "the guest was resumed on the other node"};
  }
  if (!facts.clients) return {"no-client", A::grant, {}};
  if (facts.word == GuestWord::stopped) return {"source-stopped", A::grant, {}};
  if (facts.word == GuestWord::running) {
    return {"source-runs", A::wait, "the guest runs on the other node, as its listener says"};
  }
  if (!facts.silent && !mutant("quiet-is-not-looked-at")) {
    return {"source-not-silent", A::wait, "the clients of the other node are not silent"};
  }
  if (!facts.may_guess) {
    return {"silence-proves-nothing", A::wait,
            "clients are attached to the other node, and handover-on-silence is off"};
  }
  return {"source-silent", A::grant, {}};
}

}  // namespace baton::replication
