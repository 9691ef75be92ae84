#include "tests/simulation/swarm_beyond.h"

#include "blockdev/metadata/format.h"
#include "blockdev/metadata/metadata.h"
#include "tests/simulation/author.h"
#include "tests/simulation/swarm_additions.h"

namespace baton::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// What the disks of a world do. The oracle is as strict as the worst of them allows.
enum class Kind : std::uint8_t {
  metadata_rot,     // everything is kept: a second copy, a widened region or a refused start
  superblock_lost,  // one write of one copy, and no power cut: everything is kept
  metadata_lies,    // old values are excused
  past,             // everything is kept where the other node has evidence
  past_alone,       // of a time when the other node was away
  past_forced,      // and forced to go on from there
  blank,
  data_damage,  // excused in the damaged cells
  shredded,     // excused in the shredded cells
};
constexpr std::uint64_t kinds = 9;

class BeyondAuthor : Author {
 public:
  BeyondAuthor(Prng random, const Settings& settings, Script& script)
      : Author(random, script),
        settings_(settings),
        kind_(static_cast<Kind>(random_.below(kinds))),
        mixed_(random_.percent(20)),
        liar_(any_node()) {}

  void write() {
    add(Do::promote, 0, {"force"});
    add(Do::wait_sync);
    const std::uint64_t acts = random_.between(1, 4);
    for (std::uint64_t i = 0; i < acts; ++i) {
      work();
      add(Do::get_well);
      act();
      add(Do::get_well);
      // With damaged data the liar stays the same: two copies damaged in one cell are lost.
      if (kind_ != Kind::data_damage && kind_ != Kind::shredded && !mixed_) liar_ = any_node();
    }
  }

 private:
  int other() const { return 1 - liar_; }

  void act() {
    if (mixed_) kind_ = static_cast<Kind>(random_.below(kinds));
    switch (kind_) {
      case Kind::metadata_rot:
        return rot_metadata();
      case Kind::superblock_lost:
        return lose_superblock();
      case Kind::metadata_lies:
        return lie_about_metadata();
      case Kind::past:
        return go_back(false);
      case Kind::past_alone:
        return go_back_alone();
      case Kind::past_forced:
        return go_back(true);
      case Kind::blank:
        return replace_by_blank();
      case Kind::data_damage:
        return damage_data();
      case Kind::shredded:
        burst(liar_).background = true;
        burst(other()).background = true;
        add(Do::power, liar_, {"shred"});
        add(Do::start, liar_);
        return work();
    }
  }

  // Bursts, and what ends sessions and moves the baton without hurting a copy.
  void work() {
    const std::uint64_t things = random_.between(1, 4);
    for (std::uint64_t i = 0; i < things; ++i) {
      switch (random_.below(8)) {
        case 0:
          add(Do::cut, any_node(), {random_.percent(50) ? "reset" : "silence"});
          add(Do::heal);
          break;
        case 1:
          add(Do::handover, any_node()).background = random_.percent(50);
          break;
        case 2:
          restart(any_node());
          break;
        default:
          burst(any_node()).background = random_.percent(70);
      }
    }
  }

  void restart(int node) {
    add(random_.percent(50) ? Do::kill : Do::stop, node);
    add(Do::start, node);
  }

  void take_down(int node) {
    static constexpr std::array caches = {"lose", "keep", "tear"};
    switch (random_.below(3)) {
      case 0:
        add(Do::kill, node);
        break;
      case 1:
        add(Do::stop, node);
        break;
      default:
        add(Do::power, node, {caches[random_.below(3)]});
    }
  }

  std::uint64_t volume() { return random_.below(settings_.volume_bytes.size()); }

  // --- metadata ---

  void rot(std::uint64_t offset, std::uint64_t length) {
    Step& step = add(Do::rot, liar_, {"meta"});
    step.numbers = {{"volume", volume()},
                    {"offset", offset},
                    {"length", length},
                    {"sectors", random_.percent(70) ? 1 : random_.between(2, 16)}};
  }

  void rot_somewhere() {
    constexpr std::uint64_t second = blockdev::superblock_distance_bytes;
    switch (random_.below(4)) {
      case 0:
        return rot(random_.percent(50) ? 0 : second, page_bytes);
      case 1:
        rot(0, page_bytes);
        return rot(second, page_bytes);
      case 2:
        return rot(blockdev::activity_log_offset, UINT64_MAX);
      default:
        return rot(0, UINT64_MAX);
    }
  }

  // While both copies are good, or while this one is down and the other one goes on.
  void rot_metadata() {
    burst(liar_).background = true;
    if (random_.percent(50)) {
      rot_somewhere();
      if (random_.percent(50)) burst(any_node()).background = true;
      take_down(liar_);
    } else {
      take_down(liar_);
      rot_somewhere();
    }
    if (random_.percent(30)) fail_over();
    add(Do::start, liar_);
    work();
  }

  void fail_over() {
    add(Do::promote, other(), {"force"}).after = seconds(7);
    burst(other());
  }

