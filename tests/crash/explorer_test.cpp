// Goal: whatever a crash leaves of the files of two hosts, they come back with everything that was
// promised; and the explorer would notice if they did not. Method: one recording of a pair on real
// files, crashes at points of it, recovered by production code; the same with a defect that a real
// bug would make.
#include "tests/crash/explorer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <set>

namespace baton::crash {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
#endif

constexpr std::uint64_t metadata_log_at = 131072;  // docs/on-disk-format.md "Layout"
constexpr std::uint64_t metadata_page = 4096;

bool in_activity_log(const DiskRequest& request) {
  return request.part == Part::metadata && request.op == blockdev::Op::write &&
         request.offset == metadata_log_at;
}
bool in_bitmap(const DiskRequest& request) {
  return request.part == Part::metadata && request.op == blockdev::Op::write &&
         request.offset == metadata_log_at + metadata_page;
}

class CrashExplorer : public testing::Test {
 protected:
  // On the disk that temporary files are on: its requests go through io_uring. A filesystem in
  // memory is served without.
  Recording record_pair(Defect defect = {}) {
    FileBay disk(testing::TempDir());
    return record(disk, {.seed = 1, .defect = std::move(defect)});
  }

  // The first failure of a recording in which this is left undone; few crashes are needed.
  void expect_noticed(Defect defect) {
    const Recording recording = record_pair(std::move(defect));
    const Explored explored =
        explore(bay_, recording, {.points = 400, .crashes_at_point = 10, .stop_at_first = true});
    ASSERT_EQ(explored.failures.size(), 1U) << explored.summary();
    const Failure& failure = explored.failures.front();
    fmt::print("noticed by crash {}, {}: {}\n", explored.crashes, failure.finding.rule,
               failure.finding.what);
    // It is this defect that breaks it: the same crash of the pair without is recovered.
    const Recording sound = record_pair();
    EXPECT_FALSE(replay(bay_, sound, failure.crashes));
  }

  FileBay bay_{folder_for_recovery()};
};

TEST_F(CrashExplorer, everything_survives) {
  const Recording recording = record_pair();
  Exploration exploration{.points = sanitized ? 150U : 350U, .crashes_at_point = 12, .again = 1};
  if (const char* points = std::getenv("BATON_CRASH_POINTS")) {
    exploration.points = std::strtoull(points, nullptr, 10);
  }
  const Explored explored = explore(bay_, recording, exploration);
  fmt::print("{}\n", explored.summary());
  EXPECT_GE(explored.crashes, 1000U);
  EXPECT_GE(explored.again, 500U);
  for (const Failure& failure : explored.failures) {
    ADD_FAILURE() << to_text(failure, recording, 1);
  }
}

TEST_F(CrashExplorer, records_the_same_run_every_time_and_on_every_filesystem) {
  const std::uint64_t hash = record_pair().log.hash();
  EXPECT_EQ(record_pair().log.hash(), hash);
  EXPECT_EQ(record(bay_, {.seed = 1}).log.hash(), hash);
  EXPECT_NE(record(bay_, {.seed = 2}).log.hash(), hash);
}

TEST_F(CrashExplorer, records_all_that_a_pair_goes_through) {
  const Log log = record_pair().log;
  std::uint64_t evictions = 0;  // the log of three regions turns over
  std::array<std::uint64_t, 7> ops{};
  std::uint64_t fua = 0;
  for (const DiskRequest& request : log.disk()) {
    ++ops[static_cast<std::size_t>(request.op)];
    if (in_activity_log(request)) ++evictions;
    if (request.fua) ++fua;
  }
  EXPECT_GE(evictions, 40U);
  EXPECT_GE(fua, 10U);
  for (const blockdev::Op op :
       {blockdev::Op::write, blockdev::Op::flush, blockdev::Op::write_zeroes}) {
    EXPECT_GE(ops[static_cast<std::size_t>(op)], 50U) << name_of(op);
  }
  std::set<unsigned> counting;
  for (std::uint64_t point = 0; point <= log.events(); ++point) {
    counting.insert(log.counting_at(point));
  }
  EXPECT_EQ(counting, (std::set<unsigned>{0, 1, 2, 3}));
}

TEST_F(CrashExplorer, notices_that_metadata_is_not_flushed) {
  expect_noticed([](DiskRequest& request) {
    request.forgotten = request.part == Part::metadata && request.op == blockdev::Op::flush;
  });
}

TEST_F(CrashExplorer, notices_that_the_peer_does_not_flush_its_data) {
  expect_noticed([](DiskRequest& request) {
    request.forgotten =
        request.node == 1 && request.part == Part::data && request.op == blockdev::Op::flush;
  });
}

TEST_F(CrashExplorer, notices_that_fua_is_forgotten) {
  expect_noticed([](DiskRequest& request) { request.fua = false; });
}

TEST_F(CrashExplorer, notices_that_a_region_is_not_in_the_activity_log) {
  expect_noticed([](DiskRequest& request) { request.forgotten = in_activity_log(request); });
}

TEST_F(CrashExplorer, notices_that_bits_are_not_written) {
  expect_noticed([](DiskRequest& request) { request.forgotten = in_bitmap(request); });
}

TEST_F(CrashExplorer, notices_that_one_write_of_the_peer_is_lost) {
  expect_noticed([writes = 0](DiskRequest& request) mutable {
    const bool write =
        request.node == 1 && request.part == Part::data && request.op == blockdev::Op::write;
    request.forgotten = write && ++writes == 30;
  });
}

}  // namespace
}  // namespace baton::crash
