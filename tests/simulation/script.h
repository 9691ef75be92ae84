// A run as data: a list of timed steps, one a line, so that it can be named, printed, shrunk by
// leaving steps out, and kept for ever.
//
//   primary A force              # comment
//   wait-sync
//   +20ms burst A requests=40 depth=8 background
//   cut silence
//   +7s promote B expect=refused
//
// `+DURATION` is virtual time that passes before the step, `+40steps` so many steps of the world.
// Steps that wait (verbs, bursts, waits) end before the next begins, unless they say `background`.
//
//   @1207 kill B
//   @1207 +50ms start B
//
// A step with `@` strikes after that step of the world, whatever the script is carrying out just
// then; only steps that wait for nothing may. What a script states (is, wait-sync, expect=) was
// meant for the script alone: with strikes in it, waits end at their limit and nothing is stated.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace baton::sim {

enum class Do : std::uint8_t {
  // operators; `options` are words
  promote,   // [force]
  demote,    // [force]
  handover,  // from NODE to the other
  connect,   // [discard] [no-undo]
  disconnect,
  attach,
  detach,
  invalidate,
  invalidate_remote,
  pause_sync,
  resume_sync,
  resume_io,  // without the lost peer
  outdate,
  resolve,  // own | other: whose data stays [no-undo]
  offer,
  withdraw,
  verify,  // [repair] [from-start] [stop]
  grant,
  allow,  // the first write on NODE takes over; seconds= (600)
  deny,
  guest,  // stopped | running: the word of whoever watches it on NODE
  stop,   // a clean stop of the daemon
  start,  // the host and the daemon
  // clients
  burst,  // requests= depth= reads= flushes= discards= zeroes= fua= hot= max= think= volume=
  write,  // one; at= bytes=. Without NODE: where a Primary is, or where the last one went
  read,   // one; as above
  flush,  // one; NODE as above
  stop_clients,
  drop_clients,  // their NBD connections break at some byte, and they connect anew
  // faults
  kill,
  power,  // lose | keep | tear | shred
  pause,  // SIGSTOP
  resume,
  cut,        // silence | one-way (from NODE) | reset
  slow_link,  // from NODE: ms= later, bytes= a second; until `heal`
  half_open,  // NODE loses its connections and the other is not told
  heal,       // cuts and slow links
  corrupt,    // what is on its way from NODE
  jump,       // ms=; NODE's clock leaps ahead, its timers are due
  version,    // other | same; what NODE speaks from its next start on
  // [read | write | flush] [enospc] [meta]; count= or sticky, offset= length=, volume=; or `all`.
  // `undo`: of the undo files that NODE makes from now on. `guarded`: only while the other copy is
  // UpToDate and its disks are sound
  fail,
  hang,       // [meta] [guarded] volume=; no request completes until `mend`
  mend,       // [meta | undo]
  fencing,    // works | broken | unreachable | primary; what the handlers find from now on
  undo_room,  // bytes=; so much is there for each undo file that NODE makes from now on
  slow_disk,  // ms=
  // disks that lie; [meta] volume= offset= length=
  rot,          // sectors=; flips a bit in each
  lose_writes,  // count= or sticky; answered, not stored
  misdirect,    // count= or sticky, to=; stored at another place
  // disks that are replaced; [meta | data], both if neither is said, of all volumes or volume=
  snapshot,   // keeps what is there
  restore,    // while the node is down: by what was kept
  blank,      // while the node is down: by a new disk
  create_md,  // while the node is down: batonctl create-md, for every volume
  // waits; a violation if it does not happen within 60 s (or limit= seconds)
  wait_sync,  // connected, every copy UpToDate
  wait_connected,
  wait_split_brain,
  wait_idle,   // clients; at most so long
  wait_still,  // nothing moves: clients, verbs, disks, links; at most so long
  get_well,    // all faults stop, and an operator does what it takes: as at the end of every run
  wait,        // nothing but the time
  mark,        // what comes before is preparation: faults at an index begin here
  // statements about status, and `damaged`: some block of a copy is not what was written there; a
  // violation if untrue
  is,  // NODE primary | secondary | UpToDate | Consistent | Inconsistent | Outdated | …
};

enum class Expect : std::uint8_t { anything, done, refused };

struct Step {
  std::optional<std::uint64_t> strikes_at;  // the step of the world after which it does
  Duration after{};
  std::uint64_t after_steps = 0;
  Do what = Do::wait;
  int node = -1;
  std::vector<std::string> words;
  std::vector<std::pair<std::string, std::uint64_t>> numbers;
  Expect expect = Expect::anything;
  bool background = false;
  std::uint64_t id = 0;  // keeps its random stream when steps around it are left out

  bool has_word(std::string_view word) const;
  std::uint64_t number(std::string_view key, std::uint64_t otherwise) const;
};

using Script = std::vector<Step>;

// Throws std::invalid_argument with the line.
Script parse_script(std::string_view text);
std::string to_text(const Step& step);
std::string to_text(const Script& script);

}  // namespace baton::sim
