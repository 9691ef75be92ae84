// Goal: certificates that others accept for what they are for, and for nothing else.
// Method: what was made is read back and verified by OpenSSL.
#include "control/client/certificate_maker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <ctime>
#include <set>

#include "control/client/openssl_objects.h"

namespace baton::control {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

constexpr std::int64_t day = 86400;
constexpr std::int64_t now = 1'800'000'000;  // 2027-01-15
constexpr Validity ten_years{.from = now - 3600, .until = now + 3650 * day};
constexpr Validity one_year{.from = now - 3600, .until = now + 365 * day};

CertificateAuthority new_ca(const Validity& validity = ten_years) {
  auto made = CertificateAuthority::make(validity);
  if (!made) throw made.error();
  return std::move(*made);
}

Subject node(std::string name, std::vector<std::string> addresses = {}) {
  return {.name = std::move(name), .addresses = std::move(addresses), .use = CertificateUse::node};
}

Subject client(std::string name) {
  return {.name = std::move(name), .addresses = {}, .use = CertificateUse::client};
}

KeyPair certify(const CertificateAuthority& ca, const Subject& subject,
                const Validity& validity = one_year) {
  auto made = ca.certify(subject, validity);
  if (!made) throw made.error();
  return std::move(made->pair);
}

CertificateOwner parse(const std::string& pem) {
  auto certificate = certificate_from_pem(pem);
  if (!certificate) throw certificate.error();
  return std::move(*certificate);
}

std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  EXPECT_EQ(ASN1_TIME_to_tm(time, &parts), 1);
  return timegm(&parts);
}

std::string extension(const X509& certificate, int kind) {
  const int place = X509_get_ext_by_NID(&certificate, kind, -1);
  if (place < 0) return "none";
  X509_EXTENSION* found = X509_get_ext(&certificate, place);
  const BioOwner out(BIO_new(BIO_s_mem()));
  EXPECT_EQ(X509V3_EXT_print(out.get(), found, 0, 0), 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return (X509_EXTENSION_get_critical(found) != 0 ? "critical " : "") +
         std::string(data, static_cast<std::size_t>(size));
}

std::string subject_of(const X509& certificate) {
  std::array<char, 256> text{};
  X509_NAME_oneline(X509_get_subject_name(&certificate), text.data(), text.size());
  return text.data();
}

std::string issuer_of(const X509& certificate) {
  std::array<char, 256> text{};
  X509_NAME_oneline(X509_get_issuer_name(&certificate), text.data(), text.size());
  return text.data();
}

// As a TLS peer does it: the chain, the purpose and the time. "ok" or the reason.
std::string verify(const CertificateAuthority& ca, const KeyPair& pair, int purpose,
                   std::int64_t at = now) {
  const CertificateOwner root = parse(ca.pair().certificate);
  const CertificateOwner certificate = parse(pair.certificate);
  const std::unique_ptr<X509_STORE, OpensslFree<X509_STORE_free>> store(X509_STORE_new());
  const std::unique_ptr<X509_STORE_CTX, OpensslFree<X509_STORE_CTX_free>> context(
      X509_STORE_CTX_new());
  EXPECT_EQ(X509_STORE_add_cert(store.get(), root.get()), 1);
  EXPECT_EQ(X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr), 1);
  X509_VERIFY_PARAM* terms = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_purpose(terms, purpose);
  X509_VERIFY_PARAM_set_time(terms, at);
  X509_VERIFY_PARAM_set_flags(terms, X509_V_FLAG_X509_STRICT);
  if (X509_verify_cert(context.get()) == 1) return "ok";
  return X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
}

TEST(CertificateMaker, a_node_is_taken_as_server_and_as_client) {
  const CertificateAuthority ca = new_ca();
  const KeyPair alpha = certify(ca, node("alpha", {"10.0.0.1"}));
  EXPECT_EQ(verify(ca, alpha, X509_PURPOSE_SSL_SERVER), "ok");
  EXPECT_EQ(verify(ca, alpha, X509_PURPOSE_SSL_CLIENT), "ok");
  EXPECT_EQ(extension(*parse(alpha.certificate), NID_ext_key_usage),
            "TLS Web Server Authentication, TLS Web Client Authentication");
}

TEST(CertificateMaker, a_client_is_not_taken_as_server_whatever_it_is_called) {
  const CertificateAuthority ca = new_ca();
  const KeyPair alpha = certify(ca, client("alpha"));
  EXPECT_EQ(verify(ca, alpha, X509_PURPOSE_SSL_CLIENT), "ok");
  EXPECT_EQ(verify(ca, alpha, X509_PURPOSE_SSL_SERVER), "unsuitable certificate purpose");
  EXPECT_EQ(extension(*parse(alpha.certificate), NID_ext_key_usage),
            "TLS Web Client Authentication");
}

