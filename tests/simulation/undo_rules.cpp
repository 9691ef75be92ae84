#include "tests/simulation/undo_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "blockdev/undo/format.h"
#include "tests/simulation/metadata_image.h"

namespace baton::sim {
namespace {

constexpr const char* rule = "R6 overwritten before its undo";

blockdev::ReadUndo reader_of(const SparseImage& image) {
  return [&image](std::uint64_t offset, std::span<std::byte> into) {
    if (offset > image.size() || into.size() > image.size() - offset) return false;
    image.read(offset, into);
    return true;
  };
}

}  // namespace

bool UndoRules::before_write(const SimDisk& disk) {
  Node& node = *nodes_[static_cast<std::size_t>(disk.node())];
  if (!node.up()) return false;
  // What a Primary writes is its own, unless the other serves it; what a holder writes, that of the
  // Primary which it serves.
  Node& other = *nodes_[static_cast<std::size_t>(1 - disk.node())];
  const auto& status = node.fresh_status();
  const bool serves = status.baton_holder == node.name();
  const bool served = status.baton_holder == other.name();
  if (serves || (status.role == replication::Role::primary && !served)) return false;
  const MetadataImage ours(node.metadata(disk.volume()).durable(), disk.size());
  const MetadataImage theirs(other.metadata(disk.volume()).durable(), disk.size());
  const auto own = ours.superblock();
  const auto kept = theirs.superblock();
  if (!own || !kept || own->lineage.empty() || kept->lineage.empty()) return false;
  const std::uint64_t tip = own->lineage.back();
  // Merely older.
  if (std::ranges::find(kept->lineage, tip) != kept->lineage.end()) return false;
  if (!seen_.emplace(disk.node(), disk.volume(), tip).second) return false;
  // Of data that has nothing in common with the other's nothing is kept.
  if (kept->lineage.front() != own->lineage.front()) return true;
  if (waived_[static_cast<std::size_t>(disk.node())] == 0) look_at(disk, tip);
  return true;
}

void UndoRules::look_at(const SimDisk& disk, std::uint64_t generation) {
  Node& node = *nodes_[static_cast<std::size_t>(disk.node())];
  const SimDisk* const file = node.undo(disk.volume(), generation);
  const std::string copy = fmt::format("the copy of node {}, volume {}, generation {:016x}",
                                       node.name(), disk.volume(), generation);
  if (file == nullptr) return world_.violated(rule, copy + ": there is no undo file");
  const blockdev::ReadUndo read = reader_of(file->durable());
  const auto info = blockdev::read_undo_header(read);
  if (!info) return world_.violated(rule, copy + ": after a power cut " + info.error().message);
  std::vector<char> kept(disk.visible().blocks(), 0);
  std::string why;
  std::vector<std::byte> saved;
  std::vector<std::byte> shown;
  const auto compare = [&](const blockdev::UndoPiece& piece) {
    saved.resize(piece.length);
    shown.resize(piece.length);
    if (const auto good = blockdev::read_undo_data(read, piece, saved); !good) {
      why = good.error().message;
    }
    disk.visible().read(piece.offset, shown);
    if (why.empty() && saved != shown) {
      why = fmt::format("{}+{} is kept and is not what the copy shows", piece.offset, piece.length);
    }
    const std::uint64_t end = piece.offset + piece.length;
    for (std::uint64_t at = piece.offset; at < end; at += image_block_bytes) {
      kept[at / image_block_bytes] = 1;
    }
    return why.empty();
  };
  const auto walked = blockdev::read_undo_ranges(read, *info, compare);
  if (!walked) why = walked.error().message;
  if (!why.empty()) return world_.violated(rule, copy + ": " + why);
  const Cells& cells = oracle_.cells(disk.volume());
  for (std::uint64_t cell = 0; cell < cells.count(); ++cell) {
    const std::uint64_t at = cells.offset_of(cell);
    if (kept[at / image_block_bytes] != 0 || !alone_here(disk, cell)) continue;
    return world_.violated(rule,
                           fmt::format("{}: what it alone shows at {} was not kept", copy, at));
  }
}

// True if the cell shows a write that is newer than the one that the other copy shows there.
bool UndoRules::alone_here(const SimDisk& disk, std::uint64_t cell) const {
  const Cells& cells = oracle_.cells(disk.volume());
  Node& other = *nodes_[static_cast<std::size_t>(1 - disk.node())];
  const SparseImage& theirs = other.data(disk.volume()).visible();
  std::array<std::byte, sector_bytes> buffer;
  const std::span content = std::span(buffer).first(cells.bytes_of(cell));
  disk.visible().read(cells.offset_of(cell), content);
  const auto ours = cells.decode(cell, content);
  if (!ours || *ours == 0) return false;  // zeroes do not say who zeroed
  theirs.read(cells.offset_of(cell), content);
  const auto there = cells.decode(cell, content);
  // Where the other shows zeroes it may have been zeroed since.
  return there && *there != 0 && *there != *ours && oracle_.later(*ours, *there);
}

}  // namespace baton::sim
