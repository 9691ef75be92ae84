// What a peer may send: two real engines, and somebody between them who lets a number of honest
// messages pass and then speaks to one of the two himself, with checksums that are right. Nothing
// crashes, clients are answered in bounded time, and the node can be stopped in order.
//
// Input: three bytes that choose the world, then messages (see Forger), or bytes as they are.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <list>
#include <vector>

#include "base/assert.h"
#include "replication/wire/codec.h"
#include "tests/support/engine_host.h"
#include "tests/support/virtual_clock.h"

namespace baton::test {
namespace {

namespace wire = replication::wire;

constexpr std::uint64_t disk_bytes = 256U << 10U;
constexpr Duration half_a_second = std::chrono::milliseconds(500);

// Reads an input, which may end anywhere: then everything is 0.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : left_(bytes) {}
  bool empty() const { return left_.empty(); }
  std::uint8_t byte() {
    if (left_.empty()) return 0;
    const std::uint8_t first = left_.front();
    left_ = left_.subspan(1);
    return first;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8U | byte();
    return value;
  }
  std::vector<std::byte> bytes(std::size_t count) {
    count = std::min(count, left_.size());
    std::vector<std::byte> taken(count);
    if (count > 0) std::memcpy(taken.data(), left_.data(), count);
    left_ = left_.subspan(count);
    return taken;
  }

 private:
  std::span<const std::uint8_t> left_;
};

// Small numbers, as they are in use, and any others.
std::uint64_t any_number(Input& input) {
  const std::uint8_t kind = input.byte();
  if (kind < 0xc0) return kind;
  if (kind < 0xe0) return wire::client_number | (kind & 0x1fU);
  return input.number();
}

std::uint64_t any_place(Input& input) {
  const std::uint8_t kind = input.byte();
  return kind < 0xf0 ? kind * 4096UL : input.number();
}

// Messages as the input has them: a type, fields, a payload.
std::vector<std::byte> forge(Input& input) {
  std::vector<std::byte> stream;
  while (!input.empty() && stream.size() < (1U << 20U)) {
    const std::uint8_t type = input.byte();
    if (type == 0xff) {
      const auto raw = input.bytes(input.byte());
      stream.insert(stream.end(), raw.begin(), raw.end());
      continue;
    }
    wire::Header header;
    header.volume = input.byte() < 0xf0 ? 0 : 1;
    header.flags = static_cast<std::uint32_t>(input.byte()) << (input.byte() % 4);
    header.number = any_number(input);
    header.follows = any_number(input);
    header.epoch = input.byte();
    header.offset = any_place(input);
    std::vector<std::byte> payload;
    const std::uint8_t shape = input.byte();
    if (shape < 0x40) {
      header.length = any_place(input);
    } else if (shape < 0x80) {
      payload.resize((shape % 4 + 1) * 4096UL, std::byte{shape});
      header.length = payload.size();
    } else {
      payload = input.bytes(shape < 0xc0 ? shape - 0x80U : input.byte() * 8UL);
      header.length = (shape & 1U) != 0 ? payload.size() : 0;
    }
    header.payload_bytes = static_cast<std::uint32_t>(payload.size());
    wire::seal(header, static_cast<wire::Type>(type % (wire::type_max + 2)), payload);
    const auto* const bytes = reinterpret_cast<const std::byte*>(&header);
    stream.insert(stream.end(), bytes, bytes + sizeof header);
    stream.insert(stream.end(), payload.begin(), payload.end());
  }
  return stream;
}

// Every link goes through here.
class Between {
 public:
  Between(Loop& loop, std::size_t honest_messages, std::vector<std::byte> forged)
      : loop_(loop), honest_(honest_messages), forged_(std::move(forged)), pumps_(loop) {}
  ~Between() { close(); }
  Between(const Between&) = delete;
  Between& operator=(const Between&) = delete;

