#include "tests/simulation/swarm_additions.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

namespace baton::sim {

using std::chrono::microseconds;

// In half of the worlds with NBD clients lose their connections, mostly while they have requests in
// flight. Written into the finished script, whose other steps keep their times and streams.
void drop_clients(Prng random, Script& script) {
  if (random.percent(50)) return;
  constexpr std::uint64_t first_id = 1'000'000;  // behind every other step's
  const std::uint64_t drops = random.between(1, 8);
  for (std::uint64_t i = 0; i < drops; ++i) {
    Step step;
    step.what = Do::drop_clients;
    step.id = first_id + i;
    step.after = microseconds(random.below(500) << random.below(8));
    std::size_t at = random.between(1, script.size());
    const bool in_burst = random.percent(70);
    while (in_burst && at < script.size() && script[at - 1].what != Do::burst) ++at;
    const Step& before = script[at - 1];
    const int any = static_cast<int>(random.below(2));
    step.node = before.what == Do::burst ? before.node : any;
    script.insert(script.begin() + static_cast<std::ptrdiff_t>(at), std::move(step));
  }
}

// In some worlds disks are given up and taken up again under their clients, those that have failed
// among them. Written into the finished script, as above.
void detach_and_attach(Prng random, Script& script) {
  constexpr std::uint64_t first_id = 3'000'000;
  // Who waits for a sync waits for both disks.
  std::size_t first = 1;
  for (std::size_t i = 0; i < script.size(); ++i) {
    if (script[i].what == Do::wait_sync) first = i + 1;
  }
  const std::uint64_t times = random.between(1, 6);
  for (std::uint64_t i = 0; i < times; ++i) {
    Step step;
    step.what = random.percent(40) ? Do::detach : Do::attach;
    step.id = first_id + i;
    step.node = static_cast<int>(random.below(2));
    step.after = microseconds(random.below(1000) << random.below(10));
    step.background = true;  // its node may be paused
    const std::size_t at = random.between(first, script.size());
    script.insert(script.begin() + static_cast<std::ptrdiff_t>(at), std::move(step));
  }
}

// At any moment and on either node.
// Like the dropped clients, they leave the other steps their times and streams.
void add_verifies(Prng random, Script& script) {
  if (!random.percent(25)) return;
  constexpr std::uint64_t first_id = 2'000'000;
  const std::uint64_t count = random.between(1, 6);
  for (std::uint64_t i = 0; i < count; ++i) {
    Step step;
    step.what = Do::verify;
    step.id = first_id + i;
    step.node = static_cast<int>(random.below(2));
    step.background = true;  // as long as the slowest disk takes
    step.after = microseconds(random.below(500) << random.below(8));
    if (random.percent(40)) step.words.emplace_back("repair");
    if (random.percent(50)) step.words.emplace_back("from-start");
    if (random.percent(10)) step.words = {"stop"};
    const std::size_t at = random.between(std::min<std::size_t>(2, script.size()), script.size());
    script.insert(script.begin() + static_cast<std::ptrdiff_t>(at), std::move(step));
  }
}

// In an eighth of the seeds: operators hold resyncs for a while, and give copies up.
void hold_syncs(Prng random, Script& script) {
  if (!random.percent(12)) return;
  std::uint64_t id = 3'000'000;
  const std::uint64_t times = random.between(1, 4);
  for (std::uint64_t i = 0; i < times; ++i) {
    const std::size_t at = random.between(std::min<std::size_t>(2, script.size()), script.size());
    Step pause;
    pause.what = random.percent(75) ? Do::pause_sync : Do::invalidate_remote;
    pause.node = static_cast<int>(random.below(2));
    pause.background = true;
    pause.id = ++id;
    pause.after = microseconds(random.below(500) << random.below(8));
    // Nothing that waits for a copy to be filled comes between the two.
    std::size_t until = at;
    const std::size_t most = at + random.between(1, 6);
    while (until < std::min(most, script.size()) && script[until].what != Do::wait_sync) ++until;
    if (pause.what == Do::pause_sync) {
      Step resume = pause;
      resume.what = Do::resume_sync;
      resume.id = ++id;
      script.insert(script.begin() + static_cast<std::ptrdiff_t>(until), std::move(resume));
    }
    script.insert(script.begin() + static_cast<std::ptrdiff_t>(at), std::move(pause));
  }
}

// Somebody believes that the other node is not coming back.
void add_resumes(Prng random, Script& script) {
  constexpr std::uint64_t first_id = 4'000'000;
  const std::uint64_t count = random.below(4);
  for (std::uint64_t i = 0; i < count; ++i) {
    Step step;
    step.what = Do::resume_io;
    step.id = first_id + i;
    step.node = static_cast<int>(random.below(2));
    step.background = true;
    step.after = microseconds(random.below(500) << random.below(14));
    const std::size_t at = random.between(std::min<std::size_t>(2, script.size()), script.size());
    script.insert(script.begin() + static_cast<std::ptrdiff_t>(at), std::move(step));
  }
}

// The handlers find what they find. Nobody goes on by an operator's word here: what such a node
// wrote would rightly be lost when the other one has it shot.
void add_fencing(Prng random, Script& script) {
  static constexpr std::array modes = {"works", "works", "broken", "unreachable", "primary"};
  constexpr std::uint64_t first_id = 5'000'000;
  const std::uint64_t count = random.below(4);
  for (std::uint64_t i = 0; i < count; ++i) {
    Step step;
    step.what = Do::fencing;
    step.id = first_id + i;
    step.words = {modes[random.below(modes.size())]};
    const std::size_t at = random.between(std::min<std::size_t>(2, script.size()), script.size());
    script.insert(script.begin() + static_cast<std::ptrdiff_t>(at), std::move(step));
  }
}

// Windows for a first write, and first writes, or the source's own; and words of a listener that
// may be true or not.
void add_windows(Prng random, Script& script) {
  if (!random.percent(30)) return;
  std::uint64_t id = 6'000'000;
  const auto insert = [&](std::size_t at, Do what, int node) -> Step& {
    Step step;
    step.what = what;
    step.node = node;
    step.background = true;
    step.id = ++id;
    step.after = microseconds(random.below(500) << random.below(10));
    const auto place = script.begin() + static_cast<std::ptrdiff_t>(std::min(at, script.size()));
    return *script.insert(place, std::move(step));
  };
  const std::uint64_t times = random.between(1, 4);
  for (std::uint64_t i = 0; i < times; ++i) {
    std::size_t at = random.between(std::min<std::size_t>(2, script.size()), script.size());
    const int to = static_cast<int>(random.below(2));
    insert(at++, Do::allow, to).numbers = {{"seconds", random.between(1, 60)}};
    if (random.percent(20)) insert(at++, Do::guest, 1 - to).words = {"running"};
    if (random.percent(50)) insert(at++, Do::flush, 1 - to);
    if (random.percent(20)) insert(at++, Do::guest, 1 - to).words = {"stopped"};
    insert(at++, Do::burst, to).numbers = {{"requests", random.between(1, 20)}, {"reads", 20}};
    at += random.below(3);
    if (random.percent(20)) insert(at, Do::guest, 1 - to).words = {"running"};
    if (random.percent(15)) insert(at, Do::deny, static_cast<int>(random.below(2)));
    if (random.percent(30)) insert(at, Do::flush, 1 - to);
  }
}

// Operators make either node Primary, most often both; and clients of both write, often to the same
// few blocks. Nobody is forced but the first: of a write that was with the other node when the two
// histories parted, and is done on both, the oracle cannot tell which side's readers knew it.
void add_sharing(Prng random, Script& script) {
  bool first = true;
  std::erase_if(script, [&first](const Step& step) {
    const bool forced = step.what == Do::promote && step.has_word("force");
    return forced && !std::exchange(first, false);
  });
  std::uint64_t id = 7'000'000;
  const std::uint64_t times = random.between(4, 12);
  for (std::uint64_t i = 0; i < times; ++i) {
    std::size_t at = random.between(std::min<std::size_t>(2, script.size()), script.size());
    for (int node = 0; node < 2; ++node) {
      Step promote;
      promote.what = random.percent(90) ? Do::promote : Do::demote;
      promote.node = node;
      promote.background = true;
      promote.id = ++id;
      promote.after = microseconds(random.below(500) << random.below(8));
      Step burst;
      burst.what = Do::burst;
      burst.node = node;
      burst.background = true;
      burst.id = ++id;
      burst.numbers = {{"requests", random.between(1, 100)},
                       {"depth", random.between(1, 16)},
                       {"reads", random.below(80)},
                       {"flushes", random.below(20)},
                       {"hot", std::uint64_t{1} << random.below(8)},
                       {"max", std::uint64_t{4096} << random.below(6)}};
      for (Step& step : {std::ref(promote), std::ref(burst)}) {
        const auto place =
            script.begin() + static_cast<std::ptrdiff_t>(std::min(at++, script.size()));
        script.insert(place, std::move(step));
      }
    }
  }
}

}  // namespace baton::sim
