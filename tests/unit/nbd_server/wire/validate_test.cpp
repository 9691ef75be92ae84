// Goal: every request that the specification (and shared knowledge of real clients, the table of
// misbehaviour) wants refused is refused with its error, and no other.
#include "nbd_server/wire/validate.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/nbd_bytes.h"

namespace baton::nbd {
namespace {

constexpr std::uint64_t size = 1U << 30U;
constexpr std::uint64_t far = UINT64_MAX - 511;  // far + 512 wraps to 0

constexpr Terms everything{
    .size = size,
    .transmission_flags = transmission_trim | transmission_write_zeroes | transmission_fast_zero,
    .style = Style::structured,
    .contexts = context_allocation};
constexpr Terms extended{.size = size,
                         .transmission_flags = transmission_trim | transmission_write_zeroes |
                                               transmission_block_status_payload,
                         .style = Style::extended,
                         .contexts = context_allocation | context_out_of_sync};
constexpr Terms extended_without_contexts{.size = size, .style = Style::extended};
constexpr Terms huge{.size = 1UL << 50U,
                     .transmission_flags = transmission_trim | transmission_write_zeroes,
                     .style = Style::extended,
                     .contexts = context_allocation};
constexpr Terms little{.size = size};

struct Row {
  const char* name;
  const Terms& terms;
  ClientRequest request;
  IoError error;
};

ClientRequest ask(Command command, std::uint64_t offset, std::uint64_t length,
                  std::uint16_t flags = 0) {
  return {.flags = flags,
          .command = command,
          .offset = offset,
          .length = length,
          .has_payload = command == Command::write || (flags & command_payload_len) != 0};
}

const std::vector<Row>& rows() {
  using enum Command;
  using enum IoError;
  constexpr std::uint64_t mib = 1U << 20U;
  static const std::vector<Row> all{
      {"unknown command 99", everything, ask(static_cast<Command>(99), 0, 0), invalid},
      {"the withdrawn resize", everything, ask(static_cast<Command>(8), 0, 0), invalid},
      {"unknown flag", everything, ask(read, 0, 512, 1U << 15U), invalid},
      {"payload length flag of extended headers", everything,
       ask(write, 0, 512, command_payload_len), invalid},
      {"extended write", extended, ask(write, 0, 512, command_payload_len), none},
      {"extended write with FUA", extended, ask(write, 0, 512, command_payload_len | command_fua),
       none},
      {"extended write without its flag",
       extended,
       {.command = write, .length = 512, .has_payload = false},
       invalid},
      {"extended write past the end", extended, ask(write, size - 511, 512, command_payload_len),
       no_space},
      {"extended read", extended, ask(read, 0, 512, command_df), none},
      {"extended read with a payload", extended, ask(read, 0, 512, command_payload_len), invalid},
      {"extended trim with a payload", extended, ask(trim, 0, 512, command_payload_len), invalid},
      {"extended flush with a payload", extended, ask(flush, 0, 512, command_payload_len), invalid},
      {"extended read of 5 GiB", huge, ask(read, 0, 5UL << 30U), invalid},
      {"extended zeroes of 5 GiB", huge, ask(write_zeroes, 0, 5UL << 30U), none},
      {"extended trim of everything", huge, ask(trim, 0, 1UL << 50U), none},
      {"extended trim of more", huge, ask(trim, 1, 1UL << 50U), invalid},
      {"extended trim that wraps", huge, ask(trim, 4096, UINT64_MAX - 4095), invalid},
      {"extended status of everything", huge, ask(block_status, 0, 1UL << 50U), none},
      {"status of one context by payload", extended,
       ask(block_status, far, 12, command_payload_len), none},
      {"status of two contexts by payload", extended,
       ask(block_status, far, 16, command_payload_len | command_req_one), none},
      {"status of no context by payload", extended, ask(block_status, 0, 8, command_payload_len),
       invalid},
      {"status of three contexts by payload", extended,
       ask(block_status, 0, 20, command_payload_len), invalid},
      {"status of half a context by payload", extended,
       ask(block_status, 0, 14, command_payload_len), invalid},
      {"status by payload where it was not announced", extended_without_contexts,
       ask(block_status, 0, 12, command_payload_len), invalid},
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

struct PayloadRow {
  const char* name;
  std::uint64_t offset;
  std::uint64_t length;
  std::vector<std::uint32_t> ids;
  IoError error;
};

TEST(ValidateStatusPayload, takes_each_selected_context_once) {
  constexpr Contexts both = context_allocation | context_out_of_sync;
  const std::vector<PayloadRow> rows{
      {"one", 0, 512, {1}, IoError::none},
      {"both", 0, size, {2, 1}, IoError::none},
      {"one that there is not", 0, 512, {3}, IoError::invalid},
      {"one that wraps around", 0, 512, {0xffffffff}, IoError::invalid},
      {"one twice", 0, 512, {1, 1}, IoError::invalid},
      {"of nothing", 0, 0, {1}, IoError::invalid},
      {"past the end", 1, size, {1}, IoError::invalid},
      {"that wraps", far, 1024, {1}, IoError::invalid}};
  for (const PayloadRow& row : rows) {
    test::Bytes payload = test::Bytes().u64(row.length);
    for (const std::uint32_t id : row.ids) payload.u32(id);
    ClientRequest request =
        ask(Command::block_status, row.offset, payload.size(), command_payload_len);
    Contexts asked = 0;
    const RequestOutcome outcome = validate_status_payload(payload.get(), extended, request, asked);
    EXPECT_EQ(name_of(outcome.error), std::string(name_of(row.error))) << row.name;
    if (row.error != IoError::none) continue;
    EXPECT_EQ(request.length, row.length) << row.name;
    EXPECT_EQ(asked, row.ids.size() == 2 ? both : context_allocation) << row.name;
  }
}

TEST(ValidateStatusPayload, refuses_a_context_that_was_not_selected) {
  ClientRequest request = ask(Command::block_status, 0, 12, command_payload_len);
  Contexts asked = 0;
  const test::Bytes payload = test::Bytes().u64(512).u32(2);
  EXPECT_EQ(validate_status_payload(payload.get(), huge, request, asked).error, IoError::invalid);
}

}  // namespace
}  // namespace baton::nbd
