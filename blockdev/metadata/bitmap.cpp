#include "blockdev/metadata/bitmap.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace baton::blockdev {
namespace {

constexpr std::uint64_t ones = ~std::uint64_t{0};

// The bits of word `index` that lie in blocks [first, end). The word must overlap that range.
std::uint64_t mask_of(std::uint64_t index, std::uint64_t first, std::uint64_t end) {
  const std::uint64_t begin_of_word = index * Bitmap::bits_per_word;
  std::uint64_t mask = ones;
  if (first > begin_of_word) mask &= ones << (first - begin_of_word);
  if (end < begin_of_word + Bitmap::bits_per_word) mask &= ~(ones << (end - begin_of_word));
  return mask;
}

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return value / unit + (value % unit != 0 ? 1 : 0);
}

}  // namespace

Bitmap::Bitmap(std::uint64_t bytes)
    : bytes_(bytes),
      blocks_(round_up(bytes, block_bytes)),
      words_(round_up(blocks_, bits_per_word)),
      words_per_page_(std::max<std::uint64_t>(words_.size(), 1)),
      page_dirty_(words_.empty() ? 0 : 1, false) {}

std::uint64_t Bitmap::bytes_set() const {
  if (blocks_ == 0 || !test(blocks_ - 1)) return set_ * block_bytes;
  return (set_ - 1) * block_bytes + (bytes_ - (blocks_ - 1) * block_bytes);
}

bool Bitmap::test(std::uint64_t block) const {
  if (block >= blocks_) return false;
  return (words_[block / bits_per_word] >> (block % bits_per_word) & 1U) != 0;
}

BlockRange Bitmap::touched(std::uint64_t offset, std::uint64_t length) const {
  if (length == 0 || offset >= bytes_) return {};
  const std::uint64_t last = offset + std::min(length, bytes_ - offset) - 1;
  const std::uint64_t first_block = offset / block_bytes;
  return {.first = first_block, .count = last / block_bytes - first_block + 1};
}

BlockRange Bitmap::contained(std::uint64_t offset, std::uint64_t length) const {
  if (length == 0 || offset >= bytes_) return {};
  const bool reaches_end = length >= bytes_ - offset;
  const std::uint64_t first = round_up(offset, block_bytes);
  const std::uint64_t end = reaches_end ? blocks_ : (offset + length) / block_bytes;
  if (end <= first) return {};
  return {.first = first, .count = end - first};
}

bool Bitmap::any_in(std::uint64_t offset, std::uint64_t length) const {
  const BlockRange range = touched(offset, length);
  if (range.count == 0) return false;
  const std::uint64_t end = range.first + range.count;
  const std::uint64_t last_word = (end - 1) / bits_per_word;
  for (std::uint64_t i = range.first / bits_per_word; i <= last_word; ++i) {
    if (words_[i] != 0 && (words_[i] & mask_of(i, range.first, end)) != 0) return true;
  }
  return false;
}

void Bitmap::set(std::uint64_t offset, std::uint64_t length) {
  const BlockRange range = touched(offset, length);
  change(range.first, range.count, true);
}

void Bitmap::clear(std::uint64_t offset, std::uint64_t length) {
  const BlockRange range = contained(offset, length);
  change(range.first, range.count, false);
}

void Bitmap::set_all() {
  change(0, blocks_, true);
}

void Bitmap::clear_all() {
  change(0, blocks_, false);
}

void Bitmap::change(std::uint64_t first, std::uint64_t count, bool on) {
  if (count == 0) return;
  const std::uint64_t end = first + count;
  const std::uint64_t last_word = (end - 1) / bits_per_word;
  for (std::uint64_t i = first / bits_per_word; i <= last_word; ++i) {
    const std::uint64_t mask = mask_of(i, first, end);
    // Bits that are as asked already cost one load and one compare: on the write path of a volume
    // whose peer is away most are.
    replace_word(i, on ? words_[i] | mask : words_[i] & ~mask);
  }
}

void Bitmap::replace_word(std::uint64_t index, std::uint64_t next) {
  const std::uint64_t before = words_[index];
  if (before == next) return;
  words_[index] = next;
  set_ += static_cast<std::uint64_t>(std::popcount(next));
  set_ -= static_cast<std::uint64_t>(std::popcount(before));
  page_dirty_[index / words_per_page_] = true;
}

void Bitmap::merge(const Bitmap& other) {
  BATON_ASSERT(bytes_ == other.bytes_, "only bitmaps of one volume are merged");
  for (std::uint64_t i = 0; i < words_.size(); ++i) {
    replace_word(i, words_[i] | other.words_[i]);
  }
}

void Bitmap::merge_word(std::uint64_t index, std::uint64_t bits) {
  if (index >= words_.size()) return;
  replace_word(index, words_[index] | (bits & mask_of(index, 0, blocks_)));
}

std::optional<BlockRange> Bitmap::next_set(std::uint64_t block, std::uint64_t max_blocks) const {
  if (max_blocks == 0) return std::nullopt;
  const std::optional<std::uint64_t> first = find(block, blocks_, true);
  if (!first) return std::nullopt;
  const std::uint64_t limit = *first + std::min(max_blocks, blocks_ - *first);
  return BlockRange{.first = *first, .count = find(*first, limit, false).value_or(limit) - *first};
}

std::optional<std::uint64_t> Bitmap::find(std::uint64_t first, std::uint64_t end, bool on) const {
  if (first >= end) return std::nullopt;
  const std::uint64_t last_word = (end - 1) / bits_per_word;
  for (std::uint64_t i = first / bits_per_word; i <= last_word; ++i) {
    const std::uint64_t word = on ? words_[i] : ~words_[i];
    if (word == 0) continue;
    const std::uint64_t wanted = word & mask_of(i, first, end);
    if (wanted != 0) {
      return i * bits_per_word + static_cast<std::uint64_t>(std::countr_zero(wanted));
    }
  }
  return std::nullopt;
}

void Bitmap::set_words_per_page(std::uint64_t words) {
  BATON_ASSERT(words > 0, "a page holds at least one word");
  words_per_page_ = words;
  page_dirty_.assign(round_up(words_.size(), words), true);
}

}  // namespace baton::blockdev