  struct Ends {
    Link victim;
    Link other;
  };
  Ends link() {
    constexpr MemoryStreamOptions small{.capacity_bytes = 16U << 10U};
    auto [victim, to_victim] = MemoryStream::make_pair(loop_, small);
    auto [other, to_other] = MemoryStream::make_pair(loop_, small);
    wires_.push_back({.victim = std::move(to_victim), .other = std::move(to_other)});
    pumps_.spawn(from_other(wires_.back()));
    pumps_.spawn(from_victim(wires_.back()));
    return {std::move(victim), std::move(other)};
  }
  void speak_now() { honest_ = 0; }
  bool spoken() const { return spoken_; }
  void close() {
    for (Wire& wire : wires_) hang_up(wire);
    while (loop_.run_turn()) {
    }
  }

 private:
  struct Wire {
    std::unique_ptr<MemoryStream> victim;
    std::unique_ptr<MemoryStream> other;
    bool taken = false;  // nothing honest passes any more
  };
  static void hang_up(Wire& wire) {
    wire.victim->close();
    wire.other->close();
  }
  Task<bool> say(Wire& wire, std::span<const std::byte> bytes) {
    const iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    WriteOperation write;
    write.buffers = {&part, 1};
    co_await write_all(*wire.victim, write);
    co_return write.error == StreamError::none;
  }

  // Whole messages.
  Task<> from_other(Wire& wire) {
    std::vector<std::byte> chunk(16U << 10U);
    std::vector<std::byte> waiting;
    ReadOperation read;
    for (;;) {
      read.buffer = chunk;
      co_await read_some(*wire.other, read);
      if (read.error != StreamError::none) break;
      if (wire.taken) continue;
      waiting.insert(waiting.end(), chunk.begin(),
                     chunk.begin() + static_cast<std::ptrdiff_t>(read.transferred));
      bool good = true;
      while (good && !wire.taken && waiting.size() >= sizeof(wire::Header)) {
        wire::Header header;
        std::memcpy(&header, waiting.data(), sizeof header);
        const std::size_t size = sizeof header + header.payload_bytes;
        if (waiting.size() < size) break;
        if (!spoken_ && honest_ == 0) {
          spoken_ = wire.taken = true;
          good = forged_.empty() || co_await say(wire, forged_);
          break;
        }
        honest_ -= spoken_ ? 0 : 1;
        good = co_await say(wire, std::span(waiting).first(size));
        waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(size));
      }
      if (!good) break;
    }
    if (!wire.taken) hang_up(wire);
  }

  Task<> from_victim(Wire& wire) {
    std::vector<std::byte> chunk(16U << 10U);
    ReadOperation read;
    for (;;) {
      read.buffer = chunk;
      co_await read_some(*wire.victim, read);
      if (read.error != StreamError::none) break;
      if (wire.taken) continue;
      const iovec part{chunk.data(), read.transferred};
      WriteOperation write;
      write.buffers = {&part, 1};
      co_await write_all(*wire.other, write);
      if (write.error != StreamError::none) break;
    }
    hang_up(wire);
  }

  Loop& loop_;
  std::size_t honest_;
  std::vector<std::byte> forged_;
  bool spoken_ = false;
  std::list<Wire> wires_;
  Scope pumps_;
};

class Host final : public EngineHost {
 public:
  using EngineHost::EngineHost;
  void meet_through(Between& between, Host& other, bool victim) {
    meet(other);
    between_ = &between;
    victim_ = victim;
  }

 private:
  Link connect() override {
    Between::Ends ends = between_->link();
    peer().resource().accept(std::move(victim_ ? ends.other : ends.victim));
    return std::move(victim_ ? ends.victim : ends.other);
  }
  Between* between_ = nullptr;
  bool victim_ = false;
};

class World {
 public:
  explicit World(Input& input)
      : choice_(input.byte()),
        config_(config(choice_)),
        honest_(input.byte() % 64),
        between_(loop_, honest_, forge(input)) {
    const bool alpha_is_victim = (choice_ & 1U) != 0;
    alpha_.meet_through(between_, beta_, alpha_is_victim);
    beta_.meet_through(between_, alpha_, !alpha_is_victim);
  }

