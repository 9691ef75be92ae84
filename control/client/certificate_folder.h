// The folder of a private CA: ca-cert.pem, ca-key.pem, and a folder for everybody who has
// certificates of it, under the file names of QEMU's tls-creds-x509, nbdkit and libnbd
// (docs/tls.md).
//
// Of a key and its certificate the key is replaced first. Either file is whole at any time, but for
// a moment the two do not belong together: who loads them meanwhile has to see that, keep what it
// has, and load them again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/client/certificate_maker.h"
#include "control/client/certificate_parties.h"

namespace baton::control {

// What every step needs to know.
struct CertificateOrder {
  std::string folder;
  std::int64_t now = 0;  // seconds since 1970
  Validity validity;     // of what is made for nodes and clients
  bool renew = false;    // what is there is made anew
};

struct OpenedCa {
  CertificateAuthority authority;
  bool made = false;
};

// The CA in the folder, or a new one where there is none. Refused, and nothing changed: a key
// without its certificate or the other way round, two that do not belong together, one that has
// expired.
Result<OpenedCa> open_ca(const CertificateOrder& order);

struct Provided {
  bool made = false;                  // anything
  std::optional<std::int64_t> until;  // the end of the certificates that were made
  std::vector<std::string> faults;    // of what was kept: "FILE does not name 10.0.0.9"
};

// Makes what is missing in the folder of `party`. After an error some of it may be made.
Result<Provided> provide(const CertificateOrder& order, const CertificateAuthority& ca,
                         const Party& party);

// An error where the folder of a client has the certificate of a node, from a time when it was one.
Result<> check_folder(const CertificateOrder& order, const Party& party);

std::string folder_of(const CertificateOrder& order, const Party& party);

}  // namespace baton::control
