#include "replication/core/after_sb.h"

#include <array>
#include <utility>

#include "base/mutant.h"

namespace baton::replication {
namespace {

constexpr std::array<std::pair<std::string_view, AfterSb0>, 5> zero_words{
    {{"disconnect", AfterSb0::disconnect},
     {"discard-younger-primary", AfterSb0::discard_younger_primary},
     {"discard-older-primary", AfterSb0::discard_older_primary},
     {"discard-zero-changes", AfterSb0::discard_zero_changes},
     {"discard-least-changes", AfterSb0::discard_least_changes}}};
constexpr std::array<std::pair<std::string_view, AfterSb1>, 3> one_words{
    {{"disconnect", AfterSb1::disconnect},
     {"consensus", AfterSb1::consensus},
     {"discard-secondary", AfterSb1::discard_secondary}}};

constexpr std::string_view node_prefix = "discard-node-";

// The side for which it is true, if it is for one of them.
Yields only(bool self, bool peer) {
  if (self == peer) return Yields::nobody;
  return self ? Yields::self : Yields::peer;
}

YieldVerdict without_primary(const AfterSplitBrain& policy, const SplitSide& self,
                             const SplitSide& peer) {
  const std::uint64_t ours = self.bytes_changed;
  const std::uint64_t theirs = peer.bytes_changed;
  switch (policy.zero) {
    case AfterSb0::disconnect:
      break;
    case AfterSb0::discard_younger_primary:
      return {"discard-younger-primary", only(self.epoch > peer.epoch, peer.epoch > self.epoch)};
    case AfterSb0::discard_older_primary:
      return {"discard-older-primary", only(self.epoch < peer.epoch, peer.epoch < self.epoch)};
    case AfterSb0::discard_zero_changes:
      return {"discard-zero-changes", only(ours == 0, theirs == 0)};
    case AfterSb0::discard_least_changes:
      return {"discard-least-changes", only(ours < theirs, theirs < ours)};
    case AfterSb0::discard_node:
      return {"discard-node", only(self.name == policy.node, peer.name == policy.node)};
  }
  return {"disconnect", Yields::nobody};
}

}  // namespace

const std::array<std::string_view, 6> after_sb_0pri_words{zero_words[0].first, zero_words[1].first,
                                                          zero_words[2].first, zero_words[3].first,
                                                          zero_words[4].first, "discard-node-NAME"};
const std::array<std::string_view, 3> after_sb_1pri_words{one_words[0].first, one_words[1].first,
                                                          one_words[2].first};

std::string after_sb_node(std::string_view word) {
  return word.starts_with(node_prefix) ? std::string(word.substr(node_prefix.size())) : "";
}

std::string text_of_0pri(const AfterSplitBrain& policy) {
  if (policy.zero == AfterSb0::discard_node) return std::string(node_prefix) + policy.node;
  for (const auto& [word, value] : zero_words) {
    if (value == policy.zero) return std::string(word);
  }
  return "?";
}

std::string_view name_of(AfterSb1 policy) {
  for (const auto& [word, value] : one_words) {
    if (value == policy) return word;
  }
  return "?";
}

std::string text_of(const AfterSplitBrain& policy) {
  return text_of_0pri(policy) + " " + std::string(name_of(policy.one));
}

std::optional<AfterSb0> after_sb_0pri(std::string_view word) {
  for (const auto& [name, value] : zero_words) {
    if (name == word) return value;
  }
  if (word.starts_with(node_prefix)) return AfterSb0::discard_node;
  return std::nullopt;
}

std::optional<AfterSb1> after_sb_1pri(std::string_view word) {
  for (const auto& [name, value] : one_words) {
    if (name == word) return value;
  }
  return std::nullopt;
}

YieldVerdict decide_after_split_brain(const AfterSplitBrain& policy, const SplitSide& self,
                                      const SplitSide& peer) {
  const bool ours = self.role == Role::primary;
  const bool theirs = peer.role == Role::primary;
  if (ours && theirs) return {"two-primaries", Yields::nobody};
  YieldVerdict verdict;
  if (!ours && !theirs) {
    verdict = without_primary(policy, self, peer);
  } else {
    const Yields secondary = ours ? Yields::peer : Yields::self;
    switch (policy.one) {
      case AfterSb1::disconnect:
        return {"one-primary-disconnect", Yields::nobody};
      case AfterSb1::discard_secondary:
        verdict = {"discard-secondary", secondary};
        break;
      case AfterSb1::consensus:
        verdict = without_primary(policy, self, peer);
        if (verdict.who != secondary) return {"no-consensus", Yields::nobody};
        verdict.row = "consensus";
        break;
    }
  }
  if (mutant("both-sides-yield") && verdict.who != Yields::nobody) verdict.who = Yields::self;
  // Who is to stay has to be a whole copy of what it says it is.
  const bool stays_whole = verdict.who == Yields::self ? peer.complete : self.complete;
  if (verdict.who != Yields::nobody && !stays_whole) return {"survivor-incomplete", Yields::nobody};
  return verdict;
}

}  // namespace baton::replication
