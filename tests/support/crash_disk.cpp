#include "tests/support/crash_disk.h"

#include <algorithm>
#include <span>

#include "base/assert.h"

namespace baton::tests {
namespace {

constexpr std::size_t sector_bytes = 512;

void copy_to(DiskImage& image, std::uint64_t offset, std::span<const std::byte> bytes) {
  std::ranges::copy(bytes, image.begin() + static_cast<std::ptrdiff_t>(offset));
}

// Whole, not at all, or some of its sectors.
void apply_perhaps(DiskImage& image, std::uint64_t offset, std::span<const std::byte> bytes,
                   Rng& rng) {
  const auto fate = rng() % 3;
  if (fate == 0) return;
  if (fate == 1) return copy_to(image, offset, bytes);
  for (std::size_t at = 0; at < bytes.size(); at += sector_bytes) {
    if (rng() % 2 == 0) continue;
    copy_to(image, offset + at, bytes.subspan(at, std::min(sector_bytes, bytes.size() - at)));
  }
}

}  // namespace

CrashDisk::CrashDisk(DiskImage image) : durable_(std::move(image)), visible_(durable_) {
  limits_.size = durable_.size();
}

void CrashDisk::submit(blockdev::Request& request) {
  BATON_ASSERT(request.offset + request.length <= limits_.size, "the owner checks the range");
  waiting_.push_back({.request = &request, .writes_before = unflushed_.size()});
}

void CrashDisk::step(Rng& rng) {
  carry_out(rng() % waiting_.size(), &rng);
}

void CrashDisk::step() {
  carry_out(0, nullptr);
}

void CrashDisk::carry_out(std::size_t index, Rng* rng) {
  const Waiting chosen = waiting_[index];
  waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
  blockdev::Request& request = *chosen.request;
  if (failing_) {
    if (rng != nullptr && request.op == blockdev::Op::write) {
      apply_perhaps(visible_, request.offset, {request.data, request.length}, *rng);
      const auto now = std::span(visible_).subspan(request.offset, request.length);
      unflushed_.push_back(
          {.offset = request.offset, .bytes = std::vector(now.begin(), now.end())});
    }
    if (rng != nullptr && request.op == blockdev::Op::flush) forget_some(*rng);
    request.error = IoError::io;
  } else {
    request.error = perform_now(chosen);
  }
  request.complete();
}

// As Linux does: what a failed flush should have written counts as written, and reads see it.
void CrashDisk::forget_some(Rng& rng) {
  std::erase_if(unflushed_, [&](const Write&) { return rng() % 2 == 0; });
  for (Waiting& waiting : waiting_) {
    waiting.writes_before = std::min(waiting.writes_before, unflushed_.size());
  }
}

IoError CrashDisk::perform_now(const Waiting& waiting) {
  blockdev::Request& request = *waiting.request;
  const std::span<std::byte> bytes(request.data, request.length);
  switch (request.op) {
    case blockdev::Op::read: {
      const auto bad = [&](std::uint64_t at) {
        return at >= request.offset && at < request.offset + request.length;
      };
      if (std::ranges::any_of(unreadable_, bad)) return IoError::io;
      std::ranges::copy(std::span(visible_).subspan(request.offset, request.length), bytes.begin());
      return IoError::none;
    }
    case blockdev::Op::write:
      ++writes_;
      copy_to(visible_, request.offset, bytes);
      unflushed_.push_back(
          {.offset = request.offset, .bytes = std::vector(bytes.begin(), bytes.end())});
      return IoError::none;
    case blockdev::Op::flush: {
      ++flushes_;
      for (std::size_t i = 0; i < waiting.writes_before; ++i) {
        copy_to(durable_, unflushed_[i].offset, unflushed_[i].bytes);
      }
      unflushed_.erase(unflushed_.begin(),
                       unflushed_.begin() + static_cast<std::ptrdiff_t>(waiting.writes_before));
      for (Waiting& other : waiting_) {
        other.writes_before -= std::min(other.writes_before, waiting.writes_before);
      }
      return IoError::none;
    }
    default:
      return IoError::unsupported;
  }
}

DiskImage CrashDisk::after_power_cut(Rng& rng) const {
  DiskImage image = durable_;
  for (const Write& write : unflushed_) apply_perhaps(image, write.offset, write.bytes, rng);
  for (const Waiting& waiting : waiting_) {
    const blockdev::Request& request = *waiting.request;
    if (request.op != blockdev::Op::write) continue;
    apply_perhaps(image, request.offset, {request.data, request.length}, rng);
  }
  return image;
}

std::unique_ptr<CrashDisk> CrashDisk::after_kill(Rng& rng) const {
  auto successor = std::make_unique<CrashDisk>(durable_);
  successor->visible_ = visible_;
  successor->unflushed_ = unflushed_;
  for (const Waiting& waiting : waiting_) {
    if (waiting.request->op != blockdev::Op::write || rng() % 2 == 0) continue;
    successor->perform_now(waiting);
  }
  return successor;
}

}  // namespace baton::tests