  void run() {
    Scope scope(loop_);
    scope.spawn(alpha_.make_disks());
    scope.spawn(beta_.make_disks());
    settle();
    scope.spawn(perform(alpha_.resource().up()));
    scope.spawn(perform(beta_.resource().up()));
    pass(half_a_second);
    scope.spawn(perform(alpha_.resource().promote({.force = true, .confirmed = true})));
    pass(half_a_second);
    if (config_.two_primaries) scope.spawn(perform(beta_.resource().promote({})));
    pass(half_a_second);
    use(alpha_);
    use(beta_);
    between_.speak_now();
    pass(std::chrono::seconds(5));
    pass(std::chrono::seconds(60), &requests_left_);
    BATON_ASSERT(requests_left_ == 0, "clients are answered in bounded time");
    devices_.clear();
    scope.spawn(perform(alpha_.resource().down()));
    scope.spawn(perform(beta_.resource().down()));
    pass(std::chrono::seconds(60), &verbs_left_);
    BATON_ASSERT(verbs_left_ == 0, "a node whose peer is mad can be stopped");
    between_.close();
  }

 private:
  static replication::ResourceConfig config(std::uint8_t choice) {
    using replication::Protocol;
    replication::ResourceConfig config;
    config.volumes = {{disk_bytes}};
    config.two_primaries = (choice & 2U) != 0;
    constexpr std::array protocols = {Protocol::c, Protocol::b, Protocol::a, Protocol::c};
    if (!config.two_primaries) config.protocol = protocols.at(choice >> 2U & 3U);
    config.timeout = std::chrono::seconds(2);
    return config;
  }

  void settle() {
    while (loop_.run_turn()) {
    }
  }
  // Not longer than until `left` is 0.
  void pass(Duration how_long, const int* left = nullptr) {
    const TimePoint end = clock_.now() + how_long;
    settle();
    while (clock_.now() < end && (left == nullptr || *left > 0)) {
      clock_.advance(std::chrono::milliseconds(50));
      settle();
    }
  }

  Task<> perform(Task<Result<>> verb) {
    ++verbs_left_;
    co_await std::move(verb);  // refused or not
    --verbs_left_;
  }

  // Some clients' requests, answered or not before somebody else speaks.
  void use(Host& host) {
    auto device = host.resource().open(0, {.name = "a client"});
    if (!device) return;
    devices_.push_back(std::move(*device));
    using blockdev::Op;
    for (const Op op : {Op::write, Op::read, Op::write_zeroes, Op::flush, Op::write}) {
      blockdev::Request& request = requests_.emplace_back();
      request.op = op;
      if (op != Op::flush) {
        request.offset = requests_.size() * 8192;
        request.length = 6000;
        request.data = data_.data();
      }
      request.on_complete(
          [](Operation& self) { --static_cast<World*>(self.context())->requests_left_; }, this);
      ++requests_left_;
      devices_.back()->submit(request);
    }
  }

  std::uint8_t choice_;
  replication::ResourceConfig config_;
  std::size_t honest_;
  std::vector<std::byte> data_ = std::vector<std::byte>(8192);
  std::deque<blockdev::Request> requests_;
  int requests_left_ = 0;
  int verbs_left_ = 0;
  Loop loop_;
  VirtualClock clock_;
  BufferPool buffers_{16U << 20U};
  Between between_;
  Host alpha_{loop_, clock_, buffers_, "alpha", config_};
  Host beta_{loop_, clock_, buffers_, "beta", config_};
  std::vector<std::unique_ptr<blockdev::BlockDevice>> devices_;
};

}  // namespace
}  // namespace baton::test

// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  baton::test::Input input({data, size});
  if (size < 3) return 0;
  auto world = std::make_unique<baton::test::World>(input);
  world->run();
  return 0;
}
