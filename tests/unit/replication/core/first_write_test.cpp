// Goal: one answer for every combination of what the source can know, and none that gives the role
// away under a guest that has shown that it goes on.
#include "replication/core/first_write.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace baton::replication {
namespace {

using A = FirstWriteAction;

template <class Look>
void for_every_source(Look look) {
  for (int bits = 0; bits < 32; ++bits) {
    for (const GuestWord word : {GuestWord::unknown, GuestWord::stopped, GuestWord::running}) {
      look(SourceFacts{.clients = (bits & 1) != 0,
                       .spoke = (bits & 2) != 0,
                       .resumed = (bits & 4) != 0,
                       .word = word,
                       .silent = (bits & 8) != 0,
                       .may_guess = (bits & 16) != 0});
    }
  }
}

TEST(FirstWrite, a_source_that_has_gone_on_is_never_overruled) {
  for_every_source([](const SourceFacts& facts) {
    if (!facts.spoke && !facts.resumed) return;
    EXPECT_EQ(decide_first_write(facts).action, A::refuse);
  });
}

TEST(FirstWrite, is_refused_only_for_what_the_source_has_done) {
  for_every_source([](const SourceFacts& facts) {
    const FirstWriteVerdict verdict = decide_first_write(facts);
    if (verdict.action == A::refuse) {
      EXPECT_TRUE(facts.spoke || facts.resumed) << verdict.row;
    }
    EXPECT_EQ(verdict.sentence.empty(), verdict.action == A::grant) << verdict.row;
  });
}

TEST(FirstWrite, a_guess_needs_silence_and_nobody_who_knows_better) {
  for_every_source([](const SourceFacts& facts) {
    if (!facts.clients || facts.spoke || facts.resumed) return;
    const bool granted = decide_first_write(facts).action == A::grant;
    const bool known = facts.word == GuestWord::stopped;
    const bool guessed = facts.word == GuestWord::unknown && facts.silent && facts.may_guess;
    EXPECT_EQ(granted, known || guessed);
  });
}

TEST(FirstWrite, every_row_is_reached_by_the_facts_that_name_it) {
  std::map<std::string, std::set<A>> rows;
  for_every_source([&](const SourceFacts& facts) {
    const FirstWriteVerdict verdict = decide_first_write(facts);
    rows[std::string(verdict.row)].insert(verdict.action);
  });
  const std::map<std::string, std::set<A>> all = {{"source-goes-on", {A::refuse}},
                                                  {"source-resumed", {A::refuse}},
                                                  {"no-client", {A::grant}},
                                                  {"source-stopped", {A::grant}},
                                                  {"source-runs", {A::wait}},
                                                  {"source-not-silent", {A::wait}},
                                                  {"silence-proves-nothing", {A::wait}},
                                                  {"source-silent", {A::grant}}};
  EXPECT_EQ(rows, all);
}

}  // namespace
}  // namespace baton::replication
