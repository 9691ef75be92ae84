// Goal: what keeps an earlier certificate from use is said before it is an outage.
#include "control/client/certificate_check.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

namespace baton::control {
namespace {

constexpr std::int64_t day = 86400;
constexpr std::int64_t now = 1'800'000'000;  // 2027-01-15
constexpr Validity one_year{.from = now - 3600, .until = now + 365 * day};

CertificateAuthority new_ca() {
  auto made = CertificateAuthority::make({.from = now - 3600, .until = now + 3650 * day});
  if (!made) throw made.error();
  return std::move(*made);
}

Subject node(std::string name, std::vector<std::string> addresses = {}) {
  return {.name = std::move(name), .addresses = std::move(addresses), .use = CertificateUse::node};
}

Subject client(std::string name) {
  return {.name = std::move(name), .addresses = {}, .use = CertificateUse::client};
}

KeyPair certify(const CertificateAuthority& ca, const Subject& subject) {
  auto made = ca.certify(subject, one_year);
  if (!made) throw made.error();
  return std::move(made->pair);
}

std::string fault(const CertificateAuthority& ca, const KeyPair& pair, const Subject& subject,
                  std::int64_t at = now) {
  std::string found = fault_of(pair, subject, ca.pair().certificate, at);
  EXPECT_EQ(ERR_peek_error(), 0U) << "what OpenSSL said is used up";
  return found;
}

TEST(CertificateCheck, a_certificate_that_names_all_and_more_has_no_fault) {
  const CertificateAuthority ca = new_ca();
  const KeyPair alpha = certify(ca, node("alpha", {"10.0.0.1", "::1"}));
  EXPECT_EQ(fault(ca, alpha, node("alpha", {"10.0.0.1", "::1"})), "");
  EXPECT_EQ(fault(ca, alpha, node("alpha")), "");
  EXPECT_EQ(fault(ca, certify(ca, client("gamma")), client("gamma")), "");
}

TEST(CertificateCheck, what_it_does_not_name_is_said) {
  const CertificateAuthority ca = new_ca();
  const KeyPair alpha = certify(ca, node("alpha", {"10.0.0.1"}));
  EXPECT_EQ(fault(ca, alpha, node("beta")), "does not name beta");
  EXPECT_EQ(fault(ca, alpha, node("alpha", {"10.0.0.1", "10.0.0.9"})), "does not name 10.0.0.9");
  EXPECT_EQ(fault(ca, alpha, node("alpha", {"fe80::1"})), "does not name fe80::1");
}

TEST(CertificateCheck, a_certificate_for_another_use_is_said) {
  const CertificateAuthority ca = new_ca();
  EXPECT_EQ(fault(ca, certify(ca, client("alpha")), node("alpha")), "is for another use");
  EXPECT_EQ(fault(ca, certify(ca, node("alpha")), client("alpha")), "is for another use");
}

TEST(CertificateCheck, a_key_or_a_ca_of_another_one_is_said) {
  const CertificateAuthority ca = new_ca();
  const KeyPair alpha = certify(ca, node("alpha"));
  const KeyPair other = certify(ca, node("alpha"));
  EXPECT_EQ(fault(ca, {.certificate = alpha.certificate, .key = other.key}, node("alpha")),
            "does not fit its key");
  EXPECT_EQ(fault(new_ca(), alpha, node("alpha")), "was signed by another CA");
  EXPECT_EQ(fault(ca, {.certificate = "", .key = alpha.key}, node("alpha")),
            "is no certificate in PEM (no start line)");
}

TEST(CertificateCheck, one_that_has_expired_is_said) {
  const CertificateAuthority ca = new_ca();
  const KeyPair alpha = certify(ca, node("alpha"));
  EXPECT_EQ(fault(ca, alpha, node("alpha"), one_year.until), "");
  EXPECT_EQ(fault(ca, alpha, node("alpha"), one_year.until + 1), "expired on 2028-01-15");
  EXPECT_EQ(date_text(0), "1970-01-01");
}

}  // namespace
}  // namespace baton::control
