#include "tests/simulation/sim_disk.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "tests/simulation/disk_request.h"

namespace baton::sim {

using blockdev::Op;
using blockdev::Request;

class SimDisk::Handle final : public blockdev::BlockDevice {
 public:
  explicit Handle(SimDisk& disk) : disk_(&disk) { disk.slowest_ = {}; }
  ~Handle() override {
    if (disk_ == nullptr) return;  // its process was killed
    if (!disk_->in_flight_.empty()) {
      disk_->world_.violated("contract of BlockDevice",
                             disk_->name() + " was closed with requests in flight");
      disk_->in_flight_.clear();
    }
    disk_->handle_ = nullptr;
    disk_->process_ = nullptr;
  }
  const blockdev::Limits& limits() const override { return disk_->limits_; }
  void submit(Request& request) override { disk_->submit(*this, request); }
  std::string name() const override { return disk_ != nullptr ? disk_->name() : "killed"; }
  void forget() { disk_ = nullptr; }

 private:
  SimDisk* disk_;
};

SimDisk::SimDisk(World& world, int node, std::uint64_t number, std::uint64_t size, DiskModel model)
    : world_(world),
      node_(node),
      number_(number),
      model_(model),
      random_(world.stream("disk", static_cast<std::uint64_t>(node) * 64 + number)),
      visible_(size),
      durable_(size) {
  limits_.size = size;
  limits_.discard = model.discard;
  limits_.discard_zeroes = model.discard && model.discard_zeroes;
}

SimDisk::~SimDisk() {
  if (handle_ != nullptr) handle_->forget();
}

std::string SimDisk::name() const {
  if (number_ > 32) return node_name(node_) + ":undo" + std::to_string((number_ - 33) / 2);
  return node_name(node_) + (number_ % 2 == 0 ? ":disk" : ":meta") + std::to_string(number_ / 2);
}

Result<std::unique_ptr<blockdev::BlockDevice>> SimDisk::open(Process& process) {
  if (handle_ != nullptr) return failure(name() + " is in use by another process");
  auto handle = std::make_unique<Handle>(*this);
  handle_ = handle.get();
  process_ = &process;
  return handle;
}

Duration SimDisk::latency() {
  if (random_.permille(model_.slow_permille)) {
    return random_.duration(model_.latency_max, std::max(model_.latency_max, model_.slow_max));
  }
  return random_.duration(model_.latency_min, model_.latency_max);
}

void SimDisk::submit(Handle& handle, Request& request) {
  BATON_ASSERT(&handle == handle_, "one open handle at a time");
  request.error = IoError::none;
  request.reason = nullptr;
  if (request.op != Op::flush && request.offset + request.length > limits_.size) {
    world_.violated("contract of BlockDevice", name() + " was asked past its end");
    return;
  }
  const bool modifies = request.op != Op::flush && request.op != Op::read &&
                        request.op != Op::block_status && request.op != Op::prefetch;
  if (modifies && watch_ != nullptr) watch_->submitted(*this, request.offset, request.length);
  in_flight_.emplace_back(*this);
  InFlight& io = in_flight_.back();
  io.self = std::prev(in_flight_.end());
  io.request = &request;
  io.flush_mark = sequence_;
  io.submitted = world_.now();
  if (request.op == Op::write) io.data.assign(request.data, request.data + request.length);
  world_.trace().note(Event::disk_submit, node_,
                      (number_ << 8U) | static_cast<std::uint64_t>(request.op), request.offset,
                      request.length);
  world_.arm_after(io, latency());
}

// The medium has done its part; the process hears of it in its next turn.
void SimDisk::land(Timer& timer) {
  auto& io = *static_cast<InFlight*>(timer.context());
  SimDisk& disk = io.disk;
  io.stuck = disk.hung_;
  if (io.stuck) return;
  disk.carry_out(io);
  io.landed = true;
  disk.process_->loop().post(io);
}

void SimDisk::deliver(Runnable& runnable) {
  auto& io = static_cast<InFlight&>(runnable);
  SimDisk& disk = io.disk;
  Request& request = *io.request;
  disk.world_.trace().note(
      Event::disk_done, disk.node_, (disk.number_ << 8U) | static_cast<std::uint64_t>(request.op),
      request.offset, request.length | (static_cast<std::uint64_t>(request.error) << 32U));
  disk.slowest_ = std::max(disk.slowest_, disk.world_.now() - io.submitted);
  disk.in_flight_.erase(io.self);
  request.complete();
}

bool SimDisk::idle_or_given_up(Duration patience) const {
  const TimePoint now = world_.now();
  return idle() || slowest_ >= patience || std::ranges::any_of(in_flight_, [&](const InFlight& io) {
           return now - io.submitted >= patience;
         });
}

bool SimDisk::owes_since(TimePoint then) const {
  return std::ranges::any_of(in_flight_,
                             [then](const InFlight& io) { return io.submitted <= then; });
}

IoError SimDisk::failure_of(const Request& request) {
  if (dead_) return IoError::io;
  const bool modifies =
      request.op == Op::write || request.op == Op::write_zeroes || request.op == Op::discard;
  for (auto fault = faults_.begin(); fault != faults_.end(); ++fault) {
    if (fault->op != request.op && !(modifies && fault->op == Op::write)) continue;
    const bool apart =
        request.op != Op::flush &&
        (request.offset + request.length <= fault->offset ||
         (request.offset >= fault->offset && request.offset - fault->offset >= fault->length));
    if (apart) continue;
    if (fault->guarded && (watch_ == nullptr || !watch_->may_fail(*this))) continue;
    // A disk that has begun to fail goes on; a flush asks again, since roles may have changed.
    if (request.op != Op::flush) fault->guarded = false;
    const IoError error = fault->error;
    if (fault->count != UINT64_MAX) --fault->count;
    if (fault->count == 0) faults_.erase(fault);
    return error;
  }
  return IoError::none;
}

void SimDisk::mend() {
  dead_ = hung_ = false;
  faults_.clear();
  lies_.clear();
  for (InFlight& io : in_flight_) {
    if (std::exchange(io.stuck, false)) world_.arm_after(io, latency());
  }
}

void SimDisk::carry_out(InFlight& io) {
  Request& request = *io.request;
  const bool modifies =
      request.op == Op::write || request.op == Op::write_zeroes || request.op == Op::discard;
  if (request.op == Op::write && request.length > 0 &&
      std::memcmp(io.data.data(), request.data, request.length) != 0) {
    world_.violated("contract of BlockDevice", name() + ": a buffer changed during its write");
  }
  request.error = failure_of(request);
  if (request.error != IoError::none) {
    unreadable_once_ |= request.op == Op::read;
    if (modifies) apply_some_sectors(io);
    if (request.op == Op::flush && random_.percent(50)) {
      // Linux marks the pages clean all the same: they will never reach the medium (quality.md B1,
      // ATC'20), while reads go on seeing them.
      std::erase_if(unflushed_, [&](const Unflushed& write) {
        return write.sequence <= io.flush_mark && random_.percent(50);
      });
    }
    if (watch_ != nullptr) watch_->failed(*this, request.op);
    return;
  }
  if (modifies && lied(io)) return;
  switch (request.op) {
    case Op::read:
      visible_.read(request.offset, {request.data, request.length});
      break;
    case Op::write:
      apply(request.offset, request.length, io.data.data(), request.flags.fua);
      break;
    case Op::write_zeroes:
      apply(request.offset, request.length, nullptr, request.flags.fua);
      break;
    case Op::discard:
      if (limits_.discard_zeroes) {
        apply(request.offset, request.length, nullptr, request.flags.fua);
      } else {
        discard_some(request.offset, request.length);
      }
      break;
    case Op::flush:
      flush_up_to(io.flush_mark);
      break;
    case Op::block_status:
      fill_extents(request);
      break;
    case Op::sync_status:  // there is one copy on a disk
    case Op::prefetch:
      break;
  }
}

// `data` null: zeroes.
void SimDisk::apply(std::uint64_t offset, std::uint64_t length, const std::byte* data, bool fua) {
  if (length == 0) return;
  if (data != nullptr) {
    visible_.write(offset, {data, length});
  } else {
    visible_.zero(offset, length);
  }
  const std::uint64_t first = offset / sector_bytes * sector_bytes;
  const std::uint64_t end =
      std::min((offset + length + sector_bytes - 1) / sector_bytes * sector_bytes, limits_.size);
  ++sequence_;
  if (watch_ != nullptr) watch_->stored(*this, offset, length);
  if (fua) return make_durable_over_older(first, end - first);
  Unflushed& write = unflushed_.emplace_back(sequence_, first, end - first);
  if (data != nullptr || first != offset || end != offset + length) {
    write.data.resize(end - first);
    visible_.read(first, write.data);
  }
}

// FUA overtakes older writes of the same sectors: those must not come back over it later, so they
// are given its content.
void SimDisk::make_durable_over_older(std::uint64_t offset, std::uint64_t length) {
  std::vector<std::byte> content(length);
  visible_.read(offset, content);
  durable_.write(offset, content);
  for (Unflushed& write : unflushed_) {
    const std::uint64_t first = std::max(offset, write.offset);
    const std::uint64_t end = std::min(offset + length, write.offset + write.length);
    if (first >= end) continue;
    if (write.data.empty()) write.data.resize(write.length);
    std::memcpy(write.data.data() + (first - write.offset), content.data() + (first - offset),
                end - first);
  }
}

// A write that failed or whose process died: each sector is old or new.
void SimDisk::apply_some_sectors(const InFlight& io) {
  const Request& request = *io.request;
  const bool all = random_.percent(50);
  std::uint64_t at = request.offset;
  const std::uint64_t end = request.offset + request.length;
  while (at < end) {
    const std::uint64_t next = std::min((at / sector_bytes + 1) * sector_bytes, end);
    if (all || random_.percent(50)) {
      const bool zero = request.op != Op::write;
      apply(at, next - at, zero ? nullptr : io.data.data() + (at - request.offset), false);
    }
    at = next;
  }
}

void SimDisk::discard_some(std::uint64_t offset, std::uint64_t length) {
  std::uint64_t at = offset;
  while (at < offset + length) {
    const std::uint64_t next =
        std::min((at / image_block_bytes + 1) * image_block_bytes, offset + length);
    if (next - at == image_block_bytes && random_.percent(50)) apply(at, next - at, nullptr, false);
    at = next;
  }
}

void SimDisk::store(SparseImage& image, const Unflushed& write, std::uint64_t offset,
                    std::uint64_t length) const {
  if (write.data.empty()) {
    image.zero(offset, length);
  } else {
    image.write(offset, {write.data.data() + (offset - write.offset), length});
  }
}

void SimDisk::flush_up_to(std::uint64_t sequence) {
  while (!unflushed_.empty() && unflushed_.front().sequence <= sequence) {
    const Unflushed& write = unflushed_.front();
    store(durable_, write, write.offset, write.length);
    unflushed_.pop_front();
  }
}

void SimDisk::fill_extents(const Request& request) const {
  request.extents->clear();
  std::uint64_t at = request.offset;
  const std::uint64_t end = request.offset + request.length;
  while (at < end) {
    const std::uint64_t next = std::min((at / image_block_bytes + 1) * image_block_bytes, end);
    const bool hole = visible_.hole(at / image_block_bytes);
    if (!request.extents->empty() && request.extents->back().hole == hole) {
      request.extents->back().length += next - at;
    } else {
      request.extents->push_back({next - at, hole, hole});
    }
    at = next;
  }
}

void SimDisk::process_killed() {
  for (InFlight& io : in_flight_) {
    const Op op = io.request->op;
    if (!io.landed && (op == Op::write || op == Op::write_zeroes || op == Op::discard) &&
        random_.percent(70)) {
      apply_some_sectors(io);
    }
  }
  in_flight_.clear();
  if (handle_ != nullptr) handle_->forget();
  handle_ = nullptr;
  process_ = nullptr;
}

void SimDisk::power_cut(PowerLoss how) {
  BATON_ASSERT(in_flight_.empty(), "the process dies with the power, before the cache does");
  const std::uint64_t kept_percent = how == PowerLoss::keep   ? 100
                                     : how == PowerLoss::lose ? 0
                                                              : random_.between(1, 9) * 10;
  const std::deque<Unflushed> cache = std::exchange(unflushed_, {});
  std::vector<std::uint64_t> shredded;
  for (const Unflushed& write : cache) {
    for (std::uint64_t at = 0; at < write.length; at += sector_bytes) {
      const std::uint64_t bytes = std::min(sector_bytes, write.length - at);
      if (random_.percent(kept_percent)) {
        store(durable_, write, write.offset + at, bytes);
      } else if (how == PowerLoss::shred && random_.percent(50)) {
        std::vector<std::byte> next(bytes);
        if (!write.data.empty()) std::memcpy(next.data(), write.data.data() + at, bytes);
        shred(write.offset + at, next);
        shredded.push_back(write.offset + at);
      } else {
        world_.trace().note(Event::disk_lost, node_, number_, (write.offset + at) / sector_bytes,
                            write.sequence);
      }
    }
  }
  visible_.copy_from(durable_);
  if (watch_ == nullptr) return;
  for (const std::uint64_t at : shredded) {
    watch_->damaged(*this, at, std::min(sector_bytes, limits_.size - at));
  }
}

// As process_killed() and power_cut() would leave it.
SparseImage SimDisk::after_crash(std::optional<PowerLoss> power, Prng& random) const {
  const std::uint64_t kept_percent = !power || *power == PowerLoss::keep ? 100
                                     : *power == PowerLoss::lose         ? 0
                                                                 : random.between(1, 9) * 10;
  // What a failed flush has dropped reads still see.
  SparseImage image = power ? durable_ : visible_;
  const auto each_sector = [](std::uint64_t offset, std::uint64_t length, auto&& sector) {
    for (std::uint64_t at = offset; at < offset + length;) {
      const std::uint64_t next = std::min((at / sector_bytes + 1) * sector_bytes, offset + length);
      sector(at, next - at);
      at = next;
    }
  };
  for (const Unflushed& write : unflushed_) {
    if (!power || kept_percent == 0) break;
    each_sector(write.offset, write.length, [&](std::uint64_t at, std::uint64_t bytes) {
      if (random.percent(kept_percent)) store(image, write, at, bytes);
    });
  }
  for (const InFlight& io : in_flight_) {
    const Request& request = *io.request;
    const bool writes = request.op == Op::write || request.op == Op::write_zeroes;
    if (io.landed || !writes || random.percent(30)) continue;
    const bool all = random.percent(50);
    each_sector(request.offset, request.length, [&](std::uint64_t at, std::uint64_t bytes) {
      if ((!all && random.percent(50)) || !random.percent(kept_percent)) return;
      if (request.op == Op::write) {
        image.write(at, {io.data.data() + (at - request.offset), bytes});
      } else {
        image.zero(at, bytes);
      }
    });
  }
  return image;
}

}  // namespace baton::sim
