// Goal: what the memory device promises beyond the contract of every device (contract_test.cpp).
#include "blockdev/memory_device.h"

#include <optional>

#include "tests/support/device_rig.h"

namespace baton::blockdev {
namespace {

TEST(MemoryDevice, carries_requests_out_in_the_order_of_their_submission) {
  Rig rig;
  const auto device = make_memory_device(rig.shard.loop(), 1U << 20U);
  AlignedBytes first(100);
  first.fill(1);
  AlignedBytes second(100);
  second.fill(2);
  AlignedBytes seen(100);
  Request writes[2];
  Request read;
  for (Request* request : {&writes[0], &writes[1], &read}) {
    request->op = Op::write;
    request->length = 100;
  }
  writes[0].data = first.data();
  writes[1].data = second.data();
  read.op = Op::read;
  read.data = seen.data();
  rig.submit(*device, writes[0]);
  rig.submit(*device, writes[1]);
  rig.submit(*device, read);
  rig.drain();
  EXPECT_TRUE(seen == second);
  EXPECT_EQ(rig.order, (std::vector<Request*>{&writes[0], &writes[1], &read}));
}

// The simulator kills a node by throwing its frames away.
TEST(MemoryDevice, a_request_that_is_destroyed_before_its_completion_was_never_carried_out) {
  Rig rig;
  const auto device = make_memory_device(rig.shard.loop(), 1U << 20U);
  AlignedBytes data(100);
  std::optional<Request> killed(std::in_place);
  killed->op = Op::write;
  killed->length = 100;
  killed->data = data.data();
  killed->on_complete([](Operation&) { FAIL() << "completed after it was gone"; }, nullptr);
  device->submit(*killed);
  killed.reset();
  AlignedBytes seen(100);
  ASSERT_EQ(rig.read(*device, 0, seen.data(), 100), IoError::none);
  std::memset(data.data(), 0, 100);
  EXPECT_TRUE(seen == data);
}

TEST(MemoryDevice, a_huge_one_takes_no_memory_until_it_is_written) {
  Rig rig;
  const auto device = make_memory_device(rig.shard.loop(), UINT64_MAX);
  AlignedBytes data(10);
  EXPECT_EQ(rig.write(*device, UINT64_MAX - 10, data.data(), 10), IoError::none);
}

}  // namespace
}  // namespace baton::blockdev
