#include "tests/simulation/connection.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace baton::sim {
namespace {

// Between a reset and the moment in which a reader hears of it.
constexpr Duration hears_late = std::chrono::milliseconds(2);

}  // namespace

Connection::Connection(SimNet& net, std::uint64_t number, Process& a, int b)
    : net_(net),
      number_(number),
      timers_{Timer(&Connection::arrive, this), Timer(&Connection::arrive, this)},
      hears_timers_{Timer(&Connection::hear_of_the_end, this),
                    Timer(&Connection::hear_of_the_end, this)} {
  ends_[0].node = a.node();
  ends_[1].node = b;
  for (int end = 0; end < 2; ++end) {
    Delivery& reading = reads_[static_cast<std::size_t>(end)];
    Delivery& writing = writes_[static_cast<std::size_t>(end)];
    reading.connection = writing.connection = this;
    reading.end = writing.end = end;
    reading.reading = true;
  }
}

Connection::~Connection() {
  for (End& end : ends_) {
    if (end.stream != nullptr) end.stream->forget();
  }
}

std::unique_ptr<SimStream> Connection::make_stream(int end, Process& process) {
  auto stream = std::make_unique<SimStream>(*this, end);
  at(end).stream = stream.get();
  at(end).process = &process;
  return stream;
}

SimStream::~SimStream() {
  if (connection_ == nullptr) return;
  connection_->close(end_);
  End& end = connection_->at(end_);
  // Whoever destroys a stream has thrown away the frames that waited on it.
  end.read = nullptr;
  end.write = nullptr;
  end.stream = nullptr;
}

void SimStream::close() {
  if (connection_ != nullptr) connection_->close(end_);
}

std::string SimStream::peer_name() const {
  if (connection_ == nullptr) return "nobody";
  return node_name(connection_->node(1 - end_)) + " (link " +
         std::to_string(connection_->number()) + ")";
}

// --- what a process asks for ---

void Connection::read(int end, ReadOperation& operation) {
  BATON_ASSERT(at(end).read == nullptr, "one read at a time");
  BATON_ASSERT(!operation.buffer.empty(), "a read has room for at least one byte");
  operation.transferred = 0;
  operation.error = StreamError::none;
  at(end).read = &operation;
  try_read(end);
}

void Connection::write(int end, WriteOperation& operation) {
  BATON_ASSERT(at(end).write == nullptr, "one write at a time");
  operation.error = StreamError::none;
  at(end).write = &operation;
  at(end).written = 0;
  if (at(end).closed) return complete_write(end, StreamError::closed);
  if (at(end).broken) return complete_write(end, StreamError::broken);
  send_some(end);
}

void Connection::close(int end) {
  if (at(end).closed) return;
  at(end).closed = true;
  if (at(end).read != nullptr) complete_read(end, StreamError::closed);
  if (at(end).write != nullptr) complete_write(end, StreamError::closed);
  if (!at(end).broken) send_end(end, towards(end).unread_bytes() > 0);
}

// --- sending ---

// What is sent to a host without power waits as on a path that is down: TCP repeats it until the
// host is up again and answers with a reset.
bool Connection::carries(int end) const {
  const int to = ends_[static_cast<std::size_t>(1 - end)].node;
  return net_.hosts_[static_cast<std::size_t>(to)].powered &&
         net_.carries(ends_[static_cast<std::size_t>(end)].node, to);
}

// Takes what there is room for in the buffers of this direction; returns how much that was.
std::size_t Connection::enqueue(int end, const std::byte* data, std::size_t length) {
  Pipe& pipe = from(end);
  std::size_t taken = 0;
  while (taken < length) {
    const std::size_t used = pipe.bytes_on_the_way + pipe.unread_bytes();
    if (used >= net_.model_.buffer_bytes) break;
    const std::size_t bytes =
        std::min({length - taken, net_.model_.buffer_bytes - used,
                  static_cast<std::size_t>(net_.random_.between(1, net_.model_.segment_max))});
    const TimePoint behind = pipe.on_the_way.empty() ? TimePoint{} : pipe.on_the_way.back().arrives;
    const TimePoint arrives = net_.arrival(at(end).node, at(1 - end).node, bytes, behind);
    pipe.on_the_way.push_back({arrives, {data + taken, data + taken + bytes}});
    pipe.bytes_on_the_way += bytes;
    taken += bytes;
  }
  return taken;
}

