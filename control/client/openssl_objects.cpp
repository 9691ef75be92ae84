#include "control/client/openssl_objects.h"

#include <ctime>

namespace baton::control {
namespace {

BioOwner reader_of(const std::string& text) {
  return BioOwner(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// OpenSSL's own would ask on the terminal.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) {
  return -1;
}

}  // namespace

std::unexpected<Error> openssl_failure(std::string_view what) {
  const char* reason = ERR_reason_error_string(ERR_get_error());
  ERR_clear_error();
  return failure(fmt::format("{} ({})", what, reason != nullptr ? reason : "OpenSSL says no more"));
}

Result<CertificateOwner> certificate_from_pem(const std::string& pem) {
  const BioOwner from = reader_of(pem);
  CertificateOwner certificate(from ? PEM_read_bio_X509(from.get(), nullptr, no_passphrase, nullptr)
                                    : nullptr);
  if (!certificate) return openssl_failure("is no certificate in PEM");
  return certificate;
}

Result<KeyOwner> key_from_pem(const std::string& pem) {
  const BioOwner from = reader_of(pem);
  KeyOwner key(from ? PEM_read_bio_PrivateKey(from.get(), nullptr, no_passphrase, nullptr)
                    : nullptr);
  if (!key) return openssl_failure("is no private key in PEM without a passphrase");
  return key;
}

Result<std::int64_t> end_of(const X509& certificate) {
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &end) != 1) {
    return openssl_failure("does not say when it ends");
  }
  return timegm(&end);
}

}  // namespace baton::control
