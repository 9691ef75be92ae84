#include "blockdev/metadata/bitmap_writer.h"

#include <array>

#include "base/assert.h"

namespace baton::blockdev {
namespace {

// Bits may change while a page is being written, so what is written is a copy.
struct Staging {
  explicit Staging(BlockDevice& device) : window(device) {}
  WriteWindow window;
  std::array<BitPage, WriteWindow::depth> pages;
};

}  // namespace

BitmapWriter::BitmapWriter(Loop& loop, BlockDevice& device, Fault& fault, const Geometry& geometry,
                           std::uint32_t slot, Bitmap bitmap, std::uint64_t sequence)
    : device_(device),
      geometry_(geometry),
      slot_(slot),
      bitmap_(std::move(bitmap)),
      sequence_(sequence),
      rounds_(loop, fault, &BitmapWriter::write, this) {
  BATON_ASSERT(bitmap_.pages() == geometry_.bitmap_pages, "it is cut as the disk is");
}

Task<IoError> BitmapWriter::write() {
  const auto staging = std::make_unique<Staging>(device_);
  WriteWindow& window = staging->window;
  ++sequence_;
  bool wrote = false;
  for (std::uint64_t page = 0; page < bitmap_.pages(); ++page) {
    if (!bitmap_.page_dirty(page)) continue;
    co_await window.room();
    if (window.error() != IoError::none) break;
    const std::size_t place = window.free_place();
    stage(staging->pages[place], page);
    window.start(place, geometry_.bitmap_at(slot_, page),
                 std::as_writable_bytes(std::span(&staging->pages[place], 1)));
    wrote = true;
  }
  co_await window.drained();
  if (window.error() != IoError::none) co_return window.error();
  if (!wrote) co_return IoError::none;  // what is there was flushed when it was written
  co_return co_await flush(device_);
}

void BitmapWriter::stage(BitPage& page, std::uint64_t number) {
  bitmap_.mark_page(number, false);
  const std::uint64_t first = number * words_per_page;
  for (std::uint64_t i = 0; i < words_per_page; ++i) {
    const std::uint64_t word = first + i;
    page.cells[i / words_per_cell].words[i % words_per_cell] =
        word < bitmap_.words() ? bitmap_.word(word) : 0;
  }
  seal(page, {.kind = CellKind::bitmap, .slot = static_cast<std::uint16_t>(slot_), .page = number},
       sequence_);
}

}  // namespace baton::blockdev
