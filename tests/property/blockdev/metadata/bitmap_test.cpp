// Goal: Bitmap behaves as a set of block numbers does, with the rounding of its header.
// Method: random operations on a Bitmap and on a std::set, compared after every step.
#include "blockdev/metadata/bitmap.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

namespace baton::blockdev {
namespace {

using Model = std::set<std::uint64_t>;

struct Bytes {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// Ranges that like block boundaries and the end of the volume, and sometimes pass it.
Bytes any_range(std::uint64_t volume) {
  Bytes range;
  range.offset = *rc::gen::inRange<std::uint64_t>(0, volume + 1);
  range.length = *rc::gen::inRange<std::uint64_t>(0, volume + block_bytes);
  if (*rc::gen::arbitrary<bool>()) range.offset -= range.offset % block_bytes;
  if (*rc::gen::arbitrary<bool>()) range.length %= 3 * block_bytes;
  if (*rc::gen::arbitrary<bool>()) range.length -= range.length % block_bytes;
  if (*rc::gen::inRange(0, 8) == 0 && range.offset < volume) range.length = volume - range.offset;
  return range;
}

std::uint64_t end_of_block(std::uint64_t block, std::uint64_t volume) {
  return std::min((block + 1) * block_bytes, volume);
}

bool touches(std::uint64_t block, Bytes range, std::uint64_t volume) {
  const std::uint64_t begin = block * block_bytes;
  return range.length > 0 && range.offset < end_of_block(block, volume) &&
         range.offset + range.length > begin;
}

bool contains(std::uint64_t block, Bytes range, std::uint64_t volume) {
  return range.length > 0 && range.offset <= block * block_bytes &&
         range.offset + range.length >= end_of_block(block, volume);
}

void apply(Bitmap& bitmap, Model& model, std::uint64_t volume) {
  const Bytes range = any_range(volume);
  switch (*rc::gen::weightedElement<int>({{8, 0}, {6, 1}, {1, 2}, {1, 3}, {3, 4}, {3, 5}})) {
    case 0:
      bitmap.set(range.offset, range.length);
      for (std::uint64_t b = 0; b < bitmap.blocks(); ++b) {
        if (touches(b, range, volume)) model.insert(b);
      }
      break;
    case 1:
      bitmap.clear(range.offset, range.length);
      std::erase_if(model, [&](std::uint64_t b) { return contains(b, range, volume); });
      break;
    case 2:
      bitmap.set_all();
      for (std::uint64_t b = 0; b < bitmap.blocks(); ++b) model.insert(b);
      break;
    case 3:
      bitmap.clear_all();
      model.clear();
      break;
    case 4: {
      const auto index = *rc::gen::inRange<std::uint64_t>(0, bitmap.words() + 1);
      const auto bits = *rc::gen::arbitrary<std::uint64_t>();
      bitmap.merge_word(index, bits);
      for (std::uint64_t i = 0; i < 64; ++i) {
        if ((bits >> i & 1U) != 0 && index * 64 + i < bitmap.blocks()) model.insert(index * 64 + i);
      }
      break;
    }
    default: {
      Bitmap other(volume);
      other.set(range.offset, range.length);
      bitmap.merge(other);
      for (std::uint64_t b = 0; b < bitmap.blocks(); ++b) {
        if (other.test(b)) model.insert(b);
      }
    }
  }
}

std::optional<BlockRange> next_in(const Model& model, std::uint64_t block, std::uint64_t max) {
  const auto first = model.lower_bound(block);
  if (first == model.end() || max == 0) return std::nullopt;
  BlockRange run{.first = *first, .count = 0};
  for (auto i = first; i != model.end() && *i == run.first + run.count && run.count < max; ++i) {
    ++run.count;
  }
  return run;
}

void compare(const Bitmap& bitmap, const Model& model, std::uint64_t volume) {
  RC_ASSERT(bitmap.blocks_set() == model.size());
  std::uint64_t bytes = 0;
  for (const std::uint64_t b : model) bytes += end_of_block(b, volume) - b * block_bytes;
  RC_ASSERT(bitmap.bytes_set() == bytes);
  for (std::uint64_t b = 0; b < bitmap.blocks() + 2; ++b) {
    RC_ASSERT(bitmap.test(b) == model.contains(b));
  }
  for (std::uint64_t i = 0; i < bitmap.words() * 64; ++i) {
    RC_ASSERT((bitmap.word(i / 64) >> (i % 64) & 1U) == (model.contains(i) ? 1U : 0U));
  }
  const auto from = *rc::gen::inRange<std::uint64_t>(0, bitmap.blocks() + 2);
  const auto max = *rc::gen::inRange<std::uint64_t>(0, bitmap.blocks() + 2);
  RC_ASSERT(bitmap.next_set(from, max) == next_in(model, from, max));
  const Bytes range = any_range(volume);
  const bool any =
      std::ranges::any_of(model, [&](std::uint64_t b) { return touches(b, range, volume); });
  RC_ASSERT(bitmap.any_in(range.offset, range.length) == any);
}

RC_GTEST_PROP(Bitmap, behaves_as_a_set_of_blocks, ()) {
  const auto volume = *rc::gen::inRange<std::uint64_t>(0, 200 * block_bytes);
  Bitmap bitmap(volume);
  Model model;
  const auto steps = *rc::gen::inRange(1, 20);
  for (int i = 0; i < steps; ++i) {
    apply(bitmap, model, volume);
    compare(bitmap, model, volume);
  }
}

RC_GTEST_PROP(Bitmap, a_page_is_dirty_exactly_when_a_word_of_it_changed, ()) {
  const auto volume = *rc::gen::inRange<std::uint64_t>(1, 500 * block_bytes);
  const auto words_per_page = *rc::gen::inRange<std::uint64_t>(1, 5);
  Bitmap bitmap(volume);
  const Bytes set_before = any_range(volume);
  bitmap.set(set_before.offset, set_before.length);
  bitmap.set_words_per_page(words_per_page);
  RC_ASSERT(bitmap.pages() == (bitmap.words() + words_per_page - 1) / words_per_page);
  for (std::uint64_t p = 0; p < bitmap.pages(); ++p) {
    RC_ASSERT(bitmap.page_dirty(p));
    bitmap.mark_page(p, false);
  }
  const Bitmap before = bitmap;
  const Bytes range = any_range(volume);
  if (*rc::gen::arbitrary<bool>()) {
    bitmap.set(range.offset, range.length);
  } else {
    bitmap.clear(range.offset, range.length);
  }
  for (std::uint64_t p = 0; p < bitmap.pages(); ++p) {
    bool changed = false;
    for (std::uint64_t w = p * words_per_page;
         w < std::min((p + 1) * words_per_page, bitmap.words()); ++w) {
      changed = changed || bitmap.word(w) != before.word(w);
    }
    RC_ASSERT(bitmap.page_dirty(p) == changed);
  }
}

TEST(Bitmap, a_last_partial_block_counts_as_a_block_and_is_cleared_by_a_range_to_the_end) {
  Bitmap bitmap(block_bytes + 10);
  EXPECT_EQ(bitmap.blocks(), 2U);
  bitmap.set(block_bytes + 9, 1);
  EXPECT_EQ(bitmap.bytes_set(), 10U);
  bitmap.clear(block_bytes, 9);
  EXPECT_TRUE(bitmap.test(1));
  bitmap.clear(block_bytes, 10);
  EXPECT_FALSE(bitmap.test(1));
}

TEST(Bitmap, lengths_near_the_limit_of_64_bits_do_not_wrap_around) {
  Bitmap bitmap(10 * block_bytes);
  bitmap.set(5 * block_bytes, ~std::uint64_t{0});
  EXPECT_EQ(bitmap.blocks_set(), 5U);
  bitmap.clear(7 * block_bytes + 1, ~std::uint64_t{0});
  EXPECT_EQ(bitmap.blocks_set(), 3U);
}

}  // namespace
}  // namespace baton::blockdev
