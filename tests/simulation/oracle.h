// What clients are entitled to see: one register per cell, with the writes that may be its value.
//
// Global time is known here, so there is no search: for every cell the oracle keeps the writes that
// may still show, and drops one when another has surely taken its place (quality.md B6). A write
// binds while at least one copy is bound to have it; which copies those are was decided when it was
// acknowledged, from what the holder then said of the copies. A power cut takes from a copy what no
// flush covered; what no copy is bound to have any more may be gone, and only that.
//
// A forced promotion without contact makes two histories (a fork): from then on each node answers
// for what its own copy was bound to have, until one of the two has become the truth.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "tests/simulation/cells.h"

namespace baton::sim {

// Nodes by number, as bits.
using NodeSet = std::uint8_t;
constexpr NodeSet bit(int node) {
  return static_cast<NodeSet>(1U << static_cast<unsigned>(node));
}
constexpr bool has(NodeSet set, int node) {
  return (set & bit(node)) != 0;
}

// Reads the copy of `node` as a client would if it were served from there.
using ReadCopy = std::function<void(int node, std::uint32_t volume, std::uint64_t offset,
                                    std::span<std::byte> out)>;

struct Finding {
  std::string rule;
  std::string what;
};

class Damage;

class Oracle {
 public:
  Oracle(std::size_t nodes, const std::vector<std::uint64_t>& volume_sizes);

  const Cells& cells(std::uint32_t volume) const { return volumes_[volume].cells; }

  // --- what is beyond the promises (docs/reliability.md "Beyond the model") ---
  // Cells that a disk has damaged are not judged.
  void excuse(const Damage* damage) { damage_ = damage; }
  // From here on an older value is no finding: metadata was lost that would have told which is the
  // newest, and nobody could know. A value that was never written there stays one, as does a write
  // that was refused and took effect.
  void excuse_old_values() { old_values_excused_ = true; }
  bool old_values_excused() const { return old_values_excused_; }
  // A copy of a disk was made: what shows there now may come back whatever takes its place.
  void keep_history() { history_kept_ = true; }

  // --- what clients do; the numbers are the oracle's own time ---
  // The number to fill the cells with. `zero`: discard or write zeroes.
  std::uint64_t invoke_write(int node, std::uint32_t volume, std::uint64_t offset,
                             std::uint64_t length, bool zero, bool fua);
  // Acknowledged: `copies` are those that count as UpToDate at this moment. None: nobody is bound.
  // `holder` has it for certain, and says so itself (-1: nobody).
  void write_done(std::uint64_t write, NodeSet copies, int holder = -1);
  // It was done through another node: `node`, whose client wrote it, had no disk then.
  void written_without_disk(std::uint64_t write, int node) { writes_[write].absent |= bit(node); }
  // Refused with a code that says nothing was done.
  void write_refused(std::uint64_t write);
  // Failed, or the connection was lost: it took effect or it did not, and that is settled by now.
  void write_unknown(std::uint64_t write);

  std::uint64_t invoke_read();
  // The connection was lost, or the read failed: the client learned nothing.
  void read_abandoned(std::uint64_t invoked);
  // Nothing when the answer is one that a correct volume may give.
  std::optional<Finding> read_done(int node, std::uint32_t volume, std::uint64_t invoked,
                                   std::uint64_t offset, std::span<const std::byte> data,
                                   NodeSet copies);

  std::uint64_t invoke_flush() { return ++now_; }
  // Everything acknowledged before it is on stable storage in these copies.
  void flush_done(std::uint32_t volume, std::uint64_t invoked, NodeSet copies);
  // Answered by a node that is not Primary: it covers `writes`, those of this connection, wherever
  // they are, and none made elsewhere.
  void own_flush_done(std::span<const std::uint64_t> writes, std::uint64_t invoked);

