#include "tests/simulation/swarm.h"

#include <algorithm>
#include <utility>

#include "tests/simulation/author.h"
#include "tests/simulation/swarm_additions.h"

namespace baton::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// Classes of what may happen; each is on in half of the worlds (quality.md B5).
struct Classes {
  bool kills, powers, cuts, one_way, resets, pauses, corrupts, slow_disks, disk_errors, full_disks,
      hung_disks, slow_links, half_opens, long_pauses, restart_loops;
  bool handovers, demotions, forces, disconnects, stops, detaches;
};

Classes draw_classes(Prng& random) {
  const auto coin = [&random] { return random.percent(50); };
  return {.kills = coin(),
          .powers = coin(),
          .cuts = coin(),
          .one_way = coin(),
          .resets = coin(),
          .pauses = random.percent(20),
          .corrupts = random.percent(20),
          .slow_disks = coin(),
          .disk_errors = random.percent(30),
          .full_disks = random.percent(20),
          .hung_disks = random.percent(20),
          .slow_links = random.percent(25),
          .half_opens = random.percent(25),
          .long_pauses = random.percent(20),
          .restart_loops = random.percent(20),
          .handovers = coin(),
          .demotions = coin(),
          .forces = random.percent(30),
          .disconnects = random.percent(30),
          .stops = random.percent(30),
          .detaches = random.percent(20)};
}

// Writes a script while it keeps track of who runs and what is cut, so that steps make sense.
class SwarmAuthor : Author {
 public:
  // `metadata`, `oddities` and `parting` have streams of their own, so that worlds without their
  // faults stay what they were.
  SwarmAuthor(Prng random, Prng metadata, Prng oddities, Prng parting, std::size_t volumes,
              Script& script)
      : Author(random, script),
        classes_(draw_classes(random_)),
        metadata_(metadata),
        metadata_errors_(metadata_.percent(25)),
        oddities_(oddities),
        clocks_jump_(oddities_.percent(20)),
        versions_differ_(oddities_.percent(8)),
        large_requests_(oddities_.percent(8)),
        parting_(parting),
        parts_(parting_.percent(12)),
        volumes_(volumes) {}

  bool detaches() const { return classes_.detaches; }

  void write() {
    add(Do::promote, 0, {"force"});
    if (random_.percent(70)) add(Do::wait_sync);
    const std::uint64_t rounds = random_.between(4, 14);
    for (std::uint64_t i = 0; i < rounds; ++i) {
      work();
      happen();
      if (metadata_errors_ && metadata_.percent(30)) hurt_metadata();
      if (clocks_jump_ && oddities_.percent(30)) jump();
      if (versions_differ_ && oddities_.percent(15)) run_another_version();
      if (parts_ && parting_.percent(20)) part_and_resolve();
    }
    if (parts_) force_no_half_copies();
  }

 private:
  int mostly_primary() { return random_.percent(75) ? primary_ : 1 - primary_; }

  void work() {
    const std::uint64_t bursts = random_.between(0, 2);
    for (std::uint64_t i = 0; i < bursts; ++i) {
      Step& step = burst(mostly_primary());
      step.background = random_.percent(85);
      if (large_requests_ && oddities_.percent(30)) enlarge(step);
    }
  }

  void verb(Do what, int node, std::vector<std::string> words = {}) {
    add(what, node, std::move(words)).background = random_.percent(50);
  }

  void happen() {
    switch (random_.below(19)) {
      case 0:
        if (classes_.kills) kill(any_node());
        return;
      case 1:
        if (classes_.powers) power(any_node());
        return;
      case 2:
      case 3:
        return cut_or_heal();
      case 4:
      case 5:
        return restart();
      case 6:
        if (classes_.handovers) hand_over();
        return;
      case 7:
        return change_roles();
      case 8:
        return disconnect_or_connect();
      case 9:
        if (classes_.pauses || classes_.long_pauses) pause();
        return;
      case 10:
        if (classes_.corrupts) add(Do::corrupt, any_node());
        return;
      case 11:
        if (classes_.slow_disks) {
          add(Do::slow_disk, any_node()).numbers = {{"ms", random_.between(1, 1500)},
                                                    {"permille", random_.between(1, 300)}};
        }
        return;
      case 12:
        if (classes_.stops) stop(any_node());
        return;
      case 13:
      case 14:
        return hurt_disk();
      case 15:
        return hurt_link();
      case 16:
        if (classes_.restart_loops) restart_in_a_loop(any_node());
        return;
      default:
        if (random_.percent(50)) add(Do::wait_idle);
    }
  }