// Goes on with the write in progress.
void Connection::send_some(int end) {
  WriteOperation& operation = *at(end).write;
  std::size_t before = 0;  // bytes of the pieces before this one
  std::size_t taken = 0;
  for (const iovec& piece : operation.buffers) {
    const std::size_t done = at(end).written;
    if (done < before + piece.iov_len) {
      const std::size_t inside = done - before;
      const auto* data = static_cast<const std::byte*>(piece.iov_base) + inside;
      const std::size_t more = enqueue(end, data, piece.iov_len - inside);
      at(end).written += more;
      taken += more;
      if (inside + more < piece.iov_len) break;  // full
    }
    before += piece.iov_len;
  }
  if (taken > 0) {
    net_.world_.trace().note(Event::net_send, at(end).node, number_, taken,
                             from(end).bytes_on_the_way);
    arm(end);
  }
  std::size_t total = 0;
  for (const iovec& piece : operation.buffers) total += piece.iov_len;
  if (at(end).written == total) complete_write(end, StreamError::none);
}

void Connection::send_end(int end, bool reset) {
  Pipe& pipe = from(end);
  TimePoint arrives = net_.world_.now() + net_.delay();
  if (reset) {
    // A reset does not queue behind data.
    pipe.on_the_way.clear();
    pipe.bytes_on_the_way = 0;
  } else if (!pipe.on_the_way.empty()) {
    arrives = std::max(arrives, pipe.on_the_way.back().arrives);
  }
  pipe.on_the_way.push_back({arrives, {}, !reset, reset});
  arm(end);
}

// --- arriving ---

void Connection::arm(int end) {
  Pipe& pipe = from(end);
  Timer& timer = timers_[static_cast<std::size_t>(end)];
  if (pipe.on_the_way.empty() || !carries(end)) return timer.cancel();
  net_.world_.arm(timer, std::max(pipe.on_the_way.front().arrives, net_.world_.now()));
}

void Connection::arrive(Timer& timer) {
  auto& connection = *static_cast<Connection*>(timer.context());
  connection.arrive_at(&timer == connection.timers_.data() ? 1 : 0);
}

// Everything due arrives at `end`.
void Connection::arrive_at(int end) {
  Pipe& pipe = towards(end);
  while (!pipe.on_the_way.empty() && pipe.on_the_way.front().arrives <= net_.world_.now()) {
    Pipe::Segment segment = std::move(pipe.on_the_way.front());
    pipe.on_the_way.pop_front();
    pipe.bytes_on_the_way -= segment.bytes.size();
    receive(end, segment);
  }
  arm(1 - end);
}

void Connection::receive(int end, Pipe::Segment& segment) {
  Pipe& pipe = towards(end);
  End& here = at(end);
  if (segment.reset) {
    net_.world_.trace().note(Event::net_end, here.node, number_, 1, 0);
    return break_end(end);
  }
  if (here.closed || here.broken || here.process == nullptr) {
    // Nobody is there any more: the kernel answers data with a reset.
    if (!segment.bytes.empty() && !at(1 - end).broken) send_end(end, true);
    return;
  }
  if (segment.fin) {
    net_.world_.trace().note(Event::net_end, here.node, number_, 0, 0);
    pipe.ended = true;
  }
  pipe.unread.insert(pipe.unread.end(), segment.bytes.begin(), segment.bytes.end());
  if (!segment.bytes.empty()) {
    net_.world_.trace().note(Event::net_arrive, here.node, number_, segment.bytes.size(),
                             pipe.unread_bytes());
  }
  if (here.read != nullptr) try_read(end);
}

