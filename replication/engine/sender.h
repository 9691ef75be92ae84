// The outgoing half of a link: two lanes, gathered into one write per turn (design §7).
//
// Urgent messages (acknowledgements, pings, baton) are copied and leave before bulk ones. Bulk
// messages leave in the order they were queued; their payload is not copied, so it must stay as it
// is until `on_sent` was called or stop() has completed.
#pragma once

#include <sys/uio.h>

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <span>
#include <vector>

#include "base/stream.h"
#include "base/task.h"
#include "replication/engine/latch.h"
#include "replication/wire/codec.h"

namespace baton::replication {

// A message of the bulk lane; lives with whoever sends it. Unlinks itself when destroyed, which is
// only allowed before it was gathered or after on_sent.
struct OutMessage
    : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
  wire::Header header{};
  std::span<const std::byte> payload;
  // Every byte was handed to the transport, or the link is lost. May be null.
  void (*on_sent)(OutMessage&) = nullptr;
};

// One whose payload lives in the frame that sends it: that waits for `left` before it ends.
struct AwaitedMessage : OutMessage {
  AwaitedMessage() {
    on_sent = [](OutMessage& self) { static_cast<AwaitedMessage&>(self).left.arrive(); };
  }
  Latch left;
};

class Sender final : TurnHook {
 public:
  Sender(Loop& loop, Stream& stream);

  // `header` needs no framing fields; they are filled in here.
  void urgent(wire::Header header, wire::Type type, std::span<const std::byte> payload = {});
  void bulk(OutMessage& message, wire::Type type);

  // Writes until stop() or until the stream breaks. Spawned by the session.
  Task<> run();
  // Completes when everything queued was handed to the transport, or the stream is broken.
  Task<> emptied();
  // Closes the stream; completes when no buffer is referenced any more and run() has ended.
  // Messages that did not leave are dropped, with on_sent called; so are those queued later, from
  // within bulk().
  Task<> stop();

  bool broken() const { return broken_; }
  std::uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  void end_of_turn() override;
  bool gather();
  void release_sent();

  Loop& loop_;
  Stream& stream_;
  using Lane = boost::intrusive::list<OutMessage, boost::intrusive::constant_time_size<false>>;
  std::vector<std::byte> urgent_;          // queued
  std::vector<std::byte> urgent_leaving_;  // in the write in progress
  Lane bulk_;
  Lane bulk_leaving_;
  std::vector<iovec> parts_;
  WriteOperation write_;
  Signal work_;
  Signal ended_;
  bool wanted_ = false;  // something was queued since the last turn
  bool running_ = false;
  bool writing_ = false;
  bool stopping_ = false;
  bool stopped_ = false;
  bool broken_ = false;
  std::uint64_t bytes_sent_ = 0;
};

}  // namespace baton::replication
