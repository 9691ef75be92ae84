// Goal: the transmission phase's bytes are those of the specification, and survive a round trip.
#include "nbd_server/wire/codec.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <string>
#include <tuple>

#include "tests/support/nbd_bytes.h"

namespace baton::nbd {
namespace {

using RequestBytes = std::array<std::byte, sizeof(RequestHeader)>;

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    constexpr char digits[] = "0123456789abcdef";
    text += digits[std::to_integer<int>(byte) >> 4];
    text += digits[std::to_integer<int>(byte) & 15];
  }
  return text;
}

TEST(Codec, a_request_has_the_bytes_of_the_specification) {
  RequestBytes bytes{};
  encode_request({.flags = 0x0102,
                  .command = Command::write_zeroes,
                  .cookie = 0x1122334455667788,
                  .offset = 0x99aabbccddeeff00,
                  .length = 0x01020304},
                 bytes);
  EXPECT_EQ(hex(bytes), "2560951301020006112233445566778899aabbccddeeff0001020304");
}

TEST(Codec, replies_have_the_bytes_of_the_specification) {
  constexpr ReplyTo to{.style = Style::structured, .cookie = 1};
  ReplyHead head;
  head.simple(0x1122334455667788, IoError::no_space);
  EXPECT_EQ(hex(head.span()), "674466980000001c1122334455667788");
  head.offset_data({Style::structured, 0x1122334455667788, 0x1000}, 16);
  EXPECT_EQ(hex(head.span()),
            "668e33ef00010001112233445566778800000018"
            "0000000000001000");
  head.none(to);
  EXPECT_EQ(hex(head.span()), "668e33ef00010000000000000000000100000000");
  head.error(to, IoError::io, "bad");
  EXPECT_EQ(hex(head.span()),
            "668e33ef00018001000000000000000100000009"
            "000000050003");
  head.block_status(to, 1, 2, true);
  EXPECT_EQ(hex(head.span()),
            "668e33ef00010005000000000000000100000014"
            "00000001");
}

TEST(Codec, extended_headers_have_the_bytes_of_the_specification) {
  const test::Bytes bytes =
      test::extended_request(Command::write, 0x1122334455667788, 0x99aabbccddeeff00,
                             0x0102030405060708, command_payload_len | command_fua);
  EXPECT_EQ(hex(bytes.get()), "21e41c7100210001112233445566778899aabbccddeeff000102030405060708");
  const auto request = decode_request(Style::extended, bytes.get());
  ASSERT_TRUE(request);
  EXPECT_EQ(*request, (ClientRequest{.flags = command_payload_len | command_fua,
                                     .command = Command::write,
                                     .cookie = 0x1122334455667788,
                                     .offset = 0x99aabbccddeeff00,
                                     .length = 0x0102030405060708,
                                     .has_payload = true}));
  EXPECT_FALSE(
      decode_request(Style::extended, test::request(Command::read, 1, 0, 512).fill(4, 0).get()))
      << "a compact request where extended ones were agreed on";

  constexpr ReplyTo to{.style = Style::extended, .cookie = 0x1122334455667788, .offset = 0x1000};
  ReplyHead head;
  head.none(to);
  EXPECT_EQ(hex(head.span()), "6e8a278c00010000112233445566778800000000000010000000000000000000");
  head.offset_data(to, 16);
  EXPECT_EQ(hex(head.span()),
            "6e8a278c0001000111223344556677880000000000001000"
            "00000000000000180000000000001000");
  head.error(to, IoError::io, "bad");
  EXPECT_EQ(hex(head.span()),
            "6e8a278c0001800111223344556677880000000000001000"
            "0000000000000009000000050003");
  head.block_status(to, 2, 3, false);
  EXPECT_EQ(hex(head.span()),
            "6e8a278c0000000611223344556677880000000000001000"
            "00000000000000380000000200000003");
}

TEST(Codec, a_request_without_its_magic_number_is_none) {
  RequestBytes bytes{};
  encode_request({}, bytes);
  for (std::size_t i = 0; i < sizeof(be32); ++i) {
    RequestBytes broken = bytes;
    broken[i] ^= std::byte{1};
    EXPECT_EQ(decode_request(Style::simple, broken), std::nullopt);
  }
}

TEST(Codec, any_request_survives_a_round_trip) {
  EXPECT_TRUE(rc::check("decode(encode(x)) == x",
                        [](std::uint16_t flags, std::uint16_t command, std::uint64_t cookie,
                           std::uint64_t offset, std::uint32_t length) {
                          const bool writes = static_cast<Command>(command) == Command::write;
                          const ClientRequest request{
                              flags, static_cast<Command>(command), cookie, offset, length, writes};
                          RequestBytes bytes{};
                          encode_request(request, bytes);
                          RC_ASSERT(decode_request(Style::simple, bytes) == request);
                        }));
}

TEST(Codec, any_request_bytes_with_the_magic_number_survive_the_other_way_round) {
  EXPECT_TRUE(rc::check("encode(decode(x)) == x", [](std::vector<std::uint8_t> tail) {
    RequestBytes bytes{};
    encode_request({}, bytes);
    std::transform(
        tail.begin(),
        tail.begin() + static_cast<std::ptrdiff_t>(std::min(tail.size(), bytes.size() - 4)),
        bytes.begin() + 4, [](std::uint8_t byte) { return std::byte{byte}; });
    const auto request = decode_request(Style::simple, bytes);
    RC_ASSERT(request.has_value());
    RequestBytes again{};
    encode_request(*request, again);
    RC_ASSERT(again == bytes);
  }));
}

TEST(Codec, any_reply_is_understood_by_a_client) {
  EXPECT_TRUE(
      rc::check("a client reads what was meant", [](std::uint64_t cookie, std::uint64_t offset) {
        const auto length = *rc::gen::inRange<std::uint32_t>(1, 5000);
        const auto style = *rc::gen::element(Style::structured, Style::extended);
        ReplyHead head;
        head.offset_data({style, cookie, offset}, length);
        const test::Bytes bytes = test::Bytes().raw(head.data(), head.size()).fill(length, 7);
        test::Heard heard(bytes.get());
        const test::Reply reply = heard.reply();
        RC_ASSERT(!heard.bad());
        RC_ASSERT(heard.left() == 0U);
        RC_ASSERT(reply.cookie == cookie);
        RC_ASSERT(reply.offset == offset);
        RC_ASSERT(reply.data.size() == length);
      }));
}

}  // namespace
}  // namespace baton::nbd
