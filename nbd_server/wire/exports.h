// What the handshake needs to know about exports; the session answers from its ExportTable.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "nbd_server/wire/protocol.h"

namespace baton::nbd {

// What is announced about one export.
struct ExportFacts {
  std::string name;  // the canonical one, also when the client asked for the default export ""
  std::string description;
  std::uint64_t size = 0;
  std::uint16_t transmission_flags = 0;  // without DF, which depends on the session
  std::uint32_t preferred_block = 4096;
  Contexts contexts = context_allocation;  // that can be selected
  friend bool operator==(const ExportFacts&, const ExportFacts&) = default;
};

// Why an export cannot be had; `message` is one sentence for the person at the client.
struct ExportRefusal {
  enum class Kind : std::uint8_t {
    policy,        // NBD_REP_ERR_POLICY: it exists, and this client may not have it now
    unknown,       // NBD_REP_ERR_UNKNOWN: there is none of that name
    shutdown,      // NBD_REP_ERR_SHUTDOWN: the daemon is going down
    tls_required,  // NBD_REP_ERR_TLS_REQD: not without TLS
  };
  Kind kind = Kind::policy;
  std::string message;
};

class ExportDirectory {
 public:
  virtual std::vector<ExportFacts> list() = 0;
  // For INFO and metadata contexts: opens nothing.
  virtual std::expected<ExportFacts, ExportRefusal> describe(std::string_view name) = 0;
  // For GO and EXPORT_NAME, the last step of a handshake: after success the transmission phase
  // begins. The facts equal those of describe().
  virtual std::expected<ExportFacts, ExportRefusal> open(std::string_view name) = 0;

 protected:
  ~ExportDirectory() = default;
};

}  // namespace baton::nbd
