// Goal: a write that another node does for this one is told apart from every other, and what became
// of it is remembered until nobody asks any more.
#include "replication/core/write_ids.h"

#include <gtest/gtest.h>

namespace baton::replication {
namespace {

TEST(OwnWriteIds, every_piece_has_a_number_of_its_own) {
  OwnWriteIds ids;
  const std::uint64_t first = ids.begin(3);
  const std::uint64_t second = ids.begin(1);
  EXPECT_NE(first, 0U);
  EXPECT_EQ(second, first + 3);
}

TEST(OwnWriteIds, the_oldest_is_the_lowest_that_is_in_use_or_the_next) {
  OwnWriteIds ids;
  const std::uint64_t first = ids.begin(2);
  const std::uint64_t second = ids.begin(2);
  EXPECT_EQ(ids.oldest(), first);
  ids.end(first);
  EXPECT_EQ(ids.oldest(), second);
  ids.end(second);
  EXPECT_EQ(ids.oldest(), second + 2);
  EXPECT_EQ(ids.begin(1), second + 2);
}

TEST(OwnWriteIds, arrivals_count_once_and_for_their_write_alone) {
  OwnWriteIds ids;
  const std::uint64_t first = ids.begin(2);
  const std::uint64_t second = ids.begin(2);
  ids.arrived(first + 1);
  ids.arrived(first + 1);
  EXPECT_EQ(ids.arrived_of(first), 1U);
  EXPECT_EQ(ids.arrived_of(second), 0U);
  ids.arrived(first);
  EXPECT_EQ(ids.arrived_of(first), 2U);
  // Of an earlier process, or of a write that is over: nothing.
  ids.end(first);
  ids.arrived(first);
  ids.arrived(0);
  ids.arrived(second + 7);
  EXPECT_EQ(ids.arrived_of(first), 0U);
  EXPECT_EQ(ids.arrived_of(second), 0U);
}

TEST(DoneWrites, remembers_how_each_ended_until_nobody_asks_any_more) {
  DoneWrites done;
  done.belong_to(77);
  done.note(5, IoError::none);
  done.note(6, IoError::io);
  EXPECT_EQ(done.find(5), IoError::none);
  EXPECT_EQ(done.find(6), IoError::io);
  EXPECT_FALSE(done.find(7));
  done.forget_before(6);
  EXPECT_FALSE(done.find(5));
  EXPECT_EQ(done.find(6), IoError::io);
  EXPECT_EQ(done.size(), 1U);
}

TEST(DoneWrites, is_bounded_and_says_what_it_does_not_know_any_more) {
  DoneWrites done;
  done.belong_to(77);
  for (std::uint64_t id = 1; id <= DoneWrites::most + 2; ++id) done.note(id, IoError::none);
  EXPECT_EQ(done.size(), DoneWrites::most);
  EXPECT_EQ(done.find(2), IoError::no_space);
  EXPECT_EQ(done.find(3), IoError::none);
  EXPECT_FALSE(done.find(DoneWrites::most + 3));
  done.belong_to(78);
  EXPECT_FALSE(done.find(2));
}

TEST(DoneWrites, what_the_asker_did_itself_counts_when_it_may_ask_again) {
  DoneWrites done;
  done.belong_to(7);
  // However many there were: of the older ones it has heard.
  for (std::uint64_t number = 1; number <= 3 * DoneWrites::most; ++number) {
    done.note_applied(number, number + 10);
  }
  EXPECT_EQ(done.size(), 0U);
  done.belong_to(7);
  EXPECT_EQ(done.size(), DoneWrites::under_way_most);
  EXPECT_EQ(done.find(3 * DoneWrites::most + 10), IoError::none);
  EXPECT_EQ(done.find(3 * DoneWrites::most + 11 - DoneWrites::under_way_most), IoError::none);
  EXPECT_FALSE(done.find(3 * DoneWrites::most + 10 - DoneWrites::under_way_most));
  done.note_applied(1, 5);
  done.belong_to(8);
  EXPECT_FALSE(done.find(5));
}

TEST(DoneWrites, forgets_those_of_a_process_that_is_no_more) {
  DoneWrites done;
  done.belong_to(77);
  done.note(5, IoError::none);
  done.belong_to(77);
  EXPECT_TRUE(done.find(5));
  done.belong_to(78);
  EXPECT_FALSE(done.find(5));
}

}  // namespace
}  // namespace baton::replication
