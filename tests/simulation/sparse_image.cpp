#include "tests/simulation/sparse_image.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace baton::sim {
namespace {

// Calls `piece(block, offset in it, bytes, bytes done before)` for every block of the range.
template <class Piece>
void for_each_piece(std::uint64_t offset, std::uint64_t length, Piece piece) {
  std::uint64_t done = 0;
  while (done < length) {
    const std::uint64_t at = offset + done;
    const std::uint64_t inside = at % image_block_bytes;
    const std::uint64_t bytes = std::min(image_block_bytes - inside, length - done);
    piece(at / image_block_bytes, inside, bytes, done);
    done += bytes;
  }
}

}  // namespace

SparseImage::SparseImage(std::uint64_t size)
    : size_(size), blocks_((size + image_block_bytes - 1) / image_block_bytes) {}

void SparseImage::read(std::uint64_t offset, std::span<std::byte> out) const {
  BATON_ASSERT(offset + out.size() <= size_, "whoever submits checks the range");
  for_each_piece(offset, out.size(), [&](auto block, auto inside, auto bytes, auto done) {
    if (blocks_[block]) {
      std::memcpy(out.data() + done, blocks_[block]->data() + inside, bytes);
    } else {
      std::memset(out.data() + done, 0, bytes);
    }
  });
}

void SparseImage::write(std::uint64_t offset, std::span<const std::byte> data) {
  BATON_ASSERT(offset + data.size() <= size_, "whoever submits checks the range");
  for_each_piece(offset, data.size(), [&](auto block, auto inside, auto bytes, auto done) {
    std::memcpy(own(block).data() + inside, data.data() + done, bytes);
  });
}

void SparseImage::zero(std::uint64_t offset, std::uint64_t length) {
  BATON_ASSERT(offset + length <= size_, "whoever submits checks the range");
  for_each_piece(offset, length, [&](auto block, auto inside, auto bytes, auto /*done*/) {
    if (!blocks_[block]) return;
    if (bytes == image_block_bytes) {
      blocks_[block].reset();
    } else {
      std::memset(own(block).data() + inside, 0, bytes);
    }
  });
}

SparseImage::Block& SparseImage::own(std::uint64_t block) {
  std::shared_ptr<Block>& held = blocks_[block];
  if (!held) {
    held = std::make_shared<Block>();
  } else if (held.use_count() > 1) {
    held = std::make_shared<Block>(*held);
  }
  return *held;
}

std::uint64_t SparseImage::first_difference(const SparseImage& other, std::uint64_t from) const {
  static constexpr Block zeroes{};
  const std::size_t end = std::min(blocks_.size(), other.blocks_.size());
  for (std::size_t i = from / image_block_bytes; i < end; ++i) {
    const Block& mine = blocks_[i] ? *blocks_[i] : zeroes;
    const Block& theirs = other.blocks_[i] ? *other.blocks_[i] : zeroes;
    if (&mine == &theirs || std::memcmp(mine.data(), theirs.data(), mine.size()) == 0) continue;
    const auto at = std::ranges::mismatch(mine, theirs).in1 - mine.begin();
    return i * image_block_bytes + static_cast<std::uint64_t>(at);
  }
  return size_;
}

void SparseImage::copy_from(const SparseImage& other) {
  BATON_ASSERT(other.size_ == size_, "copies of one disk");
  blocks_ = other.blocks_;
}

}  // namespace baton::sim
