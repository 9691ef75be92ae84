// Goal: overlapping writes go one after the other in the order they came; nothing starves or is
// granted twice. Method: cases by hand, then random claims against a model.
#include "replication/core/range_lock.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <memory>
#include <vector>

namespace baton::replication {
namespace {

void count(RangeClaim& claim) {
  ++*static_cast<int*>(claim.context());
}

bool acquire(RangeLock& lock, RangeClaim& claim, RangeClaim::Granted granted, void* context) {
  return lock.enter(claim) || lock.wait(claim, granted, context);
}

TEST(RangeLock, a_later_overlapping_write_waits_for_the_earlier) {
  RangeLock lock;
  int granted = 0;
  RangeClaim first(0, 4096, true);
  RangeClaim second(512, 512, true);
  RangeClaim apart(4096, 512, true);
  EXPECT_TRUE(acquire(lock, first, count, &granted));
  EXPECT_FALSE(acquire(lock, second, count, &granted));
  EXPECT_TRUE(acquire(lock, apart, count, &granted));
  lock.release(first);
  EXPECT_EQ(granted, 1);
  lock.release(second);
  lock.release(apart);
  EXPECT_TRUE(lock.empty());
}

TEST(RangeLock, shared_claims_pass_each_other_but_not_a_waiting_write) {
  RangeLock lock;
  int granted = 0;
  RangeClaim reader(0, 512, false);
  RangeClaim other_reader(0, 512, false);
  RangeClaim writer(0, 512, true);
  RangeClaim late_reader(0, 512, false);
  EXPECT_TRUE(acquire(lock, reader, count, &granted));
  EXPECT_TRUE(acquire(lock, other_reader, count, &granted));
  EXPECT_FALSE(acquire(lock, writer, count, &granted));
  EXPECT_FALSE(acquire(lock, late_reader, count, &granted)) << "it would starve the writer";
  lock.release(reader);
  EXPECT_EQ(granted, 0);
  lock.release(other_reader);
  EXPECT_EQ(granted, 1);
  lock.release(writer);
  EXPECT_EQ(granted, 2);
  lock.release(late_reader);
}

TEST(RangeLock, who_has_entered_keeps_its_place_before_it_waits) {
  RangeLock lock;
  int granted = 0;
  RangeClaim first(0, 4096, true);
  RangeClaim second(512, 512, true);
  RangeClaim third(0, 4096, true);
  EXPECT_TRUE(lock.enter(first));
  EXPECT_FALSE(lock.enter(second));
  EXPECT_FALSE(acquire(lock, third, count, &granted));
  lock.release(first);
  EXPECT_EQ(granted, 0) << "nobody waits for the second yet, and the third is behind it";
  EXPECT_TRUE(lock.wait(second, count, &granted)) << "granted meanwhile";
  EXPECT_TRUE(second.entered());
  lock.release(second);
  EXPECT_FALSE(second.entered());
  EXPECT_EQ(granted, 1);
  lock.release(third);
}

struct Tracked {
  Tracked(std::uint64_t offset, std::uint64_t length, bool exclusive)
      : claim(offset, length, exclusive) {}
  RangeClaim claim;
  bool granted = false;
};

bool conflict(const RangeClaim& a, const RangeClaim& b) {
  return (a.exclusive() || b.exclusive()) && a.offset() < b.offset() + b.length() &&
         b.offset() < a.offset() + a.length();
}

RC_GTEST_PROP(RangeLockProperty, exactly_the_claims_without_an_earlier_conflict_are_granted, ()) {
  RangeLock lock;
  std::vector<std::unique_ptr<Tracked>> claims;
  const int steps = *rc::gen::inRange(1, 60);
  for (int step = 0; step < steps; ++step) {
    const bool add = claims.empty() || *rc::gen::arbitrary<bool>();
    if (add) {
      const auto offset = *rc::gen::inRange<std::uint64_t>(0, 12);
      const auto length = *rc::gen::inRange<std::uint64_t>(1, 6);
      claims.push_back(std::make_unique<Tracked>(offset, length, *rc::gen::arbitrary<bool>()));
      Tracked& added = *claims.back();
      added.granted = acquire(
          lock, added.claim,
          [](RangeClaim& claim) {
            auto& tracked = *static_cast<Tracked*>(claim.context());
            RC_ASSERT(!tracked.granted);
            tracked.granted = true;
          },
          &added);
    } else {
      const auto index = *rc::gen::inRange<std::size_t>(0, claims.size());
      lock.release(claims[index]->claim);
      claims.erase(claims.begin() + static_cast<std::ptrdiff_t>(index));
    }
    for (std::size_t i = 0; i < claims.size(); ++i) {
      bool free = true;
      for (std::size_t j = 0; j < i; ++j)
        free = free && !conflict(claims[i]->claim, claims[j]->claim);
      RC_ASSERT(claims[i]->granted == free);
    }
  }
  for (auto& tracked : claims) lock.release(tracked->claim);
  RC_ASSERT(lock.empty());
}

}  // namespace
}  // namespace baton::replication
