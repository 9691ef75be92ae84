// Goal: what is encoded is decoded the same; no bytes of a peer are believed unchecked; the bytes
// of the protocol do not change by accident.
#include "replication/wire/codec.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>

namespace baton::replication::wire {
namespace {

State full_state() {
  State state;
  state.epoch = {7, "alpha"};
  state.holding = true;
  state.complete = true;
  state.arrival = 2;
  state.lineage = {1, 2, 3};
  state.towards = {4};
  state.slot_base = 2;
  state.session = {5, 6};
  state.confirmed = {4, 9};
  state.new_session_id = 77;
  state.volumes = {{1U << 30U, 7, 12}};
  return state;
}

TEST(Codec, a_state_comes_back_as_it_was) {
  const State state = full_state();
  const auto decoded = decode_state(encode(state));
  ASSERT_TRUE(decoded.has_value()) << decoded.error();
  EXPECT_EQ(decoded->epoch, state.epoch);
  EXPECT_EQ(decoded->lineage, state.lineage);
  EXPECT_EQ(decoded->towards, state.towards);
  EXPECT_EQ(decoded->session.id, 6U);
  EXPECT_EQ(decoded->confirmed.number, 4U);
  EXPECT_EQ(decoded->volumes.at(0).bits, 12U);
  EXPECT_EQ(encode(*decoded), encode(state));
}

TEST(Codec, every_truncation_of_a_state_is_refused) {
  const auto bytes = encode(full_state());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_state(std::span(bytes).first(size)).has_value()) << size;
  }
}

TEST(Codec, every_truncation_of_a_greeting_is_refused) {
  Hello hello;
  hello.resource = "vm1";
  hello.from = "alpha";
  hello.to = "beta";
  const auto bytes = encode(hello);
  EXPECT_TRUE(decode_hello(bytes).has_value());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_hello(std::span(bytes).first(size)).has_value()) << size;
  }
}

TEST(Codec, the_table_of_messages_is_indexed_by_type) {
  for (std::uint16_t type = 1; type <= type_max; ++type) {
    const Kind* kind = kind_of(type);
    ASSERT_NE(kind, nullptr);
    EXPECT_EQ(static_cast<std::uint16_t>(kind->type), type);
    EXPECT_FALSE(kind->name.empty());
  }
  EXPECT_EQ(kind_of(0), nullptr);
  EXPECT_EQ(kind_of(type_max + 1), nullptr);
}

TEST(Codec, a_damaged_bit_anywhere_is_noticed) {
  std::vector<std::byte> payload(100, std::byte{0x5a});
  Header header{};
  header.number = 42;
  header.length = 100;
  seal(header, Type::write, payload);
  ASSERT_TRUE(intact(header, payload));
  for (std::size_t bit = 0; bit < sizeof header * 8; ++bit) {
    Header damaged = header;
    std::byte* at = reinterpret_cast<std::byte*>(&damaged) + bit / 8;
    *at ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(intact(damaged, payload)) << "header bit " << bit;
  }
  for (std::size_t bit = 0; bit < payload.size() * 8; ++bit) {
    std::vector<std::byte> damaged = payload;
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(intact(header, damaged)) << "payload bit " << bit;
  }
}

TEST(Codec, what_is_out_of_bounds_is_refused_before_anything_is_allocated) {
  Header header{};
  seal(header, Type::ping, {});
  EXPECT_EQ(header_fault(header), nullptr);
  Header long_ping = header;
  long_ping.payload_bytes = 1;
  EXPECT_NE(header_fault(long_ping), nullptr);
  Header unknown = header;
  unknown.type = type_max + 1;
  EXPECT_NE(header_fault(unknown), nullptr);
  Header wrap = header;
  wrap.type = static_cast<std::uint16_t>(Type::zero);
  wrap.offset = ~std::uint64_t{0};
  wrap.length = 2;
  EXPECT_NE(header_fault(wrap), nullptr);
  Header lying = header;
  lying.type = static_cast<std::uint16_t>(Type::write);
  lying.payload_bytes = 512;
  lying.length = 1024;
  EXPECT_NE(header_fault(lying), nullptr);
  Header sums = header;
  sums.type = static_cast<std::uint16_t>(Type::sums_ask);
  sums.length = piece_bytes_max;
  EXPECT_EQ(header_fault(sums), nullptr);
  sums.length = piece_bytes_max + 1U;
  EXPECT_NE(header_fault(sums), nullptr);
  sums.flags = flag_zeroes;  // about a hole, whatever its length: nothing is read for it
  EXPECT_EQ(header_fault(sums), nullptr);
  Header foreign = header;
  foreign.magic = 0;
  EXPECT_NE(header_fault(foreign), nullptr);
}

TEST(Codec, the_bytes_of_a_header_are_these) {
  Header header{};
  header.volume = 2;
  header.number = 3;
  header.offset = 4096;
  header.length = 4;
  const std::byte payload[] = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  seal(header, Type::write, payload);
  const unsigned char start[] = {'B', 'T', 'N', '1', 7, 0, 2, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3};
  EXPECT_EQ(std::memcmp(&header, start, sizeof start), 0);
}

TEST(Codec, leave_to_show_a_range_is_asked_for_all_of_it_at_once) {
  Header read;
  read.length = 32U << 20U;
  seal(read, Type::read, {});
  EXPECT_STREQ(header_fault(read), "the range is too long");
  read.flags = flag_leave;
  seal(read, Type::read, {});
  EXPECT_EQ(header_fault(read), nullptr);
}

RC_GTEST_PROP(CodecProperty, no_bytes_make_the_decoders_misbehave,
              (const std::vector<std::uint8_t>& bytes)) {
  const auto raw = std::as_bytes(std::span(bytes));
  if (const auto state = decode_state(raw)) RC_ASSERT(encode(*state).size() == raw.size());
  if (const auto lineage = decode_lineage(raw)) RC_ASSERT(!lineage->empty());
  if (const auto hello = decode_hello(raw)) RC_ASSERT(encode(*hello).size() <= raw.size());
}

RC_GTEST_PROP(CodecProperty, a_lineage_comes_back_as_it_was, ()) {
  const auto lineage = *rc::gen::container<Lineage>(rc::gen::positive<std::uint64_t>());
  if (lineage.empty() || lineage.size() > 200) return;
  const auto decoded = decode_lineage(encode_lineage(lineage));
  RC_ASSERT(decoded.has_value());
  RC_ASSERT(*decoded == lineage);
}

}  // namespace
}  // namespace baton::replication::wire
