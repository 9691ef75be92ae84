#include "blockdev/metadata/area_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/mark.h"
#include "base/mutant.h"
#include "blockdev/metadata/cells.h"
#include "blockdev/metadata/device_io.h"

namespace baton::blockdev {
namespace {

using SuperblockPages = std::array<SuperblockPage, 2>;

Error read_error(const BlockDevice& device, IoError error) {
  return {fmt::format("{} cannot be read: {}", device.name(), name_of(error))};
}

// --- the superblock ---

Task<Result<>> read_copies(BlockDevice& device, SuperblockPages& pages, MetadataArea& area) {
  for (std::uint32_t copy = 0; copy < 2; ++copy) {
    const auto bytes = std::as_writable_bytes(std::span(&pages[copy], 1));
    const IoError error = co_await read_at(device, Geometry().superblock_at(copy), bytes);
    if (error == IoError::io) {
      area.copies[copy].state = CopyState::unreadable;
    } else if (error != IoError::none) {
      co_return std::unexpected(read_error(device, error));
    } else {
      area.copies[copy].state = inspect(pages[copy], copy);
      area.copies[copy].sequence = pages[copy].sequence;
    }
  }
  co_return Result<>();
}

bool same_content(SuperblockPage a, SuperblockPage b) {
  a.checksum = b.checksum = 0;
  a.copy = b.copy = 0;
  return std::memcmp(&a, &b, sizeof a) == 0;
}

Result<> no_copy(const std::string& name, const MetadataArea& area) {
  const auto absent = [](const auto& copy) { return copy.state == CopyState::absent; };
  if (std::ranges::all_of(area.copies, absent)) {
    return failure(fmt::format(
        "{} holds no Baton metadata: check the `meta` path, or make it with `batonctl create-md`",
        name));
  }
  const auto unreadable = [](const auto& copy) { return copy.state == CopyState::unreadable; };
  if (std::ranges::any_of(area.copies, unreadable)) {
    return failure(fmt::format(
        "no superblock copy on {} can be used (copy 0 is {}, copy 1 is {}): what cannot be read "
        "now "
        "may still be there, so check the device and bring the resource up again; `batonctl "
        "create-md` is for a device that is lost for good",
        name, name_of(area.copies[0].state), name_of(area.copies[1].state)));
  }
  reached("superblock-copies-both-lost");
  return failure(fmt::format(
      "both superblock copies on {} are lost (copy 0 is {}, copy 1 is {}), so nothing is known "
      "about this copy of the volume: take the data from the other node and make this one anew "
      "with `batonctl create-md`",
      name, name_of(area.copies[0].state), name_of(area.copies[1].state)));
}

// The newer of the intact copies. An intact copy that is not understood is never passed over for
// an older one: that would be going back in time.
Result<> choose_copy(const std::string& name, const SuperblockPages& pages, MetadataArea& area) {
  const bool intact0 = area.copies[0].state == CopyState::intact;
  const bool intact1 =
      area.copies[1].state == CopyState::intact && !mutant("second-superblock-ignored");
  if (!intact0 && !intact1) return no_copy(name, area);
  if (intact0 && intact1) {
    const std::uint64_t sequence0 = area.copies[0].sequence;
    const std::uint64_t sequence1 = area.copies[1].sequence;
    if (sequence0 == sequence1 && !same_content(pages[0], pages[1])) {
      return failure(fmt::format(
          "the superblock copies on {} contradict each other (both have number {}): two programs "
          "wrote it at once",
          name, sequence0));
    }
    area.newest = sequence1 > sequence0 ? 1 : 0;
  } else {
    reached("superblock-copy-damaged");
    area.newest = intact0 ? 0 : 1;
    area.warnings.push_back(
        fmt::format("superblock copy {} on {} is {}; copy {}, number {}, is used", 1 - area.newest,
                    name, name_of(area.copies[1 - area.newest].state), area.newest,
                    area.copies[area.newest].sequence));
  }
  Result<DecodedSuperblock> decoded = decode(pages[area.newest]);
  if (!decoded) {
    return failure(fmt::format(
        "the superblock on {} is undamaged but not understood: {}; use the Baton that wrote it",
        name, decoded.error().message));
  }
  area.superblock = std::move(*decoded);
  return {};
}

// --- pages of bits ---

constexpr std::uint64_t pages_per_read = 256;  // 1 MiB at a time

// A page that cannot be read is left blank, which no intact page is.
Task<IoError> read_pages(BlockDevice& device, std::uint64_t offset, std::span<BitPage> pages) {
  const IoError error = co_await read_at(device, offset, std::as_writable_bytes(pages));
  if (error != IoError::io) co_return error;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const auto bytes = std::as_writable_bytes(pages.subspan(i, 1));
    const IoError again = co_await read_at(device, offset + i * page_bytes, bytes);
    if (again == IoError::io) {
      reached("metadata-page-unreadable");
      pages[i] = BitPage();
    } else if (again != IoError::none) {
      co_return again;
    }
  }
  co_return IoError::none;
}

// Checks the cells of a page and widens the damaged ones. True if there were any.
bool widen_damage(BitPage& page, PageIdentity identity, std::uint64_t bits_in_use,
                  std::uint64_t page_at, MetadataArea::Bits& bits) {
  bool damaged = false;
  for (std::size_t i = 0; i < cells_per_page; ++i) {
    Cell& cell = page.cells[i];
    ++bits.damage.cells_in_all;
    if (intact(cell, identity, i, bits_in_use)) {
      bits.sequence = std::max<std::uint64_t>(bits.sequence, cell.sequence);
      continue;
    }
    reached("cell-damaged");
    damaged = true;
    if (bits.damage.cells++ == 0) bits.damage.first_at = page_at + i * cell_bytes;
    const BitRange range = bits_of_cell(identity.page, i, bits_in_use);
    cell.words.fill(le64(0));
    for (std::uint64_t bit = 0; bit < range.end - range.first; ++bit) {
      set_bit_in(page, i * bits_per_cell + bit, true);
    }
  }
  return damaged;
}

Task<IoError> read_activity_log(BlockDevice& device, MetadataArea& area) {
  const Geometry& geometry = area.superblock.geometry;
  area.activity_pages.resize(geometry.activity_pages);
  area.activity.pages_damaged.assign(geometry.activity_pages, false);
  const std::span<BitPage> pages(area.activity_pages);
  for (std::uint64_t first = 0; first < pages.size(); first += pages_per_read) {
    const std::uint64_t count = std::min(pages_per_read, pages.size() - first);
    const auto chunk = pages.subspan(first, count);
    const IoError error = co_await read_pages(device, geometry.activity_at(first), chunk);
    if (error != IoError::none) co_return error;
    for (std::uint64_t page = first; page < first + count; ++page) {
      const PageIdentity identity{.kind = CellKind::activity_log, .slot = 0, .page = page};
      area.activity.pages_damaged[page] = widen_damage(pages[page], identity, geometry.regions(),
                                                       geometry.activity_at(page), area.activity);
    }
  }
  co_return IoError::none;
}

void take_bits(Bitmap& bitmap, const BitPage& page, std::uint64_t number) {
  for (std::uint64_t i = 0; i < words_per_page; ++i) {
    const std::uint64_t word = page.cells[i / words_per_cell].words[i % words_per_cell];
    if (word != 0) bitmap.merge_word(number * words_per_page + i, word);
  }
}

Task<IoError> read_bitmap(BlockDevice& device, MetadataArea& area, std::uint16_t slot) {
  const Geometry& geometry = area.superblock.geometry;
  Bitmap bitmap(geometry.volume_size);
  bitmap.set_words_per_page(words_per_page);
  MetadataArea::Bits bits;
  bits.pages_damaged.assign(geometry.bitmap_pages, false);
  std::vector<BitPage> buffer(std::min(pages_per_read, geometry.bitmap_pages));
  for (std::uint64_t first = 0; first < geometry.bitmap_pages; first += buffer.size()) {
    const std::uint64_t count = std::min(buffer.size(), geometry.bitmap_pages - first);
    const auto chunk = std::span(buffer).first(count);
    const IoError error = co_await read_pages(device, geometry.bitmap_at(slot, first), chunk);
    if (error != IoError::none) co_return error;
    for (std::uint64_t i = 0; i < count; ++i) {
      const PageIdentity identity{.kind = CellKind::bitmap, .slot = slot, .page = first + i};
      const bool damaged = widen_damage(chunk[i], identity, geometry.blocks(),
                                        geometry.bitmap_at(slot, first + i), bits);
      take_bits(bitmap, chunk[i], first + i);
      bitmap.mark_page(first + i, damaged);
      bits.pages_damaged[first + i] = damaged;
    }
  }
  area.bitmaps.push_back(std::move(bitmap));
  area.bitmap_bits.push_back(std::move(bits));
  co_return IoError::none;
}

void warn_of_damage(const std::string& name, MetadataArea& area) {
  const auto warn = [&](const Damage& damage, const std::string& what, const char* effect) {
    if (damage.cells == 0) return;
    area.warnings.push_back(
        fmt::format("{} of {} cells of {} on {} are damaged, the first at byte "
                    "{}: {}",
                    damage.cells, damage.cells_in_all, what, name, damage.first_at, effect));
  };
  warn(area.activity.damage, "the activity log", "their regions all count as active");
  for (std::size_t slot = 0; slot < area.bitmap_bits.size(); ++slot) {
    const std::string& peer = area.superblock.content.peers[slot].name;
    warn(area.bitmap_bits[slot].damage,
         peer.empty() ? fmt::format("the bitmap of slot {}", slot)
                      : fmt::format("the bitmap of peer {}", peer),
         "their blocks all count as different");
  }
}

}  // namespace

