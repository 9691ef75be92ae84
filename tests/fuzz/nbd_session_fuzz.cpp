// What a client may send: a whole session, from its greeting or from behind an honest handshake,
// delivered in pieces of any size. Nothing crashes, what is answered can be understood, and when
// the client has gone nothing of it is left.
//
// Input: a byte that says where to begin, how the stream is cut and which mode of TLS the server
// has, then what the client says. Nobody who does not know the key gets inside of TLS, so what is
// tried there is the handshake; the sessions behind it are the same as without.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>

#include "base/assert.h"
#include "tests/support/nbd_session_world.h"

namespace baton::test {
namespace {

enum class Begin : std::uint8_t { greeting, compact, structured, extended };

void shake_hands(SessionWorld& world, Begin begin) {
  if (begin == Begin::compact) world.shake_hands(false);
  if (begin == Begin::structured) world.shake_hands(true);
  if (begin == Begin::extended) world.shake_extended_hands();
}

std::shared_ptr<const tls::Source> credentials() {
  static const auto source =
      tls::Source::open([] { return tls::Credentials::for_secret("of nobody"); }).value();
  return source;
}

// Every chunk of every reply, also of the last one, is whole.
void check_replies(const SessionWorld& world, Begin begin) {
  if (begin != Begin::structured && begin != Begin::extended) return;  // reads carry no length
  Heard heard(world.client->heard());
  while (heard.left() > 0) {
    const Reply reply = heard.reply();
    BATON_ASSERT(!heard.bad(), "a reply that no client would understand");
    const bool right = begin == Begin::extended ? reply.style == nbd::Style::extended
                                                : reply.style != nbd::Style::extended;
    BATON_ASSERT(right, "a reply of another style than was agreed on");
  }
}

void run(std::span<const std::uint8_t> input) {
  constexpr std::array<std::size_t, 4> pieces = {SIZE_MAX, 1, 29, 4096};
  const std::uint8_t how = input.front();
  SessionWorldOptions options{.size = 256U << 10U, .has_copies = true};
  options.stream.piece_bytes = pieces.at(how % pieces.size());
  const auto begin = static_cast<Begin>(how / pieces.size() % 4);
  if (how >= 0x40) {
    options.security.tls =
        how >= 0x80 && begin == Begin::greeting ? nbd::TlsMode::forced : nbd::TlsMode::selective;
    options.security.credentials = credentials();
  }
  SessionWorld world(options);
  world.device.differing = {{4096, 8192}};
  shake_hands(world, begin);
  world.send(Bytes().raw(input.data() + 1, input.size() - 1));
  world.client->end_writing();
  world.settle();
  check_replies(world, begin);
  world.client->hang_up();
  world.clock.advance(std::chrono::minutes(1));
  world.settle();
  BATON_ASSERT(world.session_ended(), "a client that has gone is forgotten");
  BATON_ASSERT(world.buffers.bytes_out() == 0, "its buffers are given back");
}

}  // namespace
}  // namespace baton::test

// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0) baton::test::run({data, size});
  return 0;
}