  // --- what happens to copies ---
  // A process died, a link was cut: from here on a missing write was lost, not served stale.
  void failure() { last_failure_ = ++now_; }
  void power_cut(int node);
  // A copy's disk failed a flush: it is bound to nothing that no earlier flush has covered.
  void flush_failed(int node);
  // The copy is another disk now, and is bound to have nothing.
  void replaced(int node);
  // SIGKILL under A and B: what was only received is gone. `read` shows the copy afterwards.
  void killed_before_writing(int node, const ReadCopy& read);
  // A forced promotion on `node` without contact.
  void forked(int node, const ReadCopy& read);
  bool is_forked() const { return forked_; }
  // All nodes are connected, and UpToDate at once. `told_at`: when they met; what was acknowledged
  // before is durable on every copy. `discarded`: told by an operator to discard its data, or -1;
  // `read` shows whether that was needed.
  // `binding`: from now on every copy is bound to have everything.
  std::optional<Finding> all_agree(std::uint64_t told_at, int discarded, bool binding,
                                   const ReadCopy& read);
  // In a fork: `follower` has made the other's history its own, word for word, and says so (-1: the
  // copies show who has).
  std::optional<Finding> end_fork(int discarded, bool binding, int follower, const ReadCopy& read);
  // Does the copy of `node` show the write, or something newer, everywhere? When in doubt, no.
  // Unless `zeroes_tell`, zeroes may be older than the write: the copy is a disk of the past. With
  // `beside_counts` a write that ran beside this one may have come after it.
  bool present(std::uint64_t write, int node, const ReadCopy& read, bool zeroes_tell = true,
               bool beside_counts = false) const;
  // Some copy has lost its cache since the write was invoked.
  bool lost_with_a_cache(std::uint64_t write) const {
    return lost_cache_since(writes_[write].invoked) != 0;
  }
  // Acknowledged writes that `node` is bound to have and `other` is not.
  std::size_t exclusive(int node, int other) const { return only_on(node, other).size(); }
  std::vector<std::uint64_t> only_on(int node, int other) const;
  void branch_has_begun(NodeSet copies);
  // Has it acknowledged a write since the fork?
  bool went_on_since_the_fork(int node) const;

  std::uint64_t now() const { return now_; }
  // Notes that time has passed (order of events of the world among those of the clients).
  std::uint64_t tick() { return ++now_; }

  // The copy of `node` claims UpToDate, and its content says the same (check_copy).
  void has_everything(int node, std::uint32_t volume);
  // Rule 4: does the copy of `node` hold what a client may be shown by `as_node`? (The same, but in
  // a fork.) The first cell that does not.
  std::optional<Finding> check_copy(int node, int as_node, std::uint32_t volume,
                                    const ReadCopy& read) const;

  // Both are what cells show. True if `first` was begun after `second` (0: a blank disk, or
  // zeroes).
  bool later(std::uint64_t first, std::uint64_t second) const {
    return first < writes_.size() && second < writes_.size() &&
           writes_[first].invoked > writes_[second].invoked;
  }

  std::uint64_t writes() const { return writes_.size() - 1; }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t reads_checked() const { return reads_checked_; }

