#include "replication/engine/sender.h"

#include <utility>

namespace baton::replication {
namespace {

// One gathered write; more only makes the first message of the batch wait for the last.
constexpr std::size_t parts_max = 64;
constexpr std::size_t batch_bytes_max = 1U << 20U;

std::span<const std::byte> bytes_of(const wire::Header& header) {
  return std::as_bytes(std::span(&header, 1));
}

iovec part(std::span<const std::byte> bytes) {
  return {const_cast<std::byte*>(bytes.data()), bytes.size()};
}

}  // namespace

Sender::Sender(Loop& loop, Stream& stream)
    : loop_(loop), stream_(stream), work_(loop), ended_(loop) {
  parts_.reserve(parts_max);
  loop_.add_early(*this);
}

void Sender::urgent(wire::Header header, wire::Type type, std::span<const std::byte> payload) {
  if (stopping_ || broken_) return;
  wire::seal(header, type, payload);
  const auto head = bytes_of(header);
  urgent_.insert(urgent_.end(), head.begin(), head.end());
  urgent_.insert(urgent_.end(), payload.begin(), payload.end());
  wanted_ = true;
}

void Sender::bulk(OutMessage& message, wire::Type type) {
  wire::seal(message.header, type, message.payload);
  if (stopped_) {
    if (message.on_sent != nullptr) message.on_sent(message);
    return;
  }
  bulk_.push_back(message);
  wanted_ = true;
}

void Sender::end_of_turn() {
  if (std::exchange(wanted_, false)) work_.notify_all();
}

bool Sender::gather() {
  parts_.clear();
  std::swap(urgent_, urgent_leaving_);
  urgent_.clear();
  std::size_t bytes = urgent_leaving_.size();
  if (!urgent_leaving_.empty()) parts_.push_back(part(urgent_leaving_));
  while (!bulk_.empty() && parts_.size() + 2 <= parts_max && bytes < batch_bytes_max) {
    OutMessage& message = bulk_.front();
    bulk_.pop_front();
    bulk_leaving_.push_back(message);
    parts_.push_back(part(bytes_of(message.header)));
    if (!message.payload.empty()) parts_.push_back(part(message.payload));
    bytes += sizeof message.header + message.payload.size();
  }
  bytes_sent_ += bytes;
  return !parts_.empty();
}

void Sender::release_sent() {
  while (!bulk_leaving_.empty()) {
    OutMessage& message = bulk_leaving_.front();
    bulk_leaving_.pop_front();
    if (message.on_sent != nullptr) message.on_sent(message);
  }
}

Task<> Sender::run() {
  running_ = true;
  while (!stopping_ && !broken_) {
    writing_ = gather();
    if (!writing_) {
      ended_.notify_all();
      co_await work_.wait();
      continue;
    }
    write_.buffers = parts_;
    co_await write_all(stream_, write_);
    writing_ = false;
    broken_ = write_.error != StreamError::none;
    release_sent();
  }
  running_ = false;
  ended_.notify_all();
}

Task<> Sender::emptied() {
  while (running_ && !broken_ && (writing_ || !urgent_.empty() || !bulk_.empty())) {
    co_await ended_.wait();
  }
}

Task<> Sender::stop() {
  stopping_ = true;
  stream_.close();
  work_.notify_all();
  while (running_) co_await ended_.wait();
  stopped_ = true;
  // What was queued behind the write that failed, and since: a stream may take nothing any more
  // while what it has received is still being read and answered.
  while (!bulk_.empty()) {
    bulk_leaving_.splice(bulk_leaving_.end(), bulk_);
    release_sent();
  }
}

}  // namespace baton::replication
