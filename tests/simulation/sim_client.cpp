#include "tests/simulation/sim_client.h"

#include <fmt/format.h>

#include <algorithm>

namespace baton::sim {

using blockdev::Op;
using blockdev::Request;

struct SimClient::Slot {
  Request request;
  std::vector<std::byte> buffer;
  std::uint64_t number = 0;  // of the write, or when the read or flush was invoked
  std::uint64_t invoked = 0;
  TimePoint submitted_at;
  bool busy = false;
};

SimClient::SimClient(World& world, Node& node, Oracle& oracle, Witness& witness,
                     std::uint32_t volume, std::uint64_t number, Door door)
    : world_(world),
      node_(node),
      oracle_(oracle),
      witness_(witness),
      volume_(volume),
      number_(number),
      door_(door),
      timer_([](Timer& timer) { static_cast<SimClient*>(timer.context())->wake(); }, this) {
  node.attach(*this);
}

SimClient::~SimClient() = default;

void SimClient::run(const Burst& burst) {
  bursts_.push_back({burst, world_.stream("burst", mix(burst.stream) + number_)});
  wake();
}

void SimClient::stop() {
  bursts_.clear();
}

void SimClient::disconnect() {
  stop();
  closing_ = true;
  wake();
}

// Everything a client does happens in a turn of the daemon it talks to.
void SimClient::wake() {
  if (node_.running()) return node_.process().run_soon([this] { pump(); });
  bursts_.clear();  // nobody listens
}

bool SimClient::connect() {
  if (device_) return true;
  if (!node_.up()) return false;
  if (door_ == Door::nbd) {
    constexpr std::uint64_t connections_of_one = 1'000'000;
    NbdClient::Owner& owner = *this;
    auto connection = std::make_unique<NbdClient>(
        world_, node_, volume_, number_ * connections_of_one + ++connections_, owner);
    nbd_ = connection.get();
    device_ = std::move(connection);
    return true;
  }
  auto opened =
      node_.resource().open(volume_, replication::ClientInfo{fmt::format("client {}", number_)});
  if (!opened) {
    world_.trace().say(node_.number(), "open: " + opened.error().message);
    return false;
  }
  device_ = std::move(*opened);
  return true;
}

void SimClient::hang_up() {
  if (in_flight_ > 0) return;
  if (nbd_ != nullptr) return nbd_->disconnect();  // connection_ended() follows
  device_.reset();
  acknowledged_.clear();
  closing_ = false;
}

void SimClient::pump() {
  if (closing_) return hang_up();
  while (!bursts_.empty()) {
    Running& running = bursts_.front();
    if (running.burst.requests == 0) {
      bursts_.pop_front();
      continue;
    }
    if (in_flight_ >= running.burst.depth) return;
    if (!connect()) {
      bursts_.clear();
      return;
    }
    if (nbd_ != nullptr && !nbd_->serves()) return;  // goes on when the server has answered
    auto free = std::ranges::find_if(slots_, [](const auto& slot) { return !slot->busy; });
    Slot& slot = free != slots_.end() ? **free : *slots_.emplace_back(std::make_unique<Slot>());
    --running.burst.requests;
    choose(slot, running.burst);
    start(slot);
  }
}

void SimClient::choose(Slot& slot, const Burst& burst) {
  Prng& random = bursts_.front().random;
  std::uint64_t roll = random.below(100);
  const auto takes = [&roll](std::uint64_t share) {
    const bool taken = roll < share;
    roll -= taken ? 0 : share;
    return taken;
  };
  slot.request.flags = {};
  slot.request.op = takes(burst.reads)      ? Op::read
                    : takes(burst.flushes)  ? Op::flush
                    : takes(burst.discards) ? Op::discard
                    : takes(burst.zeroes)   ? Op::write_zeroes
                                            : Op::write;
  choose_place(slot, burst);
  if (slot.request.op != Op::read && slot.request.op != Op::flush) {
    slot.request.flags.fua = random.percent(burst.fua);
  }
  if (slot.request.op == Op::write_zeroes) slot.request.flags.no_hole = random.percent(30);
}

// Places are blocks spread over the volume, the favourites first; lengths are mostly short.
void SimClient::choose_place(Slot& slot, const Burst& burst) {
  Prng& random = bursts_.front().random;
  Request& request = slot.request;
  request.offset = request.length = 0;
  if (request.op == Op::flush) return;
  if (burst.at) {
    request.offset = *burst.at;
    request.length = burst.max_bytes;
    return;
  }
  const Cells& cells = oracle_.cells(volume_);
  if (random.percent(10)) {  // bytes of any alignment
    const std::uint64_t first = random.below(fine_zone_bytes / fine_cell_bytes);
    const std::uint64_t most = fine_zone_bytes / fine_cell_bytes - first;
    request.offset = cells.fine_from() + first * fine_cell_bytes;
    request.length = random.between(1, std::min<std::uint64_t>(most, 80)) * fine_cell_bytes;
    return;
  }
  constexpr std::uint64_t block = 4096;
  const std::uint64_t blocks = cells.fine_from() / block;
  const std::uint64_t place = mix(random.zipf(burst.hot_blocks) + 77) % blocks;
  const std::uint64_t inside = random.percent(60) ? 0 : random.below(block / sector_bytes);
  request.offset = place * block + inside * sector_bytes;
  const std::uint64_t most = std::min(cells.fine_from() - request.offset, burst.max_bytes);
  const std::uint64_t long_sectors = std::max<std::uint64_t>(128, burst.max_bytes / sector_bytes);
  const std::uint64_t wanted = random.percent(50) ? block
                               : random.percent(50)
                                   ? sector_bytes * random.between(1, 16)
                                   : sector_bytes * random.between(1, long_sectors);
  request.length = std::max(sector_bytes, std::min(wanted, most) / sector_bytes * sector_bytes);
}

// Whose history a write becomes part of: that of the holder that serves this node.
int SimClient::writer() const {
  const auto& status = node_.status();
  const bool served = status.role == replication::Role::primary && !status.baton_holder.empty();
  return served ? status.baton_holder[0] - 'A' : node_.number();
}

void SimClient::start(Slot& slot) {
  Request& request = slot.request;
  const Cells& cells = oracle_.cells(volume_);
  const bool zero = request.op == Op::write_zeroes || request.op == Op::discard;
  slot.buffer.resize(request.length);
  request.data = slot.buffer.data();
  if (request.op == Op::write || zero) {
    slot.number = oracle_.invoke_write(writer(), volume_, request.offset, request.length, zero,
                                       request.flags.fua);
    slot.invoked = oracle_.now();
  } else {
    slot.number = slot.invoked =
        request.op == Op::read ? oracle_.invoke_read() : oracle_.invoke_flush();
  }
  if (request.op == Op::write) {
    for (std::uint64_t done = 0; done < request.length;) {
      const std::uint64_t cell = cells.cell_at(request.offset + done);
      const std::uint64_t bytes = cells.bytes_of(cell);
      cells.fill(cell, slot.number, std::span(slot.buffer).subspan(done, bytes));
      done += bytes;
    }
  } else {
    // What a read leaves untouched is noticed.
    std::ranges::fill(slot.buffer, std::byte{0xee});
  }
  slot.busy = true;
  slot.submitted_at = world_.now();
  ++in_flight_;
  ++counters_.submitted;
  world_.trace().note(Event::client_submit, node_.number(),
                      (number_ << 8U) | static_cast<std::uint64_t>(request.op), request.offset,
                      request.length | (slot.number << 32U));
  request.on_complete(
      [](Operation& operation) {
        auto* self = static_cast<SimClient*>(operation.context());
        const auto found = std::ranges::find_if(
            self->slots_, [&](const auto& each) { return &each->request == &operation; });
        self->completed(**found);
      },
      this);
  device_->submit(request);
}

void SimClient::completed(Slot& slot) {
  world_.trace().note(Event::client_done, node_.number(),
                      (number_ << 8U) | static_cast<std::uint64_t>(slot.request.op), slot.number,
                      static_cast<std::uint64_t>(slot.request.error));
  settle(slot);
  slot.busy = false;
  --in_flight_;
  if (bursts_.empty() && !closing_) return;
  Duration think{};
  if (!bursts_.empty()) {
    Running& running = bursts_.front();
    think = running.random.duration({}, running.burst.think_max);
  }
  if (think.count() == 0) return wake();
  if (!timer_.armed()) world_.arm_after(timer_, think);
}

// Tells the oracle what the answer says.
void SimClient::settle(Slot& slot) {
  const Request& request = slot.request;
  const NodeSet copies = witness_.up_to_date_copies(node_.number(), volume_);
  const bool ok = request.error == IoError::none;
  ++(ok ? counters_.done : counters_.failed);
  switch (request.op) {
    case Op::read: {
      if (!ok) return oracle_.read_abandoned(slot.number);
      const auto finding = oracle_.read_done(witness_.whose_history(node_.number()), volume_,
                                             slot.number, request.offset, slot.buffer, copies);
      if (finding) world_.violated(finding->rule, "read: " + finding->what);
      return;
    }
    case Op::flush:
      if (!ok) return;
      if (node_.status().role == replication::Role::primary) {
        oracle_.flush_done(volume_, slot.number, copies);
      } else {
        oracle_.own_flush_done(acknowledged_, slot.number);
      }
      return;
    default:
      break;
  }
  // Settled, not known: a discard may leave zeroes or what was there before.
  const bool unknown = ok ? request.op == Op::discard && !device_->limits().discard_zeroes
                          : request.error == IoError::io || request.error == IoError::no_space;
  if (unknown) {
    if (ok || !holder_may_still_write()) oracle_.write_unknown(slot.number);
  } else if (ok) {
    oracle_.write_done(slot.number,
                       copies != 0 ? copies : witness_.others_with(node_.number(), slot.number),
                       witness_.whose_history(node_.number()));
    const auto disk = node_.fresh_status().devices[volume_].disk_state;
    if (disk <= replication::DiskState::failed) {
      oracle_.written_without_disk(slot.number, node_.number());
    }
    witness_.write_acknowledged(node_.number(), slot.invoked);
    acknowledged_.push_back(slot.number);
  } else {
    --counters_.failed;
    ++counters_.refused;
    oracle_.write_refused(slot.number);
  }
}

// What the holder was asked to write it may write until it notices that nobody is there any more:
// after this node has answered with an error, too, when the holder was stopped for so long.
bool SimClient::holder_may_still_write() const {
  const auto& status = node_.status();
  return status.role == replication::Role::primary && status.baton_holder != node_.name();
}

// No answer comes any more to what is in flight.
void SimClient::abandon() {
  const bool served = holder_may_still_write();
  for (auto& slot : slots_) {
    if (!slot->busy) continue;
    ++counters_.unanswered;
    switch (slot->request.op) {
      case Op::read:
        oracle_.read_abandoned(slot->number);
        break;
      case Op::write:
      case Op::write_zeroes:
      case Op::discard:
        if (!served) oracle_.write_unknown(slot->number);
        break;
      default:
        break;
    }
  }
}

void SimClient::process_is_dying() {
  abandon();
  bursts_.clear();
  timer_.cancel();
}

void SimClient::process_is_gone() {
  for (auto& slot : slots_) slot->busy = false;
  in_flight_ = 0;
  closing_ = false;
  nbd_ = nullptr;
  device_.reset();
  acknowledged_.clear();
}

// --- over NBD ---

void SimClient::drop_connection() {
  if (nbd_ != nullptr) nbd_->break_soon();
}

void SimClient::connection_answered() {
  if (!nbd_->serves()) bursts_.clear();
  wake();
}

void SimClient::connection_ended() {
  abandon();
  for (auto& slot : slots_) slot->busy = false;
  in_flight_ = 0;
  node_.process().run_soon([this] {
    nbd_ = nullptr;
    device_.reset();
    acknowledged_.clear();
    closing_ = false;
    pump();
  });
}

TimePoint SimClient::oldest_in_flight() const {
  TimePoint oldest = TimePoint::never();
  for (const auto& slot : slots_) {
    if (slot->busy) oldest = std::min(oldest, slot->submitted_at);
  }
  return oldest;
}

std::string SimClient::describe_oldest() const {
  const TimePoint oldest = oldest_in_flight();
  for (const auto& slot : slots_) {
    if (slot->busy && slot->submitted_at == oldest) {
      return fmt::format("client {} on node {}: {} {}+{}", number_, node_.name(),
                         blockdev::name_of(slot->request.op), slot->request.offset,
                         slot->request.length);
    }
  }
  return "nothing";
}

}  // namespace baton::sim