 private:
  enum class Fate : std::uint8_t { in_flight, firm, unknown, refused };
  struct Write {
    int node;
    std::uint32_t volume;
    std::uint64_t offset;
    std::uint64_t length;
    bool zero;
    bool fua;
    Fate fate = Fate::in_flight;
    std::uint64_t invoked = 0;
    std::uint64_t ended = never;
    std::uint64_t acknowledged = never;
    NodeSet copies = 0;    // bound to have it
    NodeSet durable = 0;   // of those: a flush has covered it
    NodeSet absent = 0;    // had no disk when it was acknowledged
    NodeSet lost = 0;      // were bound, until a failure took it from them
    NodeSet fell = 0;      // lost it with their process while it was on its way
    NodeSet believed = 0;  // forced into a history of its own, and its copy showed it
    std::uint64_t lost_at = 0;
    bool rolled_back = false;
    bool observed = false;  // of a write that nobody acknowledged: it binds since it was read
  };
  // A write as one cell knows it. A write that nobody acknowledged may have reached some cells and
  // others not: a cell in which it was seen gets a record of its own that binds.
  struct Entry {
    std::uint64_t value = 0;         // what the cell shows: the number of the client's write
    std::uint64_t write = 0;         // the record
    std::uint64_t observed = never;  // first time a read had returned it
    // The newest read that returned it.
    std::uint64_t seen_from = 0;
    std::uint64_t seen_by = never;
    int seen_on = -1;
  };
  struct Volume {
    Cells cells;
    std::vector<std::int32_t> index;  // of a cell in `histories`, -1: never written
    std::deque<std::vector<Entry>> histories;
    std::vector<std::uint64_t> touched;  // cells, in the order of their first write
  };
  static constexpr std::uint64_t never = UINT64_MAX;

  NodeSet lost_cache_since(std::uint64_t time) const;
  bool binds(const Write& write, int node) const;
  std::uint64_t known_by(const Entry& entry) const;
  const Entry* superseder(const std::vector<Entry>& history, const Entry& entry, int node,
                          std::uint64_t invoked) const;
  static bool of_its_history(const Write& write, int node);
  bool may_show(const std::vector<Entry>& history, const Entry& entry, int node,
                std::uint64_t invoked) const;
  std::optional<Finding> judge(int node, std::uint32_t volume, std::uint64_t cell,
                               std::span<const std::byte> content, std::uint64_t invoked,
                               const Entry** matched) const;
  Finding explain(int node, std::uint32_t volume, std::uint64_t cell,
                  const std::vector<Entry>& history, const Entry& shown,
                  std::uint64_t invoked) const;
  std::string describe(const Entry& entry) const;
  void note_observed(Entry& entry, int node, std::uint32_t volume, std::uint64_t cell,
                     std::uint64_t invoked, NodeSet copies);
  void prune(std::vector<Entry>& history) const;
  std::vector<Entry>& history_of(Volume& volume, std::uint64_t cell);
  const std::vector<Entry>* find_history(const Volume& volume, std::uint64_t cell) const;
  void end_write(std::uint64_t write, Fate fate);
  bool shows_the_same(const Write& write, int node, const ReadCopy& read) const;
  void believe_copy(int node, const ReadCopy& read);
  void roll_back(int loser, const ReadCopy& read);
  bool shown_in_part(std::uint64_t write, int node, const ReadCopy& read) const;
  enum class Kept : std::uint8_t { no, perhaps, surely };
  Kept kept(int node, int other, const ReadCopy& read) const;
  const Entry* entry_of(std::uint64_t write, std::uint64_t cell) const;
  bool shows_anywhere(std::uint64_t write, int node) const;
  bool surely_missing(std::uint64_t write, int node, const ReadCopy& read) const;
  void lose(Write& write, int node);
  void forget(Write& write);

  std::size_t nodes_;
  NodeSet all_;
  std::vector<std::uint64_t> lost_cache_at_;  // by node: a power cut, or a failed flush
  std::vector<Volume> volumes_;
  std::vector<Write> writes_;  // [0] is the blank disk
  std::uint64_t now_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t reads_checked_ = 0;
  std::uint64_t last_failure_ = 0;  // when a copy last lost something, for the name of the rule
  // Records made for cells of writes that are still in flight: of which, and which.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> seen_in_flight_;
  const Damage* damage_ = nullptr;
  bool old_values_excused_ = false;
  bool history_kept_ = false;
  NodeSet replaced_ = 0;  // since all agreed
  bool forked_ = false;
  std::uint64_t forked_at_ = 0;
  NodeSet unbegun_branch_ = 0;  // of the forced node, until it has acknowledged a write since
  std::vector<std::uint64_t> reads_open_;  // when they were invoked, oldest first
};

}  // namespace baton::sim
