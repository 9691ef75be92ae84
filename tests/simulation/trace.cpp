#include "tests/simulation/trace.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "blockdev/block_device.h"
#include "tests/simulation/prng.h"

namespace baton::sim {

std::string node_name(int node) {
  if (node < 0) return "-";
  return std::string(1, static_cast<char>('A' + node));
}

namespace {

std::string request_text(std::uint64_t what, std::uint64_t offset, std::uint64_t length) {
  return fmt::format("{} {}+{}", blockdev::name_of(static_cast<blockdev::Op>(what & 0xffU)), offset,
                     length);
}

std::string error_text(std::uint64_t error) {
  return error == 0 ? "" : fmt::format(" {}", name_of(static_cast<IoError>(error)));
}

std::string body(const Record& r) {
  switch (r.event) {
    case Event::text:
      return r.text;
    case Event::disk_submit:
      return fmt::format("disk {} < {}", r.a >> 8U, request_text(r.a, r.b, r.c));
    case Event::disk_done:
      return fmt::format("disk {} > {}", r.a >> 8U, request_text(r.a, r.b, r.c & 0xffffffffU)) +
             error_text(r.c >> 32U);
    case Event::disk_lost:
      return fmt::format("disk {} loses sector {} (version {})", r.a, r.b, r.c);
    case Event::net_send:
      return fmt::format("link {} sends {} bytes, {} on the way", r.a, r.b, r.c);
    case Event::net_arrive:
      return fmt::format("link {} receives {} bytes, {} unread", r.a, r.b, r.c);
    case Event::net_end:
      return fmt::format("link {} ends ({})", r.a, r.b == 0 ? "closed" : "reset");
    case Event::nbd_arrive:
      return fmt::format("nbd connection {} receives {} bytes, {} unread", r.a, r.b, r.c);
    case Event::client_submit:
      return fmt::format("client {} < {} #{}", r.a >> 8U, request_text(r.a, r.b, r.c & 0xffffffffU),
                         r.c >> 32U);
    case Event::client_done:
      return fmt::format("client {} > {} #{}", r.a >> 8U,
                         blockdev::name_of(static_cast<blockdev::Op>(r.a & 0xffU)), r.b) +
             error_text(r.c);
    case Event::turn:
      return "turn";
  }
  return "?";
}

}  // namespace

std::string to_text(const Record& record) {
  const std::int64_t us = record.at.nanoseconds / 1000;
  return fmt::format("{:>4}.{:06} {} {}", us / 1'000'000, us % 1'000'000, node_name(record.node),
                     body(record));
}

void Trace::fold(std::uint64_t value) {
  hash_ = mix(hash_ ^ value);
}

Record& Trace::next_record(Event event, int node) {
  Record& record = ring_[count_ % ring_records];
  ++count_;
  record.at = now_;
  record.event = event;
  record.node = static_cast<std::int8_t>(node);
  record.text.clear();
  fold(static_cast<std::uint64_t>(now_.nanoseconds));
  fold((static_cast<std::uint64_t>(event) << 8U) | static_cast<std::uint8_t>(node));
  return record;
}

void Trace::note(Event event, int node, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  Record& record = next_record(event, node);
  record.a = a;
  record.b = b;
  record.c = c;
  fold(a);
  fold(b);
  fold(c);
  if (sink_) sink_(to_text(record));
}

void Trace::say(int node, std::string text) {
  Record& record = next_record(Event::text, node);
  fold(xxh3_64(std::as_bytes(std::span(text))));
  record.text = std::move(text);
  if (sink_) sink_(to_text(record));
}

std::vector<std::string> Trace::last(std::size_t lines, bool spoken_only) const {
  std::vector<std::string> out;
  const std::uint64_t oldest = count_ > ring_records ? count_ - ring_records : 0;
  for (std::uint64_t i = count_; i > oldest && out.size() < lines; --i) {
    const Record& record = ring_[(i - 1) % ring_records];
    if (spoken_only && record.event != Event::text) continue;
    out.push_back(to_text(record));
  }
  std::ranges::reverse(out);
  return out;
}

}  // namespace baton::sim
