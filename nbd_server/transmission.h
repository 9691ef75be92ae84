// The transmission phase of one connection: requests in, replies out.
//
//   receive -> validate -> submit to the device -> completion -> reply queue
//
// Requests are handed to the device as they are parsed and answered in whatever order they
// complete. The bytes of a small write are copied out of the receive buffer; the rest of a large
// one is received straight into the buffer that the device will write from. A write is submitted
// when its last byte has arrived, never before (design §3, rule 10).
#pragma once

#include <optional>
#include <string>

#include "base/buffer_pool.h"
#include "base/clock.h"
#include "base/task.h"
#include "nbd_server/input_buffer.h"
#include "nbd_server/reply_queue.h"
#include "nbd_server/slots.h"
#include "nbd_server/wire/validate.h"

namespace baton::nbd {

struct TransmissionLimits {
  std::size_t in_flight_bytes = 128U << 20U;  // two requests of the largest size
  std::size_t in_flight_requests = 1024;      // eight times what the Linux client keeps
};

class Transmission final : MemoryBudget::Holder {
 public:
  struct World {
    Loop& loop;
    Clock& clock;
    BufferPool& buffers;
    MemoryBudget& budget;
    Stream& stream;
    blockdev::BlockDevice& device;
  };

  // `input` may hold requests already. All of it outlives the transmission.
  Transmission(const World& world, InputBuffer& input, const Terms& terms,
               const TransmissionLimits& limits);
  ~Transmission();
  Transmission(const Transmission&) = delete;
  Transmission& operator=(const Transmission&) = delete;

  // Serves until the client says DISC or is gone; completes when nothing is with the device or on
  // its way out, and the stream is closed. What had been received is carried out and answered.
  Task<> run();

  // Takes no further request, and closes the stream when those that the device has are answered.
  // What is not carried out is not answered either: a client that connects again (QEMU's
  // reconnect-delay) repeats it then, where ESHUTDOWN would be an error for its guest.
  Task<> shut_down();
  // The stream is closed: nothing is waited for any more but the device.
  void give_up();

  std::size_t requests_in_flight() const { return slots_.in_use(); }
  std::size_t bytes_in_flight() const { return slots_.bytes(); }
  const std::string& reason() const { return reason_; }

 private:
  Task<> receive_requests();
  Task<bool> receive_rest(Slot& slot);
  Task<> finish();

  std::optional<ClientRequest> next_request();
  Slot* admit(const ClientRequest& request, bool granted);
  Task<Slot*> admit_in_turn(const ClientRequest& request);
  bool is_in_the_way(TimePoint now) const override;
  void end_for_others() override;
  void take_payload(Slot& slot);
  void start(Slot& slot);
  void look_at_payload(Slot& slot);
  void submit(Slot& slot, blockdev::Op op, std::uint64_t offset);
  bool goes_on(Slot& slot);
  static void on_complete(Operation& operation);
  void answer(Slot& slot);
  bool arrived(const ReadOperation& read);

  World world_;
  InputBuffer& input_;
  Terms terms_;
  Signal progress_;  // a slot came free, or the device returned a request while we end
  Slots slots_;
  ReplyQueue replies_;
  std::size_t with_device_ = 0;
  bool receiving_ = true;
  bool receiving_payload_ = false;  // of a slot that the device does not have yet
  TimePoint payload_moved_;         // when some of it came
  bool ended_ = false;              // no request is taken any more
  bool shutting_down_ = false;
  std::string reason_;  // why receiving ended
};

}  // namespace baton::nbd