TEST(CertificateMaker, a_certificate_of_one_ca_is_nothing_to_another) {
  const KeyPair alpha = certify(new_ca(), node("alpha"));
  EXPECT_NE(verify(new_ca(), alpha, X509_PURPOSE_SSL_SERVER), "ok");
}

TEST(CertificateMaker, what_a_node_may_do_is_not_to_sign_others) {
  const CertificateAuthority ca = new_ca();
  const KeyPair alpha = certify(ca, node("alpha"));
  const auto as_ca = CertificateAuthority::load(alpha, "server-cert.pem", "server-key.pem");
  ASSERT_FALSE(as_ca);
  EXPECT_EQ(as_ca.error().message,
            "server-cert.pem is no certificate of a CA: bring back the one that is");
  const CertificateOwner certificate = parse(alpha.certificate);
  EXPECT_EQ(extension(*certificate, NID_basic_constraints), "critical CA:FALSE");
  EXPECT_EQ(extension(*certificate, NID_key_usage), "Digital Signature");
}

TEST(CertificateMaker, names_and_addresses_are_in_the_certificate_and_no_others) {
  const CertificateAuthority ca = new_ca();
  const CertificateOwner alpha =
      parse(certify(ca, node("alpha.example", {"10.0.0.1", "fe80::1"})).certificate);
  EXPECT_EQ(subject_of(*alpha), "/CN=alpha.example");
  EXPECT_EQ(issuer_of(*alpha), "/CN=" + ca.name());
  EXPECT_EQ(extension(*alpha, NID_subject_alt_name),
            "DNS:alpha.example, IP Address:10.0.0.1, IP Address:FE80:0:0:0:0:0:0:1");
  const CertificateOwner gamma = parse(certify(ca, client("gamma")).certificate);
  EXPECT_EQ(subject_of(*gamma), "/CN=gamma");
  EXPECT_EQ(extension(*gamma, NID_subject_alt_name), "DNS:gamma");
}

TEST(CertificateMaker, a_name_cannot_bring_another_one_in) {
  const CertificateAuthority ca = new_ca();
  const CertificateOwner alpha = parse(certify(ca, node("alpha,DNS:beta")).certificate);
  EXPECT_EQ(X509_check_host(alpha.get(), "beta", 4, 0, nullptr), 0);
}

TEST(CertificateMaker, what_openssl_refuses_is_said_in_one_sentence) {
  const CertificateAuthority ca = new_ca();
  const auto named = ca.certify(client(std::string(common_name_max + 1, 'a')), one_year);
  ASSERT_FALSE(named);
  EXPECT_THAT(named.error().message, MatchesRegex("the certificate of a+ cannot be made \\(.+\\)"));
  EXPECT_TRUE(ca.certify(client(std::string(common_name_max, 'a')), one_year));
  const auto addressed = ca.certify(node("alpha", {"10.0.0.256"}), one_year);
  ASSERT_FALSE(addressed);
  EXPECT_THAT(addressed.error().message, HasSubstr("bad ip address"));
}

TEST(CertificateMaker, the_ca_signs_leaves_and_is_named_after_its_key) {
  const CertificateAuthority ca = new_ca();
  const CertificateOwner root = parse(ca.pair().certificate);
  EXPECT_THAT(ca.name(), MatchesRegex("Baton CA [0-9a-f]{8}"));
  EXPECT_EQ(subject_of(*root), "/CN=" + ca.name());
  EXPECT_EQ(extension(*root, NID_basic_constraints), "critical CA:TRUE, pathlen:0");
  EXPECT_EQ(extension(*root, NID_key_usage), "critical Certificate Sign, CRL Sign");
  const std::string id = extension(*root, NID_subject_key_identifier);
  const std::string begin = id.substr(0, 2) + id.substr(3, 2) + id.substr(6, 2) + id.substr(9, 2);
  EXPECT_STRCASEEQ(ca.name().c_str(), ("Baton CA " + begin).c_str());
  const CertificateOwner alpha = parse(certify(ca, node("alpha")).certificate);
  EXPECT_THAT(extension(*alpha, NID_authority_key_identifier), HasSubstr(id));
  EXPECT_NE(new_ca().name(), ca.name());
}