Task<Result<MetadataArea>> read_area(BlockDevice& device) {
  MetadataArea area;
  const std::string name = device.name();
  const std::uint64_t device_bytes = device.limits().size;
  if (device_bytes < activity_log_offset) {
    co_return failure(fmt::format(
        "{} has {} bytes and cannot hold Baton metadata: check the `meta` path, or make it with "
        "`batonctl create-md`",
        name, device_bytes));
  }
  const auto pages = std::make_unique<SuperblockPages>();
  Result<> done = co_await read_copies(device, *pages, area);
  if (done) done = choose_copy(name, *pages, area);
  if (!done) co_return std::unexpected(done.error());

  const Geometry& geometry = area.superblock.geometry;
  if (device_bytes < geometry.bytes()) {
    co_return failure(fmt::format(
        "{} has {} bytes, but the metadata of its volume ({} bytes) takes {}: it was cut short",
        name, device_bytes, geometry.volume_size, geometry.bytes()));
  }
  IoError error = co_await read_activity_log(device, area);
  for (std::uint16_t slot = 0; slot < geometry.slots && error == IoError::none; ++slot) {
    error = co_await read_bitmap(device, area, slot);
  }
  if (error != IoError::none) co_return std::unexpected(read_error(device, error));
  warn_of_damage(name, area);
  co_return area;
}

}  // namespace baton::blockdev