  void lose_superblock() {
    const bool first = random_.percent(50);
    const bool lost = random_.percent(60);
    Step& lie = add(lost ? Do::lose_writes : Do::misdirect, liar_, {"meta"});
    lie.numbers = {{"volume", volume()},
                   {"offset", first ? 0 : blockdev::superblock_distance_bytes},
                   {"length", page_bytes}};
    if (!lost) {
      lie.numbers.emplace_back("to",
                               blockdev::activity_log_offset + random_.below(64) * sector_bytes);
    }
    add(Do::cut, any_node(), {"reset"});
    add(Do::heal);
    work();
    add(Do::wait).after = milliseconds(random_.below(3000));
    add(Do::kill, liar_);
    add(Do::start, liar_);
  }

  void lie_about_metadata() {
    Step& lie = add(random_.percent(60) ? Do::lose_writes : Do::misdirect, liar_, {"meta"});
    lie.numbers = {{"volume", volume()}, {"count", random_.between(1, 6)}};
    if (random_.percent(20)) lie.words.emplace_back("sticky");
    if (random_.percent(40)) {
      lie.numbers.emplace_back("offset", random_.percent(50) ? blockdev::activity_log_offset : 0);
      lie.numbers.emplace_back("length", blockdev::activity_log_offset);
    }
    work();
    if (random_.percent(50)) restart(other());
    work();
    take_down(liar_);
    add(Do::start, liar_);
    work();
  }

  // --- other disks ---

  std::vector<std::string> what(std::uint64_t both_percent) {
    if (random_.percent(both_percent)) return {};
    return {random_.percent(50) ? "meta" : "data"};
  }

  void go_back(bool forced) {
    const std::vector<std::string> which = forced ? std::vector<std::string>{} : what(60);
    add(Do::snapshot, liar_, which);
    work();
    if (forced || random_.percent(60)) {
      // A session that the copy does not know.
      restart(any_node());
      add(Do::get_well);
      restart(any_node());
      add(Do::get_well);
    }
    work();
    add(Do::get_well);
    burst(any_node());
    take_down(liar_);
    add(Do::restore, liar_, which);
    if (forced) return force_from_the_past();
    if (random_.percent(20)) fail_over();
    if (random_.percent(30)) restart(other());
    add(Do::start, liar_);
    work();
  }

  // Two nodes that do not hear each other, one of them with a disk of the past: a split brain, and
  // reported as one.
  void force_from_the_past() {
    add(Do::cut, -1, {"silence"});
    add(Do::start, liar_);
    add(Do::promote, liar_, {"force"}).after = seconds(1);
    burst(liar_);
    if (random_.percent(50)) burst(other());
    add(Do::heal);
    add(Do::wait).after = seconds(random_.below(20));
  }

  // Its record says that the other node is behind, which was true then.
  void go_back_alone() {
    const std::vector<std::string> which =
        random_.percent(70) ? std::vector<std::string>{} : std::vector<std::string>{"meta"};
    add(Do::promote, liar_);
    add(Do::kill, other());
    burst(liar_).after = seconds(7);
    add(Do::snapshot, liar_, which);
    add(Do::start, other());
    add(Do::get_well);
    add(Do::handover, liar_);
    restart(any_node());
    add(Do::get_well);
    burst(any_node());
    random_.percent(70) ? add(Do::kill, liar_) : add(Do::stop, liar_);
    add(Do::restore, liar_, which);
    add(Do::start, liar_);
    work();
    if (random_.percent(30)) add(Do::promote, liar_);
    work();
  }

  void replace_by_blank() {
    const std::vector<std::string> which = what(50);
    if (random_.percent(50)) burst(any_node()).background = true;
    take_down(liar_);
    if (random_.percent(30)) fail_over();
    add(Do::blank, liar_, which);
    if (random_.percent(40) && (which.empty() || which[0] == "meta")) add(Do::create_md, liar_);
    add(Do::start, liar_);
    // Provisioned once more, in the middle of its first sync at the latest.
    if (random_.percent(30) && (which.empty() || which[0] == "meta")) {
      add(Do::kill, liar_);
      add(Do::create_md, liar_);
      add(Do::start, liar_);
    }
    work();
  }

  // --- data ---

  void damage_data() {
    Step& step = add(Do::rot, liar_);
    step.numbers = {{"volume", volume()}};
    const std::uint64_t kind = random_.below(3);
    if (kind == 0) {
      step.numbers.emplace_back("sectors", random_.between(1, 64));
    } else {
      step.what = kind == 1 ? Do::lose_writes : Do::misdirect;
      step.numbers.emplace_back("count", random_.between(1, 10));
    }
    work();
    if (random_.percent(60)) restart(liar_);
    work();
  }

  const Settings& settings_;
  Kind kind_;
  bool mixed_;
  int liar_;
};

}  // namespace

Plan beyond_plan(std::uint64_t seed) {
  Plan plan;
  plan.settings = swarm_settings(seed);
  // Who yields unasked, the disks show; these lie.
  plan.settings.after_sb = {};
  BeyondAuthor(Prng(seed, "beyond"), plan.settings, plan.script).write();
  add_verifies(Prng(seed, "verify"), plan.script);
  return plan;
}

}  // namespace baton::sim
