// What a disk does and does not tell: bit rot, writes that are lost or land elsewhere, sectors that
// a power cut shreds, and a disk that is not the one that was there before.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "tests/simulation/disk_request.h"

namespace baton::sim {

using blockdev::Op;

namespace {

// Calls `visit(offset, bytes)` for every sector, or part of one, of the range.
template <class Visit>
void for_each_sector(std::uint64_t offset, std::uint64_t length, Visit visit) {
  for (std::uint64_t at = offset; at < offset + length;) {
    const std::uint64_t next = std::min((at / sector_bytes + 1) * sector_bytes, offset + length);
    visit(at, next - at);
    at = next;
  }
}

}  // namespace

// On the medium and in the cache: whatever is read or flushed from now on is this.
void SimDisk::overwrite(std::uint64_t offset, std::span<const std::byte> content) {
  visible_.write(offset, content);
  const std::uint64_t first = offset / sector_bytes * sector_bytes;
  const std::uint64_t end = offset + content.size();
  const std::uint64_t last =
      std::min((end + sector_bytes - 1) / sector_bytes * sector_bytes, size());
  make_durable_over_older(first, last - first);
}

// Sectors of which a reader sees something else than `expected`.
void SimDisk::note_damage(std::uint64_t offset, std::span<const std::byte> expected) {
  if (watch_ == nullptr) return;
  std::vector<std::byte> found(expected.size());
  visible_.read(offset, found);
  for_each_sector(offset, expected.size(), [&](std::uint64_t at, std::uint64_t bytes) {
    const auto from = static_cast<std::size_t>(at - offset);
    if (std::memcmp(found.data() + from, expected.data() + from, bytes) == 0) return;
    watch_->damaged(*this, at, bytes);
  });
}

void SimDisk::rot(std::uint64_t offset, std::uint64_t length, std::uint64_t sectors) {
  constexpr int tries = 32;
  length = std::min(length, size() - std::min(offset, size()));
  if (length == 0) return;
  for (std::uint64_t i = 0; i < sectors; ++i) {
    std::uint64_t byte = 0;
    for (int attempt = 0; attempt < tries; ++attempt) {
      byte = offset + random_.below(length);
      if (!visible_.hole(byte / image_block_bytes)) break;
    }
    const std::uint64_t bit = random_.below(8);
    std::byte value{};
    visible_.read(byte, {&value, 1});
    const std::byte flipped = value ^ static_cast<std::byte>(1U << bit);
    world_.trace().say(node_, fmt::format("{} rots: bit {} of byte {}", name(), bit, byte));
    overwrite(byte, {&flipped, 1});
    note_damage(byte, {&value, 1});
  }
}

// True if the disk says that it has stored the write, and has not, or not there.
bool SimDisk::lied(const InFlight& io) {
  const blockdev::Request& request = *io.request;
  const auto lie = std::ranges::find_if(lies_, [&](const DiskLie& candidate) {
    return request.length > 0 && request.offset + request.length > candidate.offset &&
           (request.offset <= candidate.offset ||
            request.offset - candidate.offset < candidate.length);
  });
  if (lie == lies_.end()) return false;
  const DiskLie chosen = *lie;
  if (lie->count != UINT64_MAX) --lie->count;
  if (lie->count == 0) lies_.erase(lie);
  std::vector<std::byte> data = io.data;
  data.resize(request.length);  // zeroing and discarding: zeroes
  if (chosen.kind == DiskLie::Kind::lost) {
    world_.trace().say(
        node_, fmt::format("{} loses the write of {}+{}", name(), request.offset, request.length));
  } else {
    const std::uint64_t last = (size() - request.length) / sector_bytes;
    const std::uint64_t to = std::min(
        chosen.to, sector_bytes * (chosen.to == UINT64_MAX ? random_.below(last + 1) : last));
    world_.trace().say(node_, fmt::format("{} puts the write of {}+{} at {}", name(),
                                          request.offset, request.length, to));
    std::vector<std::byte> before(request.length);
    visible_.read(to, before);
    overwrite(to, data);
    note_damage(to, before);
  }
  note_damage(request.offset, data);
  return true;
}

// Half of the old and half of the new, or noise.
void SimDisk::shred(std::uint64_t offset, std::span<const std::byte> next) {
  std::vector<std::byte> content(next.begin(), next.end());
  std::vector<std::byte> old(next.size());
  durable_.read(offset, old);
  const bool noise = random_.percent(30);
  for (std::size_t i = noise ? 0 : content.size() / 2; i < content.size(); ++i) {
    content[i] = noise ? static_cast<std::byte>(random_.below(256)) : old[i];
  }
  world_.trace().say(node_, fmt::format("{}: the sector at {} is shredded", name(), offset));
  durable_.write(offset, content);
}

// --- another disk ---

void SimDisk::take_snapshot() {
  snapshot_ = std::make_unique<SparseImage>(size());
  snapshot_->copy_from(visible_);
  world_.trace().say(node_, name() + " is copied");
}

void SimDisk::restore_snapshot() {
  BATON_ASSERT(snapshot_ != nullptr, "has_snapshot() is asked first");
  world_.trace().say(node_, name() + " is replaced by the copy");
  become(*snapshot_);
}

void SimDisk::replace_by_blank() {
  world_.trace().say(node_, name() + " is replaced by a blank disk");
  become(SparseImage(size()));
}

void SimDisk::become(const SparseImage& image) {
  BATON_ASSERT(handle_ == nullptr, "a disk is replaced while nobody uses it");
  SparseImage before(size());
  before.copy_from(visible_);
  unflushed_.clear();
  durable_.copy_from(image);
  visible_.copy_from(image);
  std::vector<std::byte> expected(image_block_bytes);
  for (std::uint64_t at = before.first_difference(visible_); at < size();
       at = before.first_difference(visible_, at + image_block_bytes)) {
    at = at / image_block_bytes * image_block_bytes;
    expected.resize(std::min(image_block_bytes, size() - at));
    before.read(at, expected);
    note_damage(at, expected);
  }
}

}  // namespace baton::sim