void Connection::try_read(int end) {
  End& here = at(end);
  Pipe& pipe = towards(end);
  if (reads_[static_cast<std::size_t>(end)].queued()) return;  // done, not yet delivered
  if (here.closed) return complete_read(end, StreamError::closed);
  if (pipe.unread_bytes() == 0 && here.broken) {
    if (net_.world_.now() >= here.hears_at) return complete_read(end, StreamError::broken);
    return net_.world_.arm(hears_timers_[static_cast<std::size_t>(end)], here.hears_at);
  }
  if (pipe.unread_bytes() == 0) {
    if (pipe.ended) complete_read(end, StreamError::end_of_stream);
    return;
  }
  ReadOperation& read = *here.read;
  for (std::span<std::byte> room : {read.buffer, read.second_buffer}) {
    const std::size_t bytes = std::min(room.size(), pipe.unread_bytes());
    if (bytes == 0) break;
    std::memcpy(room.data(), pipe.unread.data() + pipe.unread_from, bytes);
    pipe.unread_from += bytes;
    read.transferred += bytes;
  }
  if (pipe.unread_bytes() == 0) {
    pipe.unread.clear();
    pipe.unread_from = 0;
  }
  complete_read(end, StreamError::none);
  // Room has come up for a writer that was held back.
  if (at(1 - end).write != nullptr && !writes_[static_cast<std::size_t>(1 - end)].queued()) {
    send_some(1 - end);
  }
}

// As Linux does: writes fail at once; what has arrived can still be read, and whoever reads hears
// of the end behind it, which may be some turns later.
void Connection::break_end(int end) {
  End& here = at(end);
  if (here.broken) return;
  here.broken = true;
  here.hears_at = net_.world_.now();
  if (net_.random_.percent(50)) {
    here.hears_at = net_.world_.now() + net_.random_.duration({}, hears_late);
  }
  from(end).on_the_way.clear();
  from(end).bytes_on_the_way = 0;
  timers_[static_cast<std::size_t>(end)].cancel();
  if (here.read != nullptr) try_read(end);
  if (here.write != nullptr) complete_write(end, StreamError::broken);
}

void Connection::hear_of_the_end(Timer& timer) {
  auto& connection = *static_cast<Connection*>(timer.context());
  const int end = &timer == connection.hears_timers_.data() ? 0 : 1;
  if (connection.at(end).read != nullptr) connection.try_read(end);
}

void Connection::complete_read(int end, StreamError error) {
  Delivery& delivery = reads_[static_cast<std::size_t>(end)];
  if (delivery.queued()) return;
  delivery.error = error;
  at(end).process->loop().post(delivery);
}

void Connection::complete_write(int end, StreamError error) {
  Delivery& delivery = writes_[static_cast<std::size_t>(end)];
  if (delivery.queued()) return;
  delivery.error = error;
  at(end).process->loop().post(delivery);
}

void Connection::Delivery::deliver() {
  End& here = connection->at(end);
  if (reading) {
    ReadOperation* operation = std::exchange(here.read, nullptr);
    if (operation == nullptr) return;
    operation->error = error;
    operation->complete();
  } else {
    WriteOperation* operation = std::exchange(here.write, nullptr);
    if (operation == nullptr) return;
    operation->error = error;
    operation->complete();
  }
}

// --- faults ---

// A byte prefix of what is on its way arrives; the rest never does.
void Connection::truncate(Pipe& pipe, Prng& random) {
  std::size_t keep = pipe.bytes_on_the_way > 0 ? random.below(pipe.bytes_on_the_way + 1) : 0;
  std::deque<Pipe::Segment> kept;
  pipe.bytes_on_the_way = keep;
  for (Pipe::Segment& segment : pipe.on_the_way) {
    if (keep == 0) break;
    if (segment.bytes.size() > keep) segment.bytes.resize(keep);
    keep -= segment.bytes.size();
    kept.push_back(std::move(segment));
  }
  pipe.on_the_way = std::move(kept);
}

