#include "replication/engine/greeting.h"

#include <cstring>

#include "replication/wire/codec.h"

namespace baton::replication {
namespace {

// False: the stream ended first.
Task<bool> read_exactly(Stream& stream, std::span<std::byte> into) {
  while (!into.empty()) {
    ReadOperation read;
    read.buffer = into;
    co_await read_some(stream, read);
    if (read.error != StreamError::none) co_return false;
    into = into.subspan(read.transferred);
  }
  co_return true;
}

}  // namespace

Task<Result<Greeting>> read_greeting(Stream& stream) {
  Greeting greeting;
  greeting.bytes.resize(sizeof(wire::Header));
  bool whole = co_await read_exactly(stream, greeting.bytes);
  if (!whole) co_return failure("it closed the connection before it said who it is");
  wire::Header header;
  std::memcpy(&header, greeting.bytes.data(), sizeof header);
  if (const char* fault = wire::header_fault(header); fault != nullptr) co_return failure(fault);
  if (header.type != static_cast<std::uint16_t>(wire::Type::hello)) {
    co_return failure("its first message is no greeting");
  }
  greeting.bytes.resize(sizeof header + header.payload_bytes);
  const auto payload = std::span(greeting.bytes).subspan(sizeof header);
  whole = co_await read_exactly(stream, payload);
  if (!whole) co_return failure("it closed the connection before it said who it is");
  if (!wire::intact(header, payload)) co_return failure("its greeting is damaged");
  const auto hello = wire::decode_hello(payload);
  if (!hello) co_return failure(hello.error());
  greeting.resource = hello->resource;
  co_return greeting;
}

}  // namespace baton::replication
