#include "tests/simulation/damage.h"

#include <algorithm>

#include "base/hash.h"

namespace baton::sim {

Damage::Damage(const Oracle& oracle, std::size_t nodes, std::size_t volumes, ReadCopy read)
    : oracle_(oracle),
      nodes_(nodes),
      volumes_(volumes),
      read_(std::move(read)),
      hurt_(nodes * volumes),
      source_at_(nodes) {}

Damage::Cell& Damage::cells_of(int node, std::uint32_t volume) {
  return hurt_[static_cast<std::size_t>(node) * volumes_ + volume];
}

const Damage::Cell& Damage::cells_of(int node, std::uint32_t volume) const {
  return hurt_[static_cast<std::size_t>(node) * volumes_ + volume];
}

std::uint64_t Damage::content_of(int node, std::uint32_t volume, std::uint64_t cell) const {
  const Cells& cells = oracle_.cells(volume);
  std::array<std::byte, sector_bytes> buffer;
  const std::span content = std::span(buffer).first(cells.bytes_of(cell));
  read_(node, volume, cells.offset_of(cell), content);
  return xxh3_64(content);
}

void Damage::hurt(int node, std::uint32_t volume, std::uint64_t offset, std::uint64_t length) {
  if (node == ignored_) return;
  const Cells& cells = oracle_.cells(volume);
  for (std::uint64_t at = offset; at < offset + length;) {
    const std::uint64_t cell = cells.cell_at(at);
    cells_of(node, volume)[cell] = {.from = oracle_.now(),
                                    .content = content_of(node, volume, cell)};
    at = cells.offset_of(cell) + cells.bytes_of(cell);
  }
}

// The same wrong content, and the other node has been a source since it was there.
bool Damage::carried_along(int node, std::uint32_t volume, std::uint64_t cell) const {
  for (int other = 0; other < static_cast<int>(nodes_); ++other) {
    if (other == node) continue;
    const auto found = cells_of(other, volume).find(cell);
    if (found == cells_of(other, volume).end()) continue;
    const Hurt& hurt = found->second;
    if (hurt.until == UINT64_MAX && source_at_[static_cast<std::size_t>(other)] >= hurt.from &&
        content_of(node, volume, cell) == content_of(other, volume, cell)) {
      return true;
    }
  }
  return false;
}

void Damage::stored(int node, std::uint32_t volume, std::uint64_t offset, std::uint64_t length) {
  if (std::ranges::all_of(hurt_, [](const Cell& cells) { return cells.empty(); })) return;
  const Cells& cells = oracle_.cells(volume);
  for (std::uint64_t at = offset; at < offset + length;) {
    const std::uint64_t cell = cells.cell_at(at);
    const std::uint64_t next = cells.offset_of(cell) + cells.bytes_of(cell);
    const bool whole = cells.offset_of(cell) >= offset && next <= offset + length;
    at = next;
    if (!whole) continue;
    if (carried_along(node, volume, cell)) {
      hurt(node, volume, cells.offset_of(cell), cells.bytes_of(cell));
      continue;
    }
    const auto found = cells_of(node, volume).find(cell);
    if (found == cells_of(node, volume).end()) continue;
    found->second.until = std::min(found->second.until, oracle_.now());
  }
}

void Damage::look_again(int node) {
  for (std::uint32_t volume = 0; volume < volumes_; ++volume) {
    for (auto& [cell, hurt] : cells_of(node, volume)) {
      if (content_of(node, volume, cell) == hurt.content) hurt.until = UINT64_MAX;
    }
  }
}

void Damage::is_source(int node) {
  source_at_[static_cast<std::size_t>(node)] = oracle_.now();
}

bool Damage::hurt_now(int node, std::uint32_t volume, std::uint64_t cell) const {
  const auto found = cells_of(node, volume).find(cell);
  const bool here = found != cells_of(node, volume).end() && found->second.until == UINT64_MAX;
  // A resync by checksum leaves alone what the target shows as wrongly as the source does.
  return here || carried_along(node, volume, cell);
}

bool Damage::hurt_since(std::uint32_t volume, std::uint64_t cell, std::uint64_t invoked) const {
  for (int node = 0; node < static_cast<int>(nodes_); ++node) {
    const auto found = cells_of(node, volume).find(cell);
    if (found != cells_of(node, volume).end() && found->second.until >= invoked) return true;
  }
  return false;
}

bool Damage::ever_hurt(std::uint32_t volume, std::uint64_t cell) const {
  for (int node = 0; node < static_cast<int>(nodes_); ++node) {
    if (cells_of(node, volume).contains(cell)) return true;
  }
  return false;
}

std::optional<Damage::Place> Damage::first_difference(std::uint64_t time) const {
  for (int node = 0; node < static_cast<int>(nodes_); ++node) {
    for (std::uint32_t volume = 0; volume < volumes_; ++volume) {
      for (const auto& [cell, hurt] : cells_of(node, volume)) {
        if (hurt.until != UINT64_MAX || hurt.from >= time) continue;
        if (content_of(node, volume, cell) == content_of(1 - node, volume, cell)) continue;
        return Place{volume, oracle_.cells(volume).offset_of(cell)};
      }
    }
  }
  return std::nullopt;
}

std::size_t Damage::cells_hurt() const {
  std::size_t count = 0;
  for (const Cell& cells : hurt_) {
    count += static_cast<std::size_t>(std::ranges::count_if(
        cells, [](const auto& entry) { return entry.second.until == UINT64_MAX; }));
  }
  return count;
}

}  // namespace baton::sim
