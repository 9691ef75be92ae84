// Goal: every request that the specification (and shared knowledge of real clients, the table of
// misbehaviour) wants refused is refused with its error, and no other.
#include "nbd_server/wire/validate.h"

#include <gtest/gtest.h>

#include <vector>

namespace baton::nbd {
namespace {

constexpr std::uint64_t size = 1U << 30U;
constexpr std::uint64_t far = UINT64_MAX - 511;  // far + 512 wraps to 0

constexpr Terms everything{
    .size = size,
    .transmission_flags = transmission_trim | transmission_write_zeroes | transmission_fast_zero,
    .structured_replies = true,
    .base_allocation = true};
constexpr Terms little{.size = size};

struct Row {
  const char* name;
  const Terms& terms;
  ClientRequest request;
  IoError error;
};

ClientRequest ask(Command command, std::uint64_t offset, std::uint32_t length,
                  std::uint16_t flags = 0) {
  return {.flags = flags, .command = command, .offset = offset, .length = length};
}

const std::vector<Row>& rows() {
  using enum Command;
  using enum IoError;
  constexpr std::uint32_t mib = 1U << 20U;
  static const std::vector<Row> all{
      {"unknown command 99", everything, ask(static_cast<Command>(99), 0, 0), invalid},
      {"the withdrawn resize", everything, ask(static_cast<Command>(8), 0, 0), invalid},
      {"unknown flag", everything, ask(read, 0, 512, 1U << 15U), invalid},
      {"payload length flag of extended headers", everything, ask(write, 0, 512, 1U << 5U),
       invalid},
      {"NO_HOLE on a write", everything, ask(write, 0, 512, command_no_hole), invalid},
      {"DF on a read", everything, ask(read, 0, 512, command_df), none},
      {"DF without structured replies", little, ask(read, 0, 512, command_df), invalid},
      {"FUA on a read is ignored", everything, ask(read, 0, 512, command_fua), none},
      {"FUA on a flush is ignored", everything, ask(flush, 0, 0, command_fua), none},
      {"FUA on a write", everything, ask(write, 0, 512, command_fua), none},
      {"FAST_ZERO", everything, ask(write_zeroes, 0, 512, command_fast_zero), none},
      {"FAST_ZERO where it was not announced", little, ask(write_zeroes, 0, 512, command_fast_zero),
       invalid},
      {"REQ_ONE on a block status", everything, ask(block_status, 0, 512, command_req_one), none},
      {"REQ_ONE on a read", everything, ask(read, 0, 512, command_req_one), invalid},
      {"write past the end", everything, ask(write, size - 511, 512), no_space},
      {"write that wraps", everything, ask(write, far, 1024), no_space},
      {"write up to the end", everything, ask(write, size - 512, 512), none},
      {"write zeroes past the end", everything, ask(write_zeroes, size, 1), no_space},
      {"read past the end", everything, ask(read, size - 511, 512), invalid},
      {"read that wraps", everything, ask(read, far, 512), invalid},
      {"trim past the end", everything, ask(trim, size, 512), invalid},
      {"trim that wraps", everything, ask(trim, far, 1024), invalid},
      {"cache past the end", everything, ask(cache, size, 1), invalid},
      {"block status past the end", everything, ask(block_status, size, 1), invalid},
      {"trim where it was not announced", little, ask(trim, 0, 512), invalid},
      {"block status not negotiated", little, ask(block_status, 0, 512), invalid},
      {"block status of nothing", everything, ask(block_status, 0, 0), invalid},
      {"zero-length read", everything, ask(read, 0, 0), none},
      {"zero-length read at the end", everything, ask(read, size, 0), none},
      {"zero-length write", everything, ask(write, 0, 0), none},
      {"zero-length trim", everything, ask(trim, 0, 0), none},
      {"zero-length write zeroes", everything, ask(write_zeroes, 0, 0), none},
      {"flush with offset and length", everything, ask(flush, far, 4096), none},
      {"read 33 MiB", everything, ask(read, 0, 33 * mib), none},
      {"read 64 MiB", everything, ask(read, 0, 64 * mib), none},
      {"read 65 MiB", everything, ask(read, 0, 65 * mib), invalid},
      {"write 64 MiB", everything, ask(write, 0, 64 * mib), none},
      {"write 65 MiB", everything, ask(write, 0, 65 * mib), invalid},
      {"trim 200 MiB", everything, ask(trim, 0, 200 * mib), none},
      {"write zeroes 200 MiB", everything, ask(write_zeroes, 0, 200 * mib), none},
      {"unaligned read 3@1", everything, ask(read, 1, 3), none},
      {"unaligned write 3@1", everything, ask(write, 1, 3), none},
  };
  return all;
}

TEST(ValidateRequest, refuses_what_the_specification_refuses_and_nothing_else) {
  for (const Row& row : rows()) {
    const RequestOutcome outcome = validate_request(row.request, row.terms);
    EXPECT_EQ(name_of(outcome.error), std::string(name_of(row.error))) << row.name;
    EXPECT_EQ(outcome.message != nullptr, row.error != IoError::none)
        << row.name << ": a refusal says why";
  }
}

}  // namespace
}  // namespace baton::nbd
