// Writes that another node does for this one's clients, told apart for the life of the process: the
// link may be lost between the doing and the answer, and what was done may have been read and
// written over by then (docs/dual-primary.md "A write is done once"). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/result.h"

namespace baton::replication {

// At the node whose clients write. A write has one number for each of its pieces.
class OwnWriteIds {
 public:
  // The first of `count` numbers that are in use until end(). Never 0.
  std::uint64_t begin(std::uint64_t count);
  void end(std::uint64_t first);
  // The lowest that is in use, or the next one.
  std::uint64_t oldest() const;
  // The holder has written it to this node's copy.
  void arrived(std::uint64_t id);
  // How many of those that begin() gave with `first` have.
  std::uint64_t arrived_of(std::uint64_t first) const;

 private:
  struct Range {
    std::uint64_t count = 0;
    std::set<std::uint64_t> arrived;
  };
  std::uint64_t next_ = 1;
  std::map<std::uint64_t, Range> in_use_;  // by its first
};

// At the node that does them.
class DoneWrites {
 public:
  // A session begins: of which process the numbers are; those of another one are forgotten.
  void belong_to(std::uint64_t instance);
  // Of one that may have been asked for before: with what error it ended; nothing if it was not
  // begun here. `no_space` for one that is too old to be remembered: whether it was done is not
  // known any more.
  std::optional<IoError> find(std::uint64_t id) const;
  // So many are remembered at most, whatever the asker says of what it may still ask for.
  static constexpr std::size_t most = 1U << 16U;
  void note(std::uint64_t id, IoError error);
  // The asker has done it itself, as the session's write `number`, and it is done here. So many of
  // those are under way at most, so of the ones before them it has heard.
  static constexpr std::size_t under_way_most = 4096;
  void note_applied(std::uint64_t number, std::uint64_t id);
  // Nobody asks for these any more.
  void forget_before(std::uint64_t id);
  std::size_t size() const { return done_.size(); }

 private:
  std::uint64_t instance_ = 0;
  std::uint64_t forgotten_ = 0;  // up to here they may be unknown and done all the same
  std::map<std::uint64_t, IoError> done_;
  std::vector<std::uint64_t> applied_;  // by number modulo under_way_most; 0: none
};

}  // namespace baton::replication
