// One bit per 4 KiB block: that peer may lack this block (design §1 "bitmap"). In memory, pure.
//
// Setting rounds out to whole blocks, clearing rounds in: a bit is never lost by rounding.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace baton::blockdev {

inline constexpr std::uint64_t block_bytes = 4096;

struct BlockRange {
  std::uint64_t first = 0;  // block number
  std::uint64_t count = 0;
  friend bool operator==(const BlockRange&, const BlockRange&) = default;
};

// Memory that reads as zeroes and costs nothing until it is written: a tebibyte has 32 MiB of bits,
// and most of them are never set.
template <class T>
struct ZeroedMemory {
  using value_type = T;
  T* allocate(std::size_t count) {
    void* const memory = std::calloc(count, sizeof(T));
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t /*count*/) noexcept { std::free(memory); }
  template <class U>
  void construct(U* /*zeroed*/) noexcept {}
  template <class U, class... Values>
  void construct(U* place, Values&&... values) {
    std::construct_at(place, std::forward<Values>(values)...);
  }
  friend bool operator==(const ZeroedMemory&, const ZeroedMemory&) = default;
};

class Bitmap {
 public:
  // Covers a volume of `bytes` bytes, all clear. A last partial block counts as a block.
  explicit Bitmap(std::uint64_t bytes);

  std::uint64_t blocks() const { return blocks_; }
  std::uint64_t blocks_set() const { return set_; }  // kept up to date, O(1)
  // Bytes of the volume covered by set bits (the last block may be partial).
  std::uint64_t bytes_set() const;

  bool test(std::uint64_t block) const;
  // True if any block touched by the byte range is set.
  bool any_in(std::uint64_t offset, std::uint64_t length) const;

  // Byte ranges; what lies past the end of the volume is ignored. set: every block touched. clear:
  // only blocks wholly inside (a range that reaches the end of the volume covers a last partial
  // block). Setting what is set already costs one load per 64 blocks.
  void set(std::uint64_t offset, std::uint64_t length);
  void clear(std::uint64_t offset, std::uint64_t length);
  void set_all();
  void clear_all();
  // Every bit set in `other` (of the same size) is set here too.
  void merge(const Bitmap& other);

  // The first run of set bits at or after `block`, at most `max_blocks` long; nothing if none.
  std::optional<BlockRange> next_set(std::uint64_t block, std::uint64_t max_blocks) const;

  // --- raw words, for storage and for the wire: bit n is bit n%64 of word n/64 ---
  static constexpr std::uint64_t bits_per_word = 64;
  std::uint64_t words() const { return words_.size(); }
  std::uint64_t word(std::uint64_t index) const { return words_[index]; }
  // Ors `bits` in; bits past the end of the volume are ignored.
  void merge_word(std::uint64_t index, std::uint64_t bits);

  // --- pages, for storage: which parts changed since they were last written ---
  // Page p covers the words [p*n, (p+1)*n). Cut anew, every page counts as changed; until then the
  // whole bitmap is one page.
  void set_words_per_page(std::uint64_t words);
  bool page_dirty(std::uint64_t page) const { return page_dirty_[page]; }
  void mark_page(std::uint64_t page, bool dirty) { page_dirty_[page] = dirty; }
  std::uint64_t pages() const { return page_dirty_.size(); }

 private:
  BlockRange touched(std::uint64_t offset, std::uint64_t length) const;
  BlockRange contained(std::uint64_t offset, std::uint64_t length) const;
  void change(std::uint64_t first, std::uint64_t count, bool on);
  void replace_word(std::uint64_t index, std::uint64_t next);
  // The first block in [first, end) whose bit is `on`.
  std::optional<std::uint64_t> find(std::uint64_t first, std::uint64_t end, bool on) const;
  std::uint64_t bytes_;
  std::uint64_t blocks_;
  std::uint64_t set_ = 0;
  std::vector<std::uint64_t, ZeroedMemory<std::uint64_t>> words_;
  std::uint64_t words_per_page_;
  std::vector<bool> page_dirty_;
};

}  // namespace baton::blockdev