TEST(CertificateMaker, keys_are_p256_and_signatures_sha256) {
  const CertificateAuthority ca = new_ca();
  const KeyPair alpha = certify(ca, node("alpha"));
  for (const KeyPair& pair : {ca.pair(), alpha}) {
    const CertificateOwner certificate = parse(pair.certificate);
    EXPECT_EQ(X509_get_version(certificate.get()), X509_VERSION_3);
    EXPECT_EQ(X509_get_signature_nid(certificate.get()), NID_ecdsa_with_SHA256);
    std::array<char, 32> group{};
    EXPECT_EQ(EVP_PKEY_get_group_name(X509_get0_pubkey(certificate.get()), group.data(),
                                      group.size(), nullptr),
              1);
    EXPECT_STREQ(group.data(), "prime256v1");
    const auto key = key_from_pem(pair.key);
    ASSERT_TRUE(key) << key.error().message;
    EXPECT_EQ(X509_check_private_key(certificate.get(), key->get()), 1);
  }
}

TEST(CertificateMaker, every_certificate_has_its_own_key_and_a_long_positive_serial_number) {
  const CertificateAuthority ca = new_ca();
  std::set<std::string> serials;
  std::set<std::string> keys;
  int bits_max = 0;
  constexpr int count = 32;
  for (int i = 0; i < count; ++i) {
    const KeyPair pair = certify(ca, node("alpha"));
    const CertificateOwner certificate = parse(pair.certificate);
    const NumberOwner number(
        ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate.get()), nullptr));
    EXPECT_FALSE(BN_is_negative(number.get()));
    bits_max = std::max(bits_max, BN_num_bits(number.get()));
    const std::unique_ptr<char, OpensslFree<[](char* text) { OPENSSL_free(text); }>> text(
        BN_bn2hex(number.get()));
    serials.insert(text.get());
    keys.insert(pair.key);
  }
  EXPECT_EQ(serials.size(), count);
  EXPECT_EQ(keys.size(), count);
  EXPECT_LE(bits_max, 127);
  EXPECT_GT(bits_max, 110);  // all 32 below 2^110: once in 2^544
}

TEST(CertificateMaker, a_certificate_is_valid_as_long_as_asked_and_never_longer_than_the_ca) {
  const CertificateAuthority ca = new_ca();
  const KeyPair year = certify(ca, node("alpha"), one_year);
  const CertificateOwner certificate = parse(year.certificate);
  EXPECT_EQ(seconds_of(X509_get0_notBefore(certificate.get())), one_year.from);
  EXPECT_EQ(seconds_of(X509_get0_notAfter(certificate.get())), one_year.until);
  EXPECT_EQ(verify(ca, year, X509_PURPOSE_SSL_SERVER, one_year.from - 1),
            "certificate is not yet valid");
  EXPECT_EQ(verify(ca, year, X509_PURPOSE_SSL_SERVER, one_year.from + 1), "ok");
  EXPECT_EQ(verify(ca, year, X509_PURPOSE_SSL_SERVER, one_year.until - 1), "ok");
  EXPECT_EQ(verify(ca, year, X509_PURPOSE_SSL_SERVER, one_year.until + 1),
            "certificate has expired");

  const auto century = ca.certify(node("alpha"), {.from = now, .until = now + 36500 * day});
  ASSERT_TRUE(century);
  EXPECT_EQ(century->until, ten_years.until);
  EXPECT_EQ(seconds_of(X509_get0_notAfter(parse(century->pair.certificate).get())),
            ten_years.until);
}

TEST(CertificateMaker, a_ca_that_was_kept_signs_as_before) {
  const CertificateAuthority made = new_ca();
  const auto loaded = CertificateAuthority::load(made.pair(), "ca-cert.pem", "ca-key.pem");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->name(), made.name());
  EXPECT_EQ(loaded->until(), ten_years.until);
  EXPECT_EQ(verify(made, certify(*loaded, node("alpha")), X509_PURPOSE_SSL_SERVER), "ok");
}

TEST(CertificateMaker, a_ca_is_refused_with_the_name_of_the_file_that_is_wrong) {
  const KeyPair good = new_ca().pair();
  const auto refusal = [](const KeyPair& pair) {
    const auto loaded = CertificateAuthority::load(pair, "ca-cert.pem", "ca-key.pem");
    return loaded ? "none" : loaded.error().message;
  };
  EXPECT_EQ(refusal(good), "none");
  EXPECT_EQ(refusal({.certificate = good.certificate, .key = new_ca().pair().key}),
            "ca-key.pem is not the key of ca-cert.pem: bring back the one that is");
  EXPECT_EQ(refusal({.certificate = "nonsense", .key = good.key}),
            "ca-cert.pem is no certificate in PEM (no start line): bring back the one that is");
  EXPECT_THAT(refusal({.certificate = good.certificate, .key = "nonsense"}),
              MatchesRegex("ca-key.pem is no private key in PEM without a passphrase \\(.+\\): "
                           "bring back the one that is"));
  EXPECT_EQ(ERR_peek_error(), 0U) << "what OpenSSL said is used up";
}

}  // namespace
}  // namespace baton::control
