// Who yields after a split brain without being told: DRBD's after-sb-0pri, -1pri and -2pri, with
// DRBD's values where their meaning can be kept. Pure.
//
// Both nodes decide from the same two states, so they agree; a Primary never yields; and what the
// yielding side has alone is kept in undo files like after `resolve`. A Primary that has lost by
// after-sb-0pri may be told so by its handler (call-pri-lost-after-sb), which reboots the host or
// demotes the node; when the two meet again it is one that may yield.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "replication/core/states.h"

namespace baton::replication {

// With no Primary.
enum class AfterSb0 : std::uint8_t {
  disconnect,               // nobody; DRBD disconnects, we stay connected and replicate nothing
  discard_younger_primary,  // who took the baton last
  discard_older_primary,
  discard_zero_changes,   // who wrote nothing, if the other did
  discard_least_changes,  // who wrote less
  discard_node,           // that one
};
// With one.
enum class AfterSb1 : std::uint8_t {
  disconnect,
  consensus,  // as with none, if that takes the Secondary
  discard_secondary,
  call_pri_lost,  // as with none, if that takes the Secondary; if the Primary, its handler is run
};
// With two nobody yields: each has a guest that goes on with what it has read.
enum class AfterSb2 : std::uint8_t {
  disconnect,
  call_pri_lost,  // the handler of the one that after-sb-0pri takes is run
};

struct AfterSplitBrain {
  AfterSb0 zero = AfterSb0::disconnect;
  std::string node;  // of discard_node
  AfterSb1 one = AfterSb1::disconnect;
  AfterSb2 two = AfterSb2::disconnect;
  friend bool operator==(const AfterSplitBrain&, const AfterSplitBrain&) = default;
};

// As in the configuration: "discard-younger-primary", "discard-node-beta".
std::string text_of_0pri(const AfterSplitBrain& policy);
std::string_view name_of(AfterSb1 policy);
std::string_view name_of(AfterSb2 policy);
// For the greeting: two nodes that say different things must not decide.
std::string text_of(const AfterSplitBrain& policy);
// Nothing for a word that is no policy (or none that is taken, see the configuration).
std::optional<AfterSb0> after_sb_0pri(std::string_view word);
std::optional<AfterSb1> after_sb_1pri(std::string_view word);
std::optional<AfterSb2> after_sb_2pri(std::string_view word);
// NAME of "discard-node-NAME"; empty for every other word.
std::string after_sb_node(std::string_view word);
// All that are taken, for messages.
extern const std::array<std::string_view, 6> after_sb_0pri_words;
extern const std::array<std::string_view, 4> after_sb_1pri_words;
extern const std::array<std::string_view, 2> after_sb_2pri_words;

struct SplitSide {
  std::string name;
  Role role = Role::secondary;
  std::uint64_t epoch = 0;          // of the baton, as it knows
  std::uint64_t bytes_changed = 0;  // since the two parted
  bool complete = false;            // an image of its own history, so that it may stay
};

enum class Yields : std::uint8_t { nobody, self, peer };

struct YieldVerdict {
  std::string_view row;  // the log word and the test's name
  Yields who = Yields::nobody;
  Yields lost_primary = Yields::nobody;  // whose handler is run: its data would yield, were it none
  friend bool operator==(const YieldVerdict&, const YieldVerdict&) = default;
};

YieldVerdict decide_after_split_brain(const AfterSplitBrain& policy, const SplitSide& self,
                                      const SplitSide& peer);

}  // namespace baton::replication
