// One connection, from the greeting to its end: handshake, then transmission. Runs over any Stream,
// so that simulator and fuzzers run it unchanged.
#pragma once

#include <memory>
#include <string>

#include "base/tls/credentials.h"
#include "nbd_server/access.h"
#include "nbd_server/export.h"
#include "nbd_server/transmission.h"
#include "nbd_server/wire/negotiation.h"

namespace baton::nbd {

struct SessionLimits {
  // From the greeting to the first request. As qemu-nbd since CVE-2024-7409.
  Duration handshake = std::chrono::seconds(10);
  TransmissionLimits transmission;
};

struct SessionSecurity {
  TlsMode tls = TlsMode::none;
  std::shared_ptr<const tls::Source> credentials;  // where `tls` is not none
  std::optional<IpAddress> address;                // the client's; absent: a unix socket
};

class Session {
 public:
  struct World {
    Loop& loop;
    Clock& clock;
    BufferPool& buffers;
    MemoryBudget& budget;
  };

  // `exports` is looked at during the handshake only.
  Session(const World& world, std::unique_ptr<Stream> stream, const ExportTable& exports,
          const SessionLimits& limits, SessionSecurity security = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Completes when the connection is closed and none of its requests is in flight: only then may a
  // client's repeated requests be trusted not to race with their first sending (QEMU repeats them
  // after a reconnect). Run it once.
  Task<> run();

  // Until the client may send requests.
  bool in_handshake() const { return !transmission_.has_value(); }
  // At once, and `reason` is why. During the handshake.
  void end_handshake(std::string reason);
  // Ends the handshake at once; in transmission as Transmission::shut_down().
  void shut_down();
  // At once, without answers. run() still waits for the device.
  void close();

  // With the name that it has proven, if it has.
  const std::string& client_name() const { return client_.text; }
  // Empty during the handshake.
  const std::string& export_name() const { return export_name_; }
  std::size_t requests_in_flight() const;
  std::size_t bytes_in_flight() const;
  // Why it ended, as part of a sentence; after run().
  const std::string& reason() const { return reason_; }

 private:
  class Directory;

  Task<bool> shake_hands();
  Task<bool> answer_options(Negotiation& negotiation);
  Task<bool> encrypt(Negotiation& negotiation);
  Task<bool> send(std::vector<std::byte>& replies);

  World world_;
  std::unique_ptr<Stream> stream_;
  const ExportTable& exports_;
  SessionLimits limits_;
  InputBuffer input_;
  SessionSecurity security_;
  Client client_;
  std::string export_name_;
  std::string reason_;
  Timer handshake_deadline_;
  Terms terms_;
  std::unique_ptr<blockdev::BlockDevice> device_;
  std::optional<Transmission> transmission_;
  Scope shutting_down_;  // beside run(), which joins it
};

}  // namespace baton::nbd
