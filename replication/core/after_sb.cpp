#include "replication/core/after_sb.h"

#include <algorithm>
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
constexpr std::array<std::pair<std::string_view, AfterSb1>, 4> one_words{
    {{"disconnect", AfterSb1::disconnect},
     {"consensus", AfterSb1::consensus},
     {"discard-secondary", AfterSb1::discard_secondary},
     {"call-pri-lost-after-sb", AfterSb1::call_pri_lost}}};
constexpr std::array<std::pair<std::string_view, AfterSb2>, 2> two_words{
    {{"disconnect", AfterSb2::disconnect}, {"call-pri-lost-after-sb", AfterSb2::call_pri_lost}}};

constexpr std::string_view node_prefix = "discard-node-";

template <class Words>
auto value_of(const Words& words, std::string_view word) {
  const auto found = std::ranges::find(words, word, &Words::value_type::first);
  return found == words.end() ? std::nullopt : std::optional(found->second);
}

template <class Words, class Value>
std::string_view word_of(const Words& words, Value value) {
  const auto found = std::ranges::find(words, value, &Words::value_type::second);
  return found == words.end() ? "?" : found->first;
}

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

// Who is to stay has to be a whole copy of what it says it is.
bool stays_whole(Yields who, const SplitSide& self, const SplitSide& peer) {
  return who == Yields::self ? peer.complete : self.complete;
}

YieldVerdict primary_has_lost(Yields who, const SplitSide& self, const SplitSide& peer) {
  if (who != Yields::nobody && !stays_whole(who, self, peer)) return {.row = "survivor-incomplete"};
  return {.row = "call-pri-lost", .lost_primary = who};
}

}  // namespace

const std::array<std::string_view, 6> after_sb_0pri_words{zero_words[0].first, zero_words[1].first,
                                                          zero_words[2].first, zero_words[3].first,
                                                          zero_words[4].first, "discard-node-NAME"};
const std::array<std::string_view, 4> after_sb_1pri_words{one_words[0].first, one_words[1].first,
                                                          one_words[2].first, one_words[3].first};
const std::array<std::string_view, 2> after_sb_2pri_words{two_words[0].first, two_words[1].first};

std::string after_sb_node(std::string_view word) {
  return word.starts_with(node_prefix) ? std::string(word.substr(node_prefix.size())) : "";
}

std::string text_of_0pri(const AfterSplitBrain& policy) {
  if (policy.zero == AfterSb0::discard_node) return std::string(node_prefix) + policy.node;
  return std::string(word_of(zero_words, policy.zero));
}

std::string_view name_of(AfterSb1 policy) {
  return word_of(one_words, policy);
}

std::string_view name_of(AfterSb2 policy) {
  return word_of(two_words, policy);
}

std::string text_of(const AfterSplitBrain& policy) {
  std::string text = text_of_0pri(policy) + " " + std::string(name_of(policy.one));
  if (policy.two != AfterSb2::disconnect) text += " " + std::string(name_of(policy.two));
  return text;
}

std::optional<AfterSb0> after_sb_0pri(std::string_view word) {
  if (word.starts_with(node_prefix)) return AfterSb0::discard_node;
  return value_of(zero_words, word);
}

std::optional<AfterSb1> after_sb_1pri(std::string_view word) {
  return value_of(one_words, word);
}

std::optional<AfterSb2> after_sb_2pri(std::string_view word) {
  return value_of(two_words, word);
}

YieldVerdict decide_after_split_brain(const AfterSplitBrain& policy, const SplitSide& self,
                                      const SplitSide& peer) {
  const bool ours = self.role == Role::primary;
  const bool theirs = peer.role == Role::primary;
  YieldVerdict verdict;
  if (ours && theirs) {
    if (policy.two == AfterSb2::disconnect) return {"two-primaries", Yields::nobody};
    return primary_has_lost(without_primary(policy, self, peer).who, self, peer);
  }
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
      case AfterSb1::call_pri_lost:
        verdict = without_primary(policy, self, peer);
        if (verdict.who != secondary) return primary_has_lost(verdict.who, self, peer);
        break;
    }
  }
  if (mutant("both-sides-yield") && verdict.who != Yields::nobody) verdict.who = Yields::self;
  if (verdict.who != Yields::nobody && !stays_whole(verdict.who, self, peer)) {
    return {"survivor-incomplete", Yields::nobody};
  }
  return verdict;
}

}  // namespace baton::replication
