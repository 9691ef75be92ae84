// A small private CA, and the certificates that it signs (docs/tls.md). Touches no file and no
// clock. EC P-256 keys, ECDSA with SHA-256, X.509v3.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace baton::control {

// Both in seconds since 1970.
struct Validity {
  std::int64_t from = 0;
  std::int64_t until = 0;
};

enum class CertificateUse : std::uint8_t {
  node,    // serverAuth and clientAuth: a node proves its name with it on the replication link,
           // whichever side has dialled
  client,  // clientAuth alone: whoever asks for serverAuth, as peers and NBD clients do, cannot
           // take its owner for a node, whatever the owner is called
};

// Whom a certificate is for.
struct Subject {
  std::string name;                    // common name, and the one DNS name
  std::vector<std::string> addresses;  // numeric
  CertificateUse use = CertificateUse::client;
};

// X.509's limit for a common name.
inline constexpr std::size_t common_name_max = 64;

// A certificate and its key.
struct KeyPair {
  std::string certificate;  // PEM
  std::string key;          // PEM, PKCS #8, not encrypted
};

struct Certified {
  KeyPair pair;
  std::int64_t until = 0;
};

class CertificateAuthority {
 public:
  // A new key, and a certificate that it has signed itself.
  static Result<CertificateAuthority> make(const Validity& validity);

  // One that was made before. The error names `certificate_file` or `key_file`, the reason, and
  // what to do: one of the two cannot be read, they do not belong together, or it is no CA.
  static Result<CertificateAuthority> load(KeyPair pair, const std::string& certificate_file,
                                           const std::string& key_file);

  CertificateAuthority(CertificateAuthority&&) noexcept;
  CertificateAuthority& operator=(CertificateAuthority&&) noexcept;
  ~CertificateAuthority();

  const KeyPair& pair() const;
  std::string name() const;    // its common name: "Baton CA 0123abcd"
  std::int64_t until() const;  // its end, in seconds since 1970

  // A new key, and a certificate with a serial number of its own. It ends with the CA if
  // `validity` does not end before. Names and addresses are taken as they are.
  Result<Certified> certify(const Subject& subject, const Validity& validity) const;

 private:
  struct Parts;
  explicit CertificateAuthority(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace baton::control
