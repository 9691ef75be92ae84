// A metadata device under a random history, and a model of what it must remember.
//
// After every operation of the disk the power is cut on a copy, and the copy is loaded and compared
// with the model.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "blockdev/metadata/store.h"
#include "tests/support/crash_disk.h"

namespace baton::blockdev {

class CrashWorld {
 public:
  CrashWorld(std::uint64_t volume_size, std::size_t regions_limit, std::uint64_t seed);

  enum class Kind : std::uint8_t {
    commit,
    acquire,
    release,
    begin_interval,
    mark_clean,
    set_bit,
    clear_bit,
    write_bitmap,
    disk_steps,
    empty_log,
    power_cut,
    kill,
    disk_dies,
  };
  struct Step {
    Kind kind = Kind::commit;
    std::uint32_t a = 0;
    std::uint32_t b = 0;
  };
  void carry_out(const Step& step);
  // Lets everything end that can; the engine's part under pressure is played.
  void finish();

  // The first thing that was wrong; empty: nothing.
  const std::string& complaint() const { return complaint_; }
  std::uint64_t cuts() const { return cuts_; }
  std::uint64_t stalls() const { return stalls_; }

 private:
  // What is known of one block of one bitmap: its bit, and what may be on the disk.
  struct Block {
    bool now = false;
    bool may_be_clear = true;
    bool may_be_set = false;
    std::uint64_t changed = 0;  // tick of the last change
  };
  struct Region {
    std::uint64_t uses = 0;
    std::uint64_t released_in = 0;
  };
  struct Held {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };

  static Task<> commit(CrashWorld& world, std::uint64_t epoch);
  static Task<> acquire(CrashWorld& world, Held range);
  static Task<> write_bitmap(CrashWorld& world, std::uint32_t slot);
  static Task<> empty_log(CrashWorld& world);

  void granted(Held range);
  void released(Held range);
  void change_bit(std::uint32_t slot, std::uint64_t block, bool on);
  Held any_range(const Step& step) const;
  void run_loop();
  void disk_step();
  void mark_clean();
  void cut_and_check();
  void check(Metadata& loaded, const std::vector<std::string>& warnings);
  void check_superblock(const Metadata& loaded);
  void check_regions(const Metadata& loaded);
  void check_blocks(Metadata& loaded, std::uint32_t slot);
  void restart(std::unique_ptr<tests::CrashDisk> disk);
  void open();
  void complain(const std::string& what);

  static constexpr std::uint32_t slots = 2;
  const std::uint64_t volume_size_;
  const std::size_t limit_;
  tests::Rng rng_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<tests::CrashDisk> disk_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Scope> scope_;

  std::uint64_t commits_asked_ = 0;
  std::uint64_t commits_done_ = 0;
  std::map<std::uint64_t, Region> regions_;
  std::set<std::uint64_t> regions_asked_;  // everything that has a reason to be in the log
  std::vector<Held> held_;
  std::uint64_t interval_ = 1;
  std::uint64_t clean_ = 0;
  std::vector<std::map<std::uint64_t, Block>> blocks_;
  std::uint64_t tick_ = 0;
  bool disk_dead_ = false;
  bool room_wanted_ = false;

  std::string complaint_;
  std::uint64_t cuts_ = 0;
  std::uint64_t stalls_ = 0;
};

}  // namespace baton::blockdev
