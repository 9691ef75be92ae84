#include "control/client/certificate_check.h"

#include <ctime>

#include "control/client/openssl_objects.h"

namespace baton::control {
namespace {

bool signed_by(X509& certificate, const std::string& ca_certificate) {
  const auto ca = certificate_from_pem(ca_certificate);
  return ca && X509_check_issued(ca->get(), &certificate) == X509_V_OK &&
         X509_verify(&certificate, X509_get0_pubkey(ca->get())) == 1;
}

bool fits_key(const X509& certificate, const std::string& key_pem) {
  const auto key = key_from_pem(key_pem);
  return key && X509_check_private_key(&certificate, key->get()) == 1;
}

bool has_use(X509& certificate, CertificateUse use) {
  constexpr std::uint32_t both = XKU_SSL_SERVER | XKU_SSL_CLIENT;
  const std::uint32_t wanted = use == CertificateUse::node ? both : XKU_SSL_CLIENT;
  return (X509_get_extended_key_usage(&certificate) & both) == wanted;
}

// What of the subject the certificate does not name; empty where it names all.
std::string unnamed(X509& certificate, const Subject& subject) {
  if (X509_check_host(&certificate, subject.name.data(), subject.name.size(),
                      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr) != 1) {
    return subject.name;
  }
  for (const std::string& address : subject.addresses) {
    if (X509_check_ip_asc(&certificate, address.c_str(), 0) != 1) return address;
  }
  return {};
}

std::string first_fault(const KeyPair& pair, const Subject& subject,
                        const std::string& ca_certificate, std::int64_t now) {
  const auto certificate = certificate_from_pem(pair.certificate);
  if (!certificate) return certificate.error().message;
  if (!signed_by(**certificate, ca_certificate)) return "was signed by another CA";
  if (!fits_key(**certificate, pair.key)) return "does not fit its key";
  if (!has_use(**certificate, subject.use)) return "is for another use";
  const std::string missing = unnamed(**certificate, subject);
  if (!missing.empty()) return fmt::format("does not name {}", missing);
  const auto until = end_of(**certificate);
  if (!until) return until.error().message;
  return *until < now ? fmt::format("expired on {}", date_text(*until)) : std::string();
}

}  // namespace

std::string date_text(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm day{};
  gmtime_r(&time, &day);
  return fmt::format("{:04}-{:02}-{:02}", day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
}

std::string fault_of(const KeyPair& pair, const Subject& subject, const std::string& ca_certificate,
                     std::int64_t now) {
  std::string fault = first_fault(pair, subject, ca_certificate, now);
  ERR_clear_error();  // a name that does not fit leaves none, a signature that does not fit does
  return fault;
}

}  // namespace baton::control
