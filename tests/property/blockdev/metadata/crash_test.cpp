// Goal: a crash at any moment leaves the metadata as before or as after what was under way.
// Method: crash_world.h; the power is cut after every operation of random histories.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/property/blockdev/metadata/crash_world.h"

namespace baton::blockdev {

void showValue(const CrashWorld::Step& step, std::ostream& out) {
  out << "step(" << static_cast<int>(step.kind) << ", " << step.a << ", " << step.b << ")";
}

namespace {

using Kind = CrashWorld::Kind;

rc::Gen<CrashWorld::Step> any_step() {
  const auto kind = rc::gen::weightedElement<Kind>({{4, Kind::commit},
                                                    {14, Kind::acquire},
                                                    {10, Kind::release},
                                                    {4, Kind::begin_interval},
                                                    {4, Kind::mark_clean},
                                                    {8, Kind::set_bit},
                                                    {6, Kind::clear_bit},
                                                    {5, Kind::write_bitmap},
                                                    {30, Kind::disk_steps},
                                                    {2, Kind::empty_log},
                                                    {1, Kind::power_cut},
                                                    {3, Kind::kill}});
  return rc::gen::build<CrashWorld::Step>(
      rc::gen::set(&CrashWorld::Step::kind, kind),
      rc::gen::set(&CrashWorld::Step::a, rc::gen::inRange<std::uint32_t>(0, 1000)),
      rc::gen::set(&CrashWorld::Step::b, rc::gen::inRange<std::uint32_t>(0, 1000)));
}

// Steps grow with the size of the test case; long ones are worth it here.
std::vector<CrashWorld::Step> any_history() {
  return *rc::gen::scale(2.0, rc::gen::container<std::vector<CrashWorld::Step>>(any_step()));
}

void live_through(CrashWorld& world, const std::vector<CrashWorld::Step>& history) {
  for (const CrashWorld::Step& step : history) {
    world.carry_out(step);
    if (!world.complaint().empty()) RC_FAIL(world.complaint());
  }
  world.finish();
  if (!world.complaint().empty()) RC_FAIL(world.complaint());
}

RC_GTEST_PROP(Crash, at_any_operation_leaves_before_or_after, ()) {
  const auto size = *rc::gen::element<std::uint64_t>(1, 9 << 20, 124 << 20);
  CrashWorld world(size, *rc::gen::inRange<std::size_t>(3, 12),
                   *rc::gen::arbitrary<std::uint64_t>());
  live_through(world, any_history());
}

// Nor what the next process was shown, though a failed flush never made it durable.
RC_GTEST_PROP(Crash, loses_nothing_that_was_durable_when_the_disk_died, ()) {
  CrashWorld world(50 << 20, 5, *rc::gen::arbitrary<std::uint64_t>());
  std::vector<CrashWorld::Step> history = any_history();
  const auto at = *rc::gen::inRange<std::size_t>(0, history.size() + 1);
  history.insert(history.begin() + static_cast<std::ptrdiff_t>(at), {.kind = Kind::disk_dies});
  live_through(world, history);
}

// The regions and bits of a large volume lie in several pages: torn transactions of many pages.
TEST(Crash, of_a_volume_with_many_pages_leaves_before_or_after) {
  tests::Rng rng(19);
  CrashWorld world(std::uint64_t{130} << 30U, 8, rng());
  for (int i = 0; i < 24; ++i) {
    const Kind kind = i % 3 == 0 ? Kind::disk_steps : static_cast<Kind>(rng() % 9);
    world.carry_out({.kind = kind,
                     .a = static_cast<std::uint32_t>(rng() % 1000),
                     .b = static_cast<std::uint32_t>(rng() % 1000)});
    ASSERT_EQ(world.complaint(), "");
  }
  world.finish();
  EXPECT_EQ(world.complaint(), "");
}

// Regions that are needed and full logs do meet in these histories.
TEST(Crash, histories_reach_a_full_log) {
  tests::Rng rng(31);
  CrashWorld world(124 << 20, 4, rng());
  for (int i = 0; i < 400; ++i) {
    world.carry_out({.kind = i % 2 == 0 ? Kind::disk_steps : static_cast<Kind>(rng() % 5),
                     .a = static_cast<std::uint32_t>(rng() % 1000),
                     .b = static_cast<std::uint32_t>(rng() % 1000)});
    ASSERT_EQ(world.complaint(), "");
  }
  EXPECT_GT(world.stalls(), 0U);
  EXPECT_GT(world.cuts(), 200U);
}

}  // namespace
}  // namespace baton::blockdev
