#include "replication/engine/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"

namespace baton::replication {

Proof prove(const std::string& secret, const wire::Hello& own, const wire::Hello& other) {
  // The encodings are unambiguous (every name carries its length) and contain the nonces.
  std::vector<std::byte> text = wire::encode(own);
  const std::vector<std::byte> theirs = wire::encode(other);
  text.insert(text.end(), theirs.begin(), theirs.end());

  Proof proof{};
  unsigned int size = 0;
  const unsigned char* made = HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                                   reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                                   reinterpret_cast<unsigned char*>(proof.data()), &size);
  BATON_ASSERT(made != nullptr && size == proof.size(), "HMAC-SHA256 of memory cannot fail");
  return proof;
}

bool same_proof(const Proof& a, std::span<const std::byte> b) {
  return b.size() == a.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace baton::replication
