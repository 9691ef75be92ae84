#include "replication/wire/codec.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/hash.h"

namespace baton::replication::wire {
namespace {

constexpr std::size_t names_max = 256;  // bytes of a name on the wire
constexpr std::size_t lineage_on_wire_max = 256;
constexpr std::size_t volumes_max = 256;

std::uint64_t checksum_of(const Header& header, std::span<const std::byte> payload) {
  Header bare = header;
  bare.checksum = 0;
  const std::uint64_t seed = xxh3_64(std::as_bytes(std::span(&bare, 1)));
  return payload.empty() ? seed : xxh3_64(payload, seed);
}

class Writer {
 public:
  template <class T>
  void number(T value) {
    boost::endian::endian_buffer<boost::endian::order::little, T, sizeof(T) * 8> raw(value);
    const auto bytes = std::as_bytes(std::span(&raw, 1));
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  void flag(bool value) { number<std::uint8_t>(value ? 1 : 0); }
  void text(std::string_view value) {
    BATON_ASSERT(value.size() <= names_max, "configuration bounds names");
    number<std::uint16_t>(static_cast<std::uint16_t>(value.size()));
    bytes(std::as_bytes(std::span(value)));
  }
  void ids(const Lineage& lineage) {
    number<std::uint16_t>(static_cast<std::uint16_t>(lineage.size()));
    for (const GenerationId id : lineage) number(id);
  }
  void bytes(std::span<const std::byte> value) {
    out_.insert(out_.end(), value.begin(), value.end());
  }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

// Reads what Writer wrote; once something is short or out of bounds, everything after is zero and
// ok() is false.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <class T>
  T number() {
    boost::endian::endian_buffer<boost::endian::order::little, T, sizeof(T) * 8> raw(T{});
    bytes(std::as_writable_bytes(std::span(&raw, 1)));
    return raw.value();
  }
  bool flag() {
    const auto value = number<std::uint8_t>();
    if (value > 1) ok_ = false;
    return value == 1;
  }
  std::string text() {
    const auto size = number<std::uint16_t>();
    if (size > names_max || size > rest_.size()) ok_ = false;
    if (!ok_) return {};
    std::string value(size, '\0');
    bytes(std::as_writable_bytes(std::span(value)));
    if (value.find('\0') != std::string::npos) ok_ = false;
    return value;
  }
  Lineage ids() {
    const auto count = number<std::uint16_t>();
    if (count > lineage_on_wire_max) ok_ = false;
    Lineage lineage;
    for (std::size_t i = 0; ok_ && i < count; ++i) {
      lineage.push_back(number<std::uint64_t>());
      if (lineage.back() == 0) ok_ = false;
    }
    return ok_ ? lineage : Lineage{};
  }
  void bytes(std::span<std::byte> into) {
    if (into.size() > rest_.size()) ok_ = false;
    if (!ok_) {
      std::ranges::fill(into, std::byte{0});
      return;
    }
    std::memcpy(into.data(), rest_.data(), into.size());
    rest_ = rest_.subspan(into.size());
  }
  bool ok() const { return ok_; }
  bool finished() const { return ok_ && rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
  bool ok_ = true;
};

void put(Writer& out, const Stamp& stamp) {
  out.number(stamp.number);
  out.number(stamp.id);
}
Stamp get_stamp(Reader& in) {
  Stamp stamp;
  stamp.number = in.number<std::uint64_t>();
  stamp.id = in.number<std::uint64_t>();
  return stamp;
}

}  // namespace

const Kind* kind_of(std::uint16_t type) {
  if (type == 0 || type > type_max) return nullptr;
  return &kinds[type - 1U];
}

void seal(Header& header, Type type, std::span<const std::byte> payload) {
  header.magic = magic;
  header.type = static_cast<std::uint16_t>(type);
  header.payload_bytes = static_cast<std::uint32_t>(payload.size());
  header.checksum = checksum_of(header, payload);
}

const char* header_fault(const Header& header) {
  if (header.magic != magic) return "the magic number is wrong: this is no Baton link";
  const Kind* kind = kind_of(header.type);
  if (kind == nullptr) return "the message type is unknown";
  if (header.payload_bytes > kind->payload_max) return "the payload is longer than allowed";
  const bool carries_range = kind->type == Type::write || kind->type == Type::data;
  if (carries_range && header.length != header.payload_bytes) {
    const bool failed = (header.flags & flag_error) != 0 && header.payload_bytes == 0;
    if (!failed) return "the range and the payload differ in length";
  }
  const bool about_holes = kind->type == Type::sums_ask && (header.flags & flag_zeroes) != 0;
  const bool leave = kind->type == Type::read && (header.flags & flag_leave) != 0;
  if (header.length > piece_bytes_max && kind->type != Type::zero && !about_holes && !leave) {
    return "the range is too long";
  }
  if (header.offset + header.length < header.offset) return "the range wraps around";
  return nullptr;
}

bool intact(const Header& header, std::span<const std::byte> payload) {
  return header.checksum == checksum_of(header, payload);
}

std::vector<std::byte> encode(const Hello& hello) {
  Writer out;
  out.number(hello.version_lowest);
  out.number(hello.version_highest);
  out.number(hello.features);
  out.text(hello.resource);
  out.text(hello.from);
  out.text(hello.to);
  out.number(hello.volumes);
  out.number(hello.protocol);
  out.number(hello.instance);
  out.bytes(hello.nonce);
  out.text(hello.after_sb);
  return out.take();
}

std::expected<Hello, std::string> decode_hello(std::span<const std::byte> bytes) {
  Reader in(bytes);
  Hello hello;
  hello.version_lowest = in.number<std::uint16_t>();
  hello.version_highest = in.number<std::uint16_t>();
  hello.features = in.number<std::uint64_t>();
  hello.resource = in.text();
  hello.from = in.text();
  hello.to = in.text();
  hello.volumes = in.number<std::uint32_t>();
  hello.protocol = in.number<std::uint8_t>();
  hello.instance = in.number<std::uint64_t>();
  in.bytes(hello.nonce);
  hello.after_sb = in.text();
  // A later version may append; what it must not do is send less.
  if (!in.ok()) return std::unexpected("the greeting is malformed");
  return hello;
}

bool State::has_disks() const {
  return std::ranges::all_of(volumes, [](const VolumeState& volume) {
    return static_cast<DiskState>(volume.disk_state) > DiskState::failed;
  });
}

std::vector<std::byte> encode(const State& state) {
  Writer out;
  out.number(state.epoch.number);
  out.text(state.epoch.holder);
  out.flag(state.holding);
  out.flag(state.primary);
  out.flag(state.served);
  out.flag(state.wrote_alone);
  out.flag(state.resume_primary);
  out.flag(state.complete);
  out.flag(state.adopted);
  out.flag(state.discard_my_data);
  out.flag(state.writer);
  out.flag(state.peer_lacks);
  out.number(state.arrival);
  out.ids(state.lineage);
  out.ids(state.towards);
  out.number(state.slot_base);
  out.number(state.slot_told);
  put(out, state.session);
  put(out, state.confirmed);
  out.number(state.new_session_id);
  out.number(static_cast<std::uint16_t>(state.volumes.size()));
  for (const VolumeState& volume : state.volumes) {
    out.number(volume.size);
    out.number(volume.disk_state);
    out.number(volume.bits);
  }
  out.flag(state.undo_first);
  out.flag(state.gives_up);
  return out.take();
}

std::expected<State, std::string> decode_state(std::span<const std::byte> bytes) {
  Reader in(bytes);
  State state;
  state.epoch.number = in.number<std::uint64_t>();
  state.epoch.holder = in.text();
  state.holding = in.flag();
  state.primary = in.flag();
  state.served = in.flag();
  state.wrote_alone = in.flag();
  state.resume_primary = in.flag();
  state.complete = in.flag();
  state.adopted = in.flag();
  state.discard_my_data = in.flag();
  state.writer = in.flag();
  state.peer_lacks = in.flag();
  state.arrival = in.number<std::uint8_t>();
  state.lineage = in.ids();
  state.towards = in.ids();
  state.slot_base = in.number<std::uint64_t>();
  state.slot_told = in.number<std::uint64_t>();
  state.session = get_stamp(in);
  state.confirmed = get_stamp(in);
  state.new_session_id = in.number<std::uint64_t>();
  const auto volumes = in.number<std::uint16_t>();
  if (volumes > volumes_max || state.arrival > static_cast<std::uint8_t>(Arrival::lived_through)) {
    return std::unexpected("the state is out of bounds");
  }
  for (std::size_t i = 0; in.ok() && i < volumes; ++i) {
    VolumeState volume;
    volume.size = in.number<std::uint64_t>();
    volume.disk_state = in.number<std::uint8_t>();
    volume.bits = in.number<std::uint64_t>();
    if (volume.disk_state > static_cast<std::uint8_t>(DiskState::up_to_date)) {
      return std::unexpected("the disk state is unknown");
    }
    state.volumes.push_back(volume);
  }
  state.undo_first = in.flag();
  state.gives_up = in.flag();
  if (!in.finished()) return std::unexpected("the state is malformed");
  return state;
}

std::vector<std::byte> encode_lineage(const Lineage& lineage) {
  Writer out;
  out.ids(lineage);
  return out.take();
}

std::expected<Lineage, std::string> decode_lineage(std::span<const std::byte> bytes) {
  Reader in(bytes);
  Lineage lineage = in.ids();
  if (!in.finished() || lineage.empty()) return std::unexpected("the lineage is malformed");
  return lineage;
}

}  // namespace baton::replication::wire
