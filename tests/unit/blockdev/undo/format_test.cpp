// Goal: what is sealed is read back; a byte that is wrong, or missing, anywhere is noticed; the
// bytes of docs/on-disk-format.md do not change by accident.
#include "blockdev/undo/format.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/hash.h"

namespace baton::blockdev {
namespace {

using Bytes = std::vector<std::byte>;

ReadUndo reader(const Bytes& file) {
  return [&file](std::uint64_t offset, std::span<std::byte> into) {
    if (offset > file.size() || into.size() > file.size() - offset) return false;
    std::memcpy(into.data(), file.data() + offset, into.size());
    return true;
  };
}

// Two blocks of data at 8192, and 1 MiB of zeroes behind them, of a volume of 10 MiB.
struct Sample {
  Sample() {
    info.resource = "vm1";
    info.node = "beta";
    info.peer = "alpha";
    info.volume = 1;
    info.generation = 0x0123456789abcdef;
    info.common = 0x1111;
    info.kept = 0x2222;
    info.volume_bytes = 10U << 20U;
    info.file_bytes = undo_file_bytes(2, 8192);
    info.pages = 1;
    info.ranges = 2;
    info.data_bytes = 8192;
    info.zero_bytes = 1U << 20U;
    file.resize(info.file_bytes);
    data.assign(8192, std::byte{0x5a});
    UndoPage page{};
    page.magic = undo_page_magic;
    page.count = 2;
    page.ranges[0].offset = 8192;
    page.ranges[0].length = 8192;
    page.ranges[0].checksum = xxh3_64(data);
    page.ranges[1].offset = 16384;
    page.ranges[1].length = 1U << 20U;
    page.ranges[1].flags = undo_range_zeroes;
    put_page(page);
    std::memcpy(file.data() + 8192, data.data(), data.size());
    const UndoHeader header = seal_undo_header(info);
    std::memcpy(file.data(), &header, sizeof header);
  }
  void put_page(UndoPage page) {
    seal_undo_page(page);
    std::memcpy(file.data() + undo_page_bytes, &page, sizeof page);
  }
  UndoPage page() const {
    UndoPage page;
    std::memcpy(&page, file.data() + undo_page_bytes, sizeof page);
    return page;
  }
  std::vector<UndoPiece> pieces(Result<>& good) const {
    std::vector<UndoPiece> found;
    const auto header = read_undo_header(reader(file));
    if (!header) {
      good = std::unexpected(header.error());
      return found;
    }
    good = read_undo_ranges(reader(file), *header, [&](const UndoPiece& piece) {
      found.push_back(piece);
      return true;
    });
    return found;
  }
  UndoInfo info;
  Bytes data;
  Bytes file;
};

TEST(UndoFormat, what_was_sealed_is_read_back) {
  const Sample sample;
  const auto header = read_undo_header(reader(sample.file));
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(*header, sample.info);
  Result<> good;
  const auto pieces = sample.pieces(good);
  ASSERT_TRUE(good) << good.error().message;
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[0].data_at, 8192U);
  EXPECT_TRUE(pieces[1].zeroes);
  Bytes data(8192);
  ASSERT_TRUE(read_undo_data(reader(sample.file), pieces[0], data));
  EXPECT_EQ(data, sample.data);
  ASSERT_TRUE(read_undo_data(reader(sample.file), pieces[1], data));
  EXPECT_EQ(data, Bytes(8192));
}

TEST(UndoFormat, a_file_without_its_header_is_unfinished) {
  Sample sample;
  std::memset(sample.file.data(), 0, undo_page_bytes);
  const auto header = read_undo_header(reader(sample.file));
  ASSERT_FALSE(header);
  EXPECT_NE(header.error().message.find("unfinished"), std::string::npos);
}

TEST(UndoFormat, a_flipped_bit_anywhere_is_noticed) {
  const Sample sample;
  for (std::size_t at = 0; at < sample.file.size(); ++at) {
    Sample hurt = sample;
    hurt.file[at] ^= std::byte{1};
    Result<> good;
    const auto pieces = hurt.pieces(good);
    Bytes data(8192);
    if (good) good = read_undo_data(reader(hurt.file), pieces[0], data);
    ASSERT_FALSE(good) << "byte " << at;
  }
}

TEST(UndoFormat, every_truncation_is_noticed) {
  const Sample sample;
  for (std::size_t size = 0; size < sample.file.size(); size += 512) {
    Sample cut = sample;
    cut.file.resize(size);
    Result<> good;
    const auto pieces = cut.pieces(good);
    Bytes data(8192);
    if (good) good = read_undo_data(reader(cut.file), pieces[0], data);
    ASSERT_FALSE(good) << size;
  }
}

// Sealed, so that only the looks at the ranges themselves stand in the way.
TEST(UndoFormat, ranges_that_cannot_be_are_refused) {
  const auto refused = [](auto change) {
    Sample sample;
    UndoPage page = sample.page();
    change(page);
    sample.put_page(page);
    Result<> good;
    sample.pieces(good);
    return !good.has_value();
  };
  EXPECT_FALSE(refused([](UndoPage&) {}));
  EXPECT_TRUE(refused([](UndoPage& page) { page.ranges[1].offset = 8192; }));
  EXPECT_TRUE(refused([](UndoPage& page) { page.ranges[1].length = 10U << 20U; }));
  EXPECT_TRUE(refused([](UndoPage& page) { page.ranges[1].offset = UINT64_MAX; }));
  EXPECT_TRUE(refused([](UndoPage& page) { page.ranges[1].length = UINT64_MAX; }));
  EXPECT_TRUE(refused([](UndoPage& page) { page.ranges[1].length = 0; }));
  EXPECT_TRUE(refused([](UndoPage& page) { page.ranges[1].flags = 2; }));
  EXPECT_TRUE(refused([](UndoPage& page) { page.ranges[1].flags = 0; }));
  EXPECT_TRUE(refused([](UndoPage& page) { page.count = 0; }));
  EXPECT_TRUE(refused([](UndoPage& page) { page.count = 1; }));
  EXPECT_TRUE(refused([](UndoPage& page) { page.count = 200; }));
  EXPECT_TRUE(refused([](UndoPage& page) { page.number = 1; }));
}

TEST(UndoFormat, the_bytes_are_those_of_the_document) {
  const Sample sample;
  const auto text = [&](std::size_t at, std::size_t count) {
    return std::string(reinterpret_cast<const char*>(sample.file.data()) + at, count);
  };
  EXPECT_EQ(text(8, 8), "BATONUN\n");
  EXPECT_EQ(text(96, 4), std::string("vm1\0", 4));
  EXPECT_EQ(text(224, 5), std::string("beta\0", 5));
  EXPECT_EQ(text(288, 6), std::string("alpha\0", 6));
  EXPECT_EQ(text(24, 8), "\xef\xcd\xab\x89\x67\x45\x23\x01");
  EXPECT_EQ(text(4096 + 8, 4), "BNUP");
  EXPECT_EQ(sample.file.size(), 16384U);
}

}  // namespace
}  // namespace baton::blockdev
