// What one side of a TLS connection shows, and whom it believes.
//
// X.509: a folder with the file names of QEMU's tls-creds-x509, nbdkit and libnbd: ca-cert.pem,
// server-cert.pem, server-key.pem, and ca-crl.pem where certificates were revoked. A connection is
// believed when its certificate leads to that CA; what it is called is asked of the stream.
// PSK: a file with a line NAME:HEXKEY for each client, as psktool of GnuTLS writes it.
//
// Immutable, and usable from any thread: a reload makes new ones, and a connection keeps those it
// began with. No tickets and no resumption: each connection proves itself anew.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

struct ssl_ctx_st;

namespace baton::tls {

enum class Version : std::uint8_t { v1_2, v1_3 };

struct ServerFiles {
  std::string folder;    // empty: no X.509
  std::string psk_file;  // empty: no PSK
  Version oldest = Version::v1_3;
};

enum class Side : std::uint8_t { dialled, accepted };

class Credentials {
 public:
  // A server's whose clients prove themselves, by a certificate for clients or by PSK. Reads files;
  // an error names the file.
  static Result<std::shared_ptr<const Credentials>> for_clients(const ServerFiles& files);
  // Of nodes that dial each other: both show a certificate for *servers*, so that no client's
  // certificate will do, whatever name it has. TLS 1.3.
  static Result<std::shared_ptr<const Credentials>> for_nodes(const std::string& folder);
  // The same by a shared secret, from which the key is made. It proves that the other side knows
  // the secret, and no name. TLS 1.3, with fresh keys (psk_dhe_ke).
  static std::shared_ptr<const Credentials> for_secret(const std::string& secret);

  ~Credentials();
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  // When our own certificate ends; nothing without one.
  std::optional<std::time_t> expires() const { return expires_; }

 private:
  friend class TlsStream;
  struct Callbacks;
  enum class Use : std::uint8_t { clients, nodes, secret };

  explicit Credentials(Use use) : use_(use) {}
  Result<> prepare(Side side, Version oldest);
  Result<> take_folder(const std::string& folder);
  Result<> take_folder(const std::string& folder, ssl_ctx_st* context, Side side);
  Result<> take_psk_file(const std::string& path);
  Result<> take_psk_line(const std::string& path, std::size_t number, std::string_view line);
  ssl_ctx_st* context(Side side) const {
    return side == Side::accepted ? accepting_.get() : dialling_.get();
  }

  using Context = std::unique_ptr<ssl_ctx_st, void (*)(ssl_ctx_st*)>;
  Use use_;
  Context accepting_{nullptr, nullptr};
  Context dialling_{nullptr, nullptr};
  std::map<std::string, std::vector<unsigned char>, std::less<>> keys_;  // PSK, by name
  std::optional<std::time_t> expires_;
};

// The credentials in use, which a reload replaces. From any thread.
class Source {
 public:
  using Load = std::function<Result<std::shared_ptr<const Credentials>>()>;

  // Loads for the first time.
  static Result<std::shared_ptr<Source>> open(Load load);

  // Reads the files again. On an error what was in use stays in use.
  Result<> reload();
  std::shared_ptr<const Credentials> current() const;

 private:
  explicit Source(Load load) : load_(std::move(load)) {}
  Load load_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Credentials> current_;
};

}  // namespace baton::tls
