#include "tests/crash/expectation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "tests/crash/host.h"

namespace baton::crash {

using blockdev::Op;

namespace {

const char* name_of(Floor floor) {
  static constexpr std::array names = {"submitted", "flushed", "acknowledged"};
  return names[static_cast<std::size_t>(floor)];
}

}  // namespace

Expectation::Expectation(const std::vector<ClientRequest>& requests, std::uint64_t point)
    : cells_(0, volume_bytes) {
  std::uint64_t last_flush = 0;
  for (const ClientRequest& request : requests) {
    const bool answered = request.op == Op::flush && request.done && request.answered < point;
    if (answered) last_flush = std::max(last_flush, request.submitted);
  }
  for (const ClientRequest& request : requests) {
    if (request.op != Op::flush && request.submitted < point) add(request, point, last_flush);
  }
}

void Expectation::add(const ClientRequest& request, std::uint64_t point, std::uint64_t last_flush) {
  const bool answered = request.answered < point;
  const bool acknowledged = answered && request.done;
  const bool flushed = acknowledged && (request.fua || request.answered < last_flush);
  const Write write{.stamp = request.stamp,
                    .submitted = request.submitted,
                    .answered = answered ? request.answered : never};
  for (std::uint64_t at = request.offset; at < request.offset + request.length;) {
    const std::uint64_t cell = cells_.cell_at(at);
    History& history = histories_[cell];
    history.writes.push_back(write);
    const std::uint64_t after = write.submitted + 1;
    if (flushed) history.flushed_after = std::max(history.flushed_after, after);
    if (acknowledged) history.acknowledged_after = std::max(history.acknowledged_after, after);
    at += cells_.bytes_of(cell);
  }
}

// Older than what must be there is what was answered before that was submitted; what was under way
// together may have been carried out in any order.
bool Expectation::allowed(const History& history, std::uint64_t stamp, Floor floor) {
  const std::uint64_t after = floor == Floor::none      ? 0
                              : floor == Floor::flushed ? history.flushed_after
                                                        : history.acknowledged_after;
  if (stamp == 0 && after == 0) return true;  // as it was before the first write
  return std::ranges::any_of(history.writes, [&](const Write& write) {
    return write.stamp == stamp && (after == 0 || write.answered >= after - 1);
  });
}

std::optional<std::string> Expectation::violation(const sim::SparseImage& image,
                                                  Floor floor) const {
  std::array<std::byte, sim::sector_bytes> content{};
  for (const auto& [cell, history] : histories_) {
    const auto bytes = std::span(content).first(cells_.bytes_of(cell));
    const std::uint64_t at = cells_.offset_of(cell);
    image.read(at, bytes);
    const auto stamp = cells_.decode(cell, bytes);
    if (!stamp) return fmt::format("byte {} holds what nobody has written there", at);
    if (allowed(history, *stamp, floor)) continue;
    std::string writes;
    for (const Write& write : history.writes) {
      writes += fmt::format(" {} ({}..{})", write.stamp, write.submitted,
                            write.answered == never ? "" : std::to_string(write.answered));
    }
    return fmt::format("byte {} holds stamp {}, older than what was {}; its writes:{}", at, *stamp,
                       name_of(floor), writes);
  }
  return beyond_what_was_written(image);
}

std::optional<std::string> Expectation::beyond_what_was_written(
    const sim::SparseImage& image) const {
  static constexpr std::array<std::byte, sim::sector_bytes> zeroes{};
  std::array<std::byte, sim::sector_bytes> content{};
  for (std::uint64_t block = 0; block < image.blocks(); ++block) {
    if (image.hole(block)) continue;
    const std::uint64_t end = std::min((block + 1) * sim::image_block_bytes, image.size());
    for (std::uint64_t at = block * sim::image_block_bytes; at < end;) {
      const std::uint64_t cell = cells_.cell_at(at);
      const std::uint64_t length = cells_.bytes_of(cell);
      const auto bytes = std::span(content).first(length);
      image.read(at, bytes);
      const bool zero = std::ranges::equal(bytes, std::span(zeroes).first(length));
      if (!zero && !histories_.contains(cell)) {
        return fmt::format("byte {} is not zero and was never written", at);
      }
      at += length;
    }
  }
  return std::nullopt;
}

}  // namespace baton::crash