void Connection::process_killed(int node, Prng& random) {
  for (int end = 0; end < 2; ++end) {
    End& here = at(end);
    if (here.node != node || here.process == nullptr) continue;
    if (here.stream != nullptr) here.stream->forget();
    here.stream = nullptr;
    here.read = nullptr;
    here.write = nullptr;
    here.process = nullptr;
    for (auto* deliveries : {&reads_, &writes_}) {
      Delivery& delivery = (*deliveries)[static_cast<std::size_t>(end)];
      if (delivery.queued()) delivery.unlink();
    }
    if (here.closed || here.broken) continue;
    here.closed = true;
    // The kernel sends a FIN behind the data, or, with data unread, a reset after a part of it.
    const bool reset = random.percent(50);
    if (reset) {
      truncate(from(end), random);
      TimePoint arrives = net_.world_.now() + net_.delay();
      if (!from(end).on_the_way.empty()) {
        arrives = std::max(arrives, from(end).on_the_way.back().arrives);
      }
      from(end).on_the_way.push_back({arrives, {}, false, true});
      arm(end);
    } else {
      send_end(end, false);
    }
  }
}

void Connection::power_cut(int node, Prng& random) {
  for (int end = 0; end < 2; ++end) {
    if (at(end).node != node) continue;
    truncate(from(end), random);  // also takes the FIN away that process_killed() left
    if (!carries(end)) {          // nobody is left to repeat it when the path is mended
      from(end).on_the_way.clear();
      from(end).bytes_on_the_way = 0;
    }
    arm(end);
    arm(1 - end);
  }
}

void Connection::reset_both() {
  for (int end = 0; end < 2; ++end) {
    if (at(end).process != nullptr && !at(end).closed) break_end(end);
  }
}

void Connection::break_at(int node) {
  for (int end = 0; end < 2; ++end) {
    if (at(end).node == node && at(end).process != nullptr && !at(end).closed) break_end(end);
  }
}

// Retransmission begins again after a healed cut: with a delay, and never reordered.
void Connection::path_changed(bool mended) {
  for (int end = 0; end < 2; ++end) {
    Pipe& pipe = from(end);
    // What a slow path held back is late no more, also if the host that it goes to is still down.
    if (!pipe.on_the_way.empty() && (mended || carries(end))) {
      TimePoint arrives = net_.world_.now() + net_.delay();
      for (Pipe::Segment& segment : pipe.on_the_way) {
        if (!mended) arrives = std::max(arrives, segment.arrives);
        segment.arrives = arrives;
      }
    }
    arm(end);
  }
}

void Connection::corrupt(int from_node, Prng& random) {
  for (int end = 0; end < 2; ++end) {
    Pipe& pipe = from(end);
    if (at(end).node != from_node || pipe.bytes_on_the_way == 0) continue;
    std::size_t position = random.below(pipe.bytes_on_the_way);
    for (Pipe::Segment& segment : pipe.on_the_way) {
      if (position < segment.bytes.size()) {
        segment.bytes[position] ^= static_cast<std::byte>(1U << random.below(8));
        break;
      }
      position -= segment.bytes.size();
    }
  }
}

bool Connection::touches(int a, int b) const {
  return (ends_[0].node == a && ends_[1].node == b) || (ends_[0].node == b && ends_[1].node == a);
}

bool Connection::finished() const {
  return std::ranges::all_of(ends_,
                             [](const End& end) {
                               return end.stream == nullptr &&
                                      (end.closed || end.broken || end.process == nullptr);
                             }) &&
         pipes_[0].on_the_way.empty() && pipes_[1].on_the_way.empty();
}

bool Connection::quiet() const {
  for (int end = 0; end < 2; ++end) {
    const std::size_t i = static_cast<std::size_t>(end);
    if (!pipes_[i].on_the_way.empty() && carries(end)) return false;
    const End& reader = ends_[1 - i];
    const bool anybody = reader.process != nullptr && !reader.closed;
    if (anybody && pipes_[i].unread_bytes() > 0) return false;
  }
  return true;
}

}  // namespace baton::sim
