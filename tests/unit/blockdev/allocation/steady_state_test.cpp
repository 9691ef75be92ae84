// Goal: in a steady state no request to a device allocates, whichever way it takes: aligned or not,
// colliding or not, completing at once or in a blocked shard. Method: this program counts what it
// asks of the heap.
#include <deque>

#include "blockdev/part_device.h"
#include "tests/support/count_mallocs.h"
#include "tests/support/device_rig.h"

namespace baton::blockdev {
namespace {

constexpr std::uint64_t device_bytes = 4U << 20U;

// One request of every sort and alignment, all in flight together, some in each other's way.
class EveryRequest {
 public:
  EveryRequest() {
    for (const std::uint64_t offset : {0U, 8192U, 5U, 8000U, 100001U}) {
      for (const Op op : {Op::read, Op::write, Op::write_zeroes, Op::discard, Op::block_status,
                          Op::flush, Op::prefetch}) {
        Request& request = requests_.emplace_back();
        request.op = op;
        request.offset = offset;
        request.length = op == Op::flush ? 0 : 8192;
        request.data = data_.data();
        request.extents = &extents_;
        request.flags.fua = op == Op::write && offset == 5;
      }
    }
  }
  void run(Rig& rig, BlockDevice& device) {
    for (Request& request : requests_) rig.submit(device, request);
    rig.drain();
    rig.order.clear();
  }

 private:
  AlignedBytes data_{8192};
  std::vector<Extent> extents_;
  std::deque<Request> requests_;
};

// The first rounds find out how much is ever needed at a time (which depends on how fast the disk
// is just then); after that there must come a long stretch with no allocation at all.
void expect_no_allocation(Rig& rig, BlockDevice& device) {
  constexpr int stretch = 100;
  constexpr int rounds_max = 1000;
  EveryRequest requests;
  int quiet = 0;
  for (int round = 0; round < rounds_max && quiet < stretch; ++round) {
    const std::uint64_t before = tests::mallocs();
    requests.run(rig, device);
    quiet = tests::mallocs() == before ? quiet + 1 : 0;
  }
  EXPECT_EQ(quiet, stretch);
}

void check_file(const std::string& folder, bool direct) {
  const ScratchPath path(folder);
  ASSERT_TRUE(create_sparse_file(path.str(), device_bytes));
  Rig rig;
  FileOptions options;
  options.direct = direct;
  auto device = open_file_device(*rig.ring, rig.shard.buffers(), path.str(), options);
  ASSERT_TRUE(device);
  expect_no_allocation(rig, **device);
}

void check_part(std::uint64_t offset) {
  const ScratchPath path(testing::TempDir());
  ASSERT_TRUE(create_sparse_file(path.str(), 2 * device_bytes));
  Rig rig;
  auto whole = open_file_device(*rig.ring, rig.shard.buffers(), path.str());
  ASSERT_TRUE(whole);
  const auto part = make_part(rig.shard.loop(), std::move(*whole), offset, device_bytes, "a part");
  expect_no_allocation(rig, *part);
}

TEST(SteadyState, the_counter_counts) {
  const std::uint64_t before = tests::mallocs();
  const auto one = std::make_unique<AlignedBytes>(1);
  EXPECT_EQ(tests::mallocs() - before, 2U);
}

TEST(SteadyState, direct_file_allocates_nothing) {
  check_file(testing::TempDir(), true);
}
TEST(SteadyState, cached_file_allocates_nothing) {
  check_file(testing::TempDir(), false);
}
TEST(SteadyState, first_part_allocates_nothing) {
  check_part(0);
}
TEST(SteadyState, later_part_allocates_nothing) {
  check_part(device_bytes);
}
TEST(SteadyState, file_on_tmpfs_allocates_nothing) {
  check_file("/dev/shm", true);
}

}  // namespace
}  // namespace baton::blockdev
