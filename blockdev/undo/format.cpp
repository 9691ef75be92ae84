#include "blockdev/undo/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/assert.h"
#include "base/hash.h"

namespace baton::blockdev {
namespace {

template <std::size_t size>
void put_text(std::array<char, size>& field, const std::string& text) {
  BATON_ASSERT(text.size() < size, "configuration bounds names");
  field.fill('\0');
  std::ranges::copy(text, field.begin());
}

template <std::size_t size>
std::string text_of(const std::array<char, size>& field) {
  return {field.begin(), std::ranges::find(field, '\0')};
}

template <class Page>
std::uint64_t checksum_of(const Page& page) {
  return xxh3_64(std::as_bytes(std::span(&page, 1)).subspan(sizeof(le64)));
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

// Every range behind the one before, within the volume, and with room for its data in the file.
const char* fault_of(const UndoRange& range, std::uint64_t from, const UndoInfo& info) {
  const std::uint64_t offset = range.offset;
  const std::uint64_t length = range.length;
  if (range.reserved != 0 || (range.flags & ~undo_range_zeroes) != 0) {
    return "a range has a flag that this version does not know";
  }
  if (length == 0 || offset < from || offset > info.volume_bytes ||
      length > info.volume_bytes - offset) {
    return "a range lies outside its place";
  }
  if ((range.flags & undo_range_zeroes) == 0 && length > undo_data_bytes_max) {
    return "a range is too long";
  }
  return nullptr;
}

}  // namespace

UndoHeader seal_undo_header(const UndoInfo& info) {
  UndoHeader header{};
  header.magic = undo_magic;
  header.version = undo_version;
  header.volume = info.volume;
  header.generation = info.generation;
  header.common = info.common;
  header.kept = info.kept;
  header.volume_bytes = info.volume_bytes;
  header.file_bytes = info.file_bytes;
  header.pages = info.pages;
  header.ranges = info.ranges;
  header.data_bytes = info.data_bytes;
  header.zero_bytes = info.zero_bytes;
  put_text(header.resource, info.resource);
  put_text(header.node, info.node);
  put_text(header.peer, info.peer);
  header.checksum = checksum_of(header);
  return header;
}

void seal_undo_page(UndoPage& page) {
  page.checksum = checksum_of(page);
}

Result<UndoInfo> read_undo_header(const ReadUndo& read) {
  const auto header = std::make_unique<UndoHeader>();
  const auto bytes = std::as_writable_bytes(std::span(header.get(), 1));
  if (!read(0, bytes)) return failure("it is too short to be an undo file");
  if (all_zero(bytes)) {
    return failure("it is unfinished: saving was interrupted, and nothing was overwritten then");
  }
  if (header->magic != undo_magic) return failure("it is no undo file");
  if (header->checksum != checksum_of(*header)) return failure("its header is damaged");
  if (header->version != undo_version || !all_zero(header->reserved)) {
    return failure(fmt::format("it has version {} of the format, and this program knows {}",
                               static_cast<std::uint32_t>(header->version), undo_version));
  }
  UndoInfo info;
  info.resource = text_of(header->resource);
  info.node = text_of(header->node);
  info.peer = text_of(header->peer);
  info.volume = header->volume;
  info.generation = header->generation;
  info.common = header->common;
  info.kept = header->kept;
  info.volume_bytes = header->volume_bytes;
  info.file_bytes = header->file_bytes;
  info.pages = header->pages;
  info.ranges = header->ranges;
  info.data_bytes = header->data_bytes;
  info.zero_bytes = header->zero_bytes;
  return info;
}

Result<> read_undo_ranges(const ReadUndo& read, const UndoInfo& info,
                          const std::function<bool(const UndoPiece&)>& visit) {
  const auto page = std::make_unique<UndoPage>();
  std::uint64_t at = undo_page_bytes;
  std::uint64_t from = 0;
  std::uint64_t ranges = 0;
  for (std::uint64_t number = 0; number < info.pages; ++number) {
    if (!read(at, std::as_writable_bytes(std::span(page.get(), 1)))) {
      return failure(fmt::format("it ends before its page {}", number));
    }
    const bool good = page->checksum == checksum_of(*page) && page->magic == undo_page_magic &&
                      page->number == number && page->count > 0 &&
                      page->count <= undo_ranges_per_page;
    if (!good) return failure(fmt::format("its page {}, at byte {}, is damaged", number, at));
    at += undo_page_bytes;
    for (const UndoRange& range : std::span(page->ranges).first(page->count)) {
      if (const char* fault = fault_of(range, from, info)) {
        return failure(fmt::format("its page {} is wrong: {}", number, fault));
      }
      const bool zeroes = (range.flags & undo_range_zeroes) != 0;
      const UndoPiece piece{range.offset, range.length, zeroes, at, range.checksum};
      from = piece.offset + piece.length;
      if (!zeroes) at += undo_padded(piece.length);
      ++ranges;
      if (!visit(piece)) return {};
    }
  }
  if (ranges == info.ranges && at == info.file_bytes) return {};
  return failure("its pages do not name as many ranges as its header says");
}

Result<> read_undo_data(const ReadUndo& read, const UndoPiece& piece, std::span<std::byte> into) {
  if (piece.zeroes) {
    std::ranges::fill(into, std::byte{0});
    return {};
  }
  BATON_ASSERT(into.size() == piece.length, "a checksum is about the whole range");
  if (!read(piece.data_at, into)) {
    return failure(fmt::format("it ends in the data of {}+{}", piece.offset, piece.length));
  }
  if (xxh3_64(into) == piece.checksum) return {};
  return failure(fmt::format("the data of {}+{} is damaged", piece.offset, piece.length));
}

}  // namespace baton::blockdev