  // At once, or as the migration coordinator does it: offer, then the word, or the other's write.
  void hand_over() {
    if (random_.percent(60)) {
      verb(Do::handover, primary_);
      primary_ = 1 - primary_;
      return;
    }
    verb(Do::offer, primary_);
    const std::uint64_t kind = random_.below(4);
    if (kind == 0) return verb(Do::withdraw, primary_);
    if (kind == 1) return verb(Do::grant, primary_);
    if (kind == 2) add(Do::burst, 1 - primary_).numbers = {{"requests", 5}, {"reads", 0}};
    if (kind == 3) verb(Do::handover, 1 - primary_);
    primary_ = 1 - primary_;
  }

  void kill(int node) {
    add(Do::kill, node);
    down_[static_cast<std::size_t>(node)] = true;
    if (random_.percent(60)) start(node);
  }

  void power(int node) {
    static constexpr std::array words = {"lose", "keep", "tear"};
    add(Do::power, node, {words[random_.below(3)]});
    down_[static_cast<std::size_t>(node)] = true;
    if (random_.percent(50)) start(node);
  }

  void start(int node) {
    add(Do::start, node);
    down_[static_cast<std::size_t>(node)] = false;
  }

  void restart() {
    for (int node = 0; node < 2; ++node) {
      if (down_[static_cast<std::size_t>(node)]) start(node);
    }
  }

  void stop(int node) {
    add(Do::stop, node);
    down_[static_cast<std::size_t>(node)] = true;
    if (random_.percent(70)) start(node);
  }

  void cut_or_heal() {
    if (cut_) {
      add(Do::heal);
      cut_ = false;
      return;
    }
    if (!classes_.cuts) return;
    const std::uint64_t kind = random_.below(3);
    if (kind == 0 && classes_.one_way) {
      add(Do::cut, any_node(), {"one-way"});
    } else if (kind == 1 && classes_.resets) {
      add(Do::cut, any_node(), {"reset"});
    } else {
      add(Do::cut, any_node(), {"silence"});
    }
    cut_ = true;
    if (random_.percent(40)) {
      add(Do::heal);
      cut_ = false;
    }
  }

  void change_roles() {
    if (classes_.demotions && random_.percent(50)) verb(Do::demote, primary_);
    const int node = any_node();
    if (classes_.forces && random_.percent(40)) {
      add(Do::promote, node, {"force"});
      primary_ = node;
    } else {
      verb(Do::promote, node);
      if (classes_.demotions) primary_ = node;
    }
  }

  void disconnect_or_connect() {
    if (!classes_.disconnects) return;
    if (random_.percent(40)) {
      verb(Do::disconnect, any_node());
    } else {
      verb(Do::connect, any_node());
    }
  }

