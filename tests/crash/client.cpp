#include "tests/crash/client.h"

#include <algorithm>
#include <stdexcept>

namespace baton::crash {

using blockdev::Op;

namespace {

// A few places in each region, so that requests meet each other and regions leave the log.
constexpr std::uint64_t places_in_region = 6;
constexpr std::uint64_t place_bytes = 16U << 10U;
constexpr std::uint64_t sector_bytes = sim::sector_bytes;

}  // namespace

struct Client::Slot {
  Client* client = nullptr;
  blockdev::Request request;
  std::vector<std::byte> buffer;
  std::size_t index = 0;  // in the log
  bool busy = false;
};

Client::Client(Recorder& recorder, std::uint64_t seed)
    : recorder_(recorder), random_(seed, "client"), cells_(0, volume_bytes) {}

Client::~Client() = default;

void Client::open(Host& host) {
  host_ = &host;
  auto opened = host.resource().open(0, {.name = "a client"});
  if (!opened) throw std::runtime_error(opened.error().message);
  device_ = std::move(*opened);
}

void Client::close() {
  device_.reset();
  host_ = nullptr;
}

void Client::begin(int requests, int depth) {
  to_do_ = requests;
  depth_ = depth;
  host_->process().run_soon([this] { pump(); });
}

void Client::pump() {
  while (to_do_ > 0 && in_flight_ < depth_) {
    --to_do_;
    ++in_flight_;
    const auto free = std::ranges::find(slots_, false, [](const auto& slot) { return slot->busy; });
    Slot& slot = free != slots_.end() ? **free : *slots_.emplace_back(std::make_unique<Slot>());
    slot.client = this;
    slot.busy = true;
    choose(slot);
    slot.request.on_complete(&Client::answered, &slot);
    device_->submit(slot.request);
  }
}

void Client::choose(Slot& slot) {
  blockdev::Request& request = slot.request;
  const std::uint64_t roll = random_.below(100);
  request.op = roll < 68   ? Op::write
               : roll < 78 ? Op::write_zeroes
               : roll < 86 ? Op::discard
                           : Op::flush;
  request.flags = {};
  request.offset = request.length = 0;
  request.data = nullptr;
  std::uint64_t stamp = 0;
  if (request.op != Op::flush) {
    choose_range(slot);
    request.flags.fua = random_.percent(15);
  }
  if (request.op == Op::write) {
    stamp = ++stamp_;
    slot.buffer.resize(request.length);
    for (std::uint64_t at = request.offset; at < request.offset + request.length;) {
      const std::uint64_t cell = cells_.cell_at(at);
      const std::uint64_t bytes = cells_.bytes_of(cell);
      cells_.fill(cell, stamp, std::span(slot.buffer).subspan(at - request.offset, bytes));
      at += bytes;
    }
    request.data = slot.buffer.data();
  }
  slot.index = recorder_.log->client_submitted({.op = request.op,
                                                .fua = request.flags.fua,
                                                .offset = request.offset,
                                                .length = request.length,
                                                .stamp = stamp});
}

void Client::choose_range(Slot& slot) {
  blockdev::Request& request = slot.request;
  const std::uint64_t kind = random_.below(100);
  if (kind < 6) {  // parts of a sector
    request.offset = cells_.fine_from() + random_.below(256) * sim::fine_cell_bytes;
    request.length = random_.between(1, 128) * sim::fine_cell_bytes;
    return;
  }
  const std::uint64_t regions = (volume_bytes - 1) / blockdev::region_bytes + 1;
  const std::uint64_t region = random_.zipf(regions);
  if (kind < 10 && region > 0) {  // across the border of two regions, and cut into pieces perhaps
    request.length = random_.between(16, 512) * sector_bytes;
    request.offset = region * blockdev::region_bytes - random_.between(1, 15) * sector_bytes;
    return;
  }
  request.offset = region * blockdev::region_bytes + random_.below(places_in_region) * place_bytes;
  if (kind < 60) {
    request.length = random_.between(1, 4) * 4096;
    request.offset += random_.below(3) * 4096;
  } else {
    request.length = random_.between(1, 24) * sector_bytes;
    request.offset += random_.below(16) * sector_bytes;
  }
}

void Client::answered(Operation& operation) {
  Slot& slot = *static_cast<Slot*>(operation.context());
  Client& client = *slot.client;
  const bool done = slot.request.error == IoError::none;
  client.recorder_.log->client_answered(slot.index, done);
  if (!done) ++client.failed_;
  slot.busy = false;
  --client.in_flight_;
  if (client.to_do_ > 0) client.host_->process().run_soon([&client] { client.pump(); });
}

}  // namespace baton::crash
