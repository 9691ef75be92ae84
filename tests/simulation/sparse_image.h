// The content of a disk, kept only where it is not zero. A copy shares its blocks with the original
// until either changes them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace baton::sim {

inline constexpr std::uint64_t sector_bytes = 512;
inline constexpr std::uint64_t image_block_bytes = 4096;

class SparseImage {
 public:
  explicit SparseImage(std::uint64_t size);

  std::uint64_t size() const { return size_; }
  void read(std::uint64_t offset, std::span<std::byte> out) const;
  void write(std::uint64_t offset, std::span<const std::byte> data);
  // Whole blocks become holes.
  void zero(std::uint64_t offset, std::uint64_t length);
  bool hole(std::uint64_t block) const { return blocks_[block] == nullptr; }
  std::uint64_t blocks() const { return blocks_.size(); }
  // The first differing byte in the block of `from` or after it, or size() when there is none.
  std::uint64_t first_difference(const SparseImage& other, std::uint64_t from = 0) const;
  void copy_from(const SparseImage& other);

 private:
  using Block = std::array<std::byte, image_block_bytes>;
  Block& own(std::uint64_t block);

  std::uint64_t size_;
  std::vector<std::shared_ptr<Block>> blocks_;
};

}  // namespace baton::sim