  // A direction that is late by up to 30 s or carries little; a connection that one end has lost.
  void hurt_link() {
    const int from = any_node();
    if (classes_.half_opens && random_.percent(50)) {
      add(Do::half_open, from);
    } else if (classes_.slow_links) {
      Step& slow = add(Do::slow_link, from);
      if (random_.percent(50)) {
        slow.numbers.emplace_back(
            "ms", random_.percent(70) ? random_.below(3000) : random_.below(30'000));
      } else {
        slow.numbers.emplace_back("bytes", std::uint64_t{1024} << random_.below(12));
      }
      work();
      if (random_.percent(30)) return;
      add(Do::heal);
      cut_ = false;
    }
  }

  void restart_in_a_loop(int node) {
    const std::uint64_t times = random_.between(2, 6);
    for (std::uint64_t i = 0; i < times; ++i) {
      add(Do::kill, node).after = milliseconds(random_.below(600));
      add(Do::start, node).after = milliseconds(random_.below(100));
    }
    down_[static_cast<std::size_t>(node)] = false;
  }

  // One disk at a time; `guarded` holds the fault back while the other copy is not good.
  void hurt_disk() {
    const int node = any_node();
    const std::uint64_t volume = random_.below(volumes_);
    const std::uint64_t kind = random_.below(4);
    if (kind == 0 && classes_.hung_disks) {
      const std::vector<std::string> which =
          random_.percent(20) ? std::vector<std::string>{"meta"} : std::vector<std::string>{};
      add(Do::hang, node, which).numbers = {{"volume", volume}};
      script_.back().words.emplace_back("guarded");
      Step& mend = add(Do::mend, node, which);
      mend.after = milliseconds(random_.below(20'000));
      mend.numbers = {{"volume", volume}};
    } else if (kind == 1 && classes_.full_disks) {
      fail(node, volume, {"write", "enospc", "guarded"});
      work();
      if (random_.percent(70)) add(Do::mend, node).numbers = {{"volume", volume}};
    } else if (classes_.disk_errors) {
      static constexpr std::array words = {"read", "write", "write", "flush"};
      fail(node, volume, {words[random_.below(words.size())], "guarded"});
      work();
      if (random_.percent(50)) return;
      add(Do::mend, node).numbers = {{"volume", volume}};
      // Only a restart makes the daemon use the disk again.
      if (random_.percent(50))
        add(Do::kill, node);
      else
        add(Do::stop, node);
      start(node);
    }
  }

  // The node stops to count as a copy, and the other one goes on; only a restart uses it again.
  void hurt_metadata() {
    static constexpr std::array ops = {"read", "write", "write", "flush"};
    const int node = metadata_.percent(50) ? primary_ : 1 - primary_;
    const char* op = ops[metadata_.below(ops.size())];
    Step& step = add(Do::fail, node, {"meta", op});
    // What a write or a read that fails leaves behind can be repaired whatever the other copy is;
    // what a failed flush does may be seen and not be there after the next power cut.
    if (op == ops[3]) step.words.emplace_back("guarded");
    if (metadata_.percent(40)) step.words.emplace_back("enospc");
    step.numbers = {{"volume", metadata_.below(volumes_)}};
    if (metadata_.percent(40)) {
      step.words.emplace_back("sticky");
    } else {
      step.numbers.emplace_back("count", metadata_.between(1, 4));
    }
    work();
    // A start on a disk that still fails is refused.
    const bool early = metadata_.percent(30);
    if (early) {
      add(Do::kill, node);
      start(node);
    }
    add(Do::mend, node, {"meta"}).numbers = {{"volume", metadata_.below(volumes_)}};
    add(metadata_.percent(50) ? Do::kill : Do::stop, node);
    start(node);
  }

  // Some of the requests are cut into pieces.
  void enlarge(Step& burst) {
    for (auto& [name, value] : burst.numbers) {
      if (name == "max") value = oddities_.between(1, 4) << 20U;
      if (name == "requests") value = std::min<std::uint64_t>(value, 20);
    }
  }

  // By less than a timeout, or by the minutes for which a virtual machine was away.
  void jump() {
    const std::uint64_t most = oddities_.percent(50) ? 5'000 : 600'000;
    const int node = oddities_.percent(50) ? primary_ : 1 - primary_;
    add(Do::jump, node).numbers = {{"ms", oddities_.between(1, most)}};
  }

  // Two histories, and an operator who ends it in one of the ways there are, while whatever else
  // this world has in store goes on.
  void part_and_resolve() {
    const int loser = parting_.percent(50) ? primary_ : 1 - primary_;
    add(Do::get_well);  // a copy that has crashed is forced at the operator's own risk
    down_ = {};
    add(Do::cut, any_node(), {"silence"});
    add(Do::burst, primary_).numbers = {{"requests", parting_.between(1, 30)}, {"reads", 0}};
    Step& promote = add(Do::promote, 1 - primary_, {"force", "whole"});
    promote.after = seconds(8);
    add(Do::burst, 1 - primary_).numbers = {{"requests", parting_.between(1, 30)}, {"reads", 0}};
    if (parting_.percent(70)) add(Do::demote, loser, {"force"});
    add(Do::heal).after = milliseconds(parting_.below(50));
    cut_ = false;
    const std::uint64_t fault = parting_.below(8);
    if (fault == 0) add(Do::fail, loser, {"undo", "write"}).numbers = {{"count", 3}};
    if (fault == 1) add(Do::fail, loser, {"undo", "flush"});
    if (fault == 2) add(Do::undo_room, loser).numbers = {{"bytes", parting_.below(200) * 1024}};
    const std::uint64_t words = parting_.between(1, 3);
    for (std::uint64_t i = 0; i < words; ++i) {
      resolve(loser);
      const std::uint64_t then = parting_.below(6);
      if (then == 0) kill(any_node());
      if (then == 1) power(any_node());
      if (then == 2) cut_or_heal();
      if (then == 3) work();
    }
    if (fault < 3) add(Do::mend, loser, {"undo"});
    primary_ = 1 - loser;
  }

  // What has yielded and is half overwritten is of two histories; whoever forces that gets both.
  void force_no_half_copies() {
    bool first = true;  // nothing is whole yet
    for (Step& step : script_) {
      const bool forces = step.what == Do::promote && step.has_word("force");
      if (forces && !std::exchange(first, false)) step.words.emplace_back("whole");
    }
  }

  // Where one or the other node is asked; now and then the wrong one is to yield.
  void resolve(int loser) {
    if (parting_.percent(15)) loser = 1 - loser;
    const int asked = any_node();
    const bool discard = parting_.percent(20);
    Step& step = discard ? add(Do::connect, loser, {"discard"})
                         : add(Do::resolve, asked, {asked == loser ? "other" : "own"});
    step.after = milliseconds(parting_.below(3000));
    if (parting_.percent(15)) step.words.emplace_back("no-undo");
    step.background = parting_.percent(60);
  }

  // One node is upgraded first, or last.
  void run_another_version() {
    const int node = oddities_.percent(50) ? primary_ : 1 - primary_;
    for (const char* word : {"other", "same"}) {
      add(Do::version, node, {word});
      if (oddities_.percent(50)) {
        add(Do::stop, node);
      } else {
        add(Do::kill, node);
      }
      start(node);
      work();
    }
  }

  void fail(int node, std::uint64_t volume, std::vector<std::string> words) {
    Step& step = add(Do::fail, node, std::move(words));
    step.numbers = {{"volume", volume}};
    const std::uint64_t kind = random_.below(3);
    if (kind == 0) step.words.emplace_back("sticky");
    if (kind == 1) step.numbers.emplace_back("count", random_.between(1, 5));
    if (random_.percent(40)) {
      step.numbers.emplace_back("offset", random_.below(16) * 65536);
      step.numbers.emplace_back("length", random_.between(1, 64) * sector_bytes);
    }
  }

  void pause() {
    const int node = any_node();
    add(Do::pause, node);
    Step& resume = add(Do::resume, node);
    // A virtual machine that is moved or suspended: minutes.
    if (classes_.long_pauses) resume.after = seconds(random_.between(1, 600));
  }

  Classes classes_;
  Prng metadata_;
  bool metadata_errors_;
  Prng oddities_;
  bool clocks_jump_;
  bool versions_differ_;
  bool large_requests_;
  Prng parting_;
  bool parts_;
  std::size_t volumes_;
  int primary_ = 0;
  bool cut_ = false;
  std::array<bool, 2> down_{};
};

}  // namespace

Settings swarm_settings(std::uint64_t seed) {
  Prng random(seed, "settings");
  Settings settings;
  static constexpr std::array protocols = {replication::Protocol::c, replication::Protocol::c,
                                           replication::Protocol::b, replication::Protocol::a};
  settings.protocol = protocols[random.below(protocols.size())];
  const std::uint64_t volumes = random.percent(75) ? 1 : 2;
  settings.volume_bytes.clear();
  for (std::uint64_t i = 0; i < volumes; ++i) {
    const std::uint64_t mib = random.percent(60) ? 1 : random.between(2, 24);
    settings.volume_bytes.push_back((mib << 20U) + random.below(4) * 8192);
  }
  settings.clients_per_node = random.percent(80) ? 1 : 2;
  settings.auto_resume = random.percent(70);
  settings.net.segment_max = std::size_t{16} << random.below(13);
  settings.net.delay_max = microseconds(std::uint64_t{50} << random.below(8));
  settings.net.delay_min = settings.net.delay_max / 10;
  // At least 10 MB/s: on slower links the resync window does not get through within the timeout.
  const auto delay_us = static_cast<std::size_t>(settings.net.delay_max.count() / 1000);
  settings.net.buffer_bytes = (delay_us * 10 + 512) << random.below(8);
  settings.net.slow_permille = random.percent(70) ? 0 : random.below(50);
  for (DiskModel& disk : settings.disks) {
    disk.latency_max = microseconds(std::uint64_t{20} << random.below(9));
    disk.latency_min = disk.latency_max / 10;
    disk.slow_permille = random.percent(70) ? 0 : random.below(50);
    disk.discard = random.percent(80);
    disk.discard_zeroes = random.percent(70);
  }
  settings.nbd = Prng(seed, "nbd").percent(35);
  settings.checksum_based = Prng(seed, "checksum").percent(25);
  if (Prng patience(seed, "disk timeout"); patience.percent(40)) {
    settings.disk_timeout = milliseconds(patience.between(1000, 8000));
  }
  Prng policy(seed, "after split brain");
  if (policy.percent(10)) {
    static constexpr std::array zero = {replication::AfterSb0::disconnect,
                                        replication::AfterSb0::discard_younger_primary,
                                        replication::AfterSb0::discard_older_primary,
                                        replication::AfterSb0::discard_zero_changes,
                                        replication::AfterSb0::discard_least_changes,
                                        replication::AfterSb0::discard_node};
    static constexpr std::array one = {replication::AfterSb1::disconnect,
                                       replication::AfterSb1::consensus,
                                       replication::AfterSb1::discard_secondary};
    settings.after_sb = {
        .zero = zero[policy.below(zero.size())], .node = "B", .one = one[policy.below(one.size())]};
  }
  Prng lost(seed, "peer lost");
  if (lost.percent(10)) {
    using replication::OnPeerLost;
    settings.on_peer_lost = lost.percent(80) ? OnPeerLost::suspend : OnPeerLost::fail;
    const bool fenced = lost.percent(60) && settings.protocol != replication::Protocol::a;
    if (fenced) settings.fencing = Fencing::works;
  }
  // Of one to seven regions: in half of the worlds they take turns in the log.
  if (random.percent(50)) settings.active_regions = random.between(2, 4);
  // They cost several times what the rest of a world costs.
  settings.clones = seed % 16 == 1;
  return settings;
}

Plan swarm_plan(std::uint64_t seed, bool windows) {
  Plan plan;
  plan.settings = swarm_settings(seed);
  SwarmAuthor author(Prng(seed, "script"), Prng(seed, "metadata"), Prng(seed, "oddities"),
                     Prng(seed, "parting"), plan.settings.volume_bytes.size(), plan.script);
  author.write();
  if (plan.settings.nbd) drop_clients(Prng(seed, "drop clients"), plan.script);
  if (author.detaches()) detach_and_attach(Prng(seed, "disks"), plan.script);
  add_verifies(Prng(seed, "verify"), plan.script);
  hold_syncs(Prng(seed, "hold syncs"), plan.script);
  if (plan.settings.fencing != Fencing::absent) {
    add_fencing(Prng(seed, "fencing"), plan.script);
  } else if (plan.settings.on_peer_lost != replication::OnPeerLost::go_on) {
    add_resumes(Prng(seed, "resumes"), plan.script);
  }
  if (windows) add_windows(Prng(seed, "windows"), plan.script);
  Prng two(seed, "two primaries");
  const bool may = plan.settings.protocol == replication::Protocol::c &&
                   plan.settings.fencing == Fencing::absent;
  if (windows && may && two.percent(30)) {
    plan.settings.two_primaries = true;
    add_sharing(two, plan.script);
  }
  return plan;
}

}  // namespace baton::sim
