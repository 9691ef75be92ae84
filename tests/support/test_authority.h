// A certificate authority of a test, and what it issues: folders as base/tls/credentials.h reads
// them.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace baton::test {

class TestAuthority {
 public:
  struct Wanted {
    std::string name;
    std::string purposes = "serverAuth,clientAuth";
    std::string alternative_names;  // empty: DNS:NAME
    long begins_in_seconds = -60;
    long ends_in_seconds = 3600;
  };

  TestAuthority() : key_(EVP_EC_gen("P-256")) {
    own_ = new_certificate({.name = "Test CA"}, key_);
    extend(own_, NID_basic_constraints, "critical,CA:TRUE");
    extend(own_, NID_key_usage, "critical,keyCertSign,cRLSign");
    must(X509_sign(own_, key_, EVP_sha256()) > 0);
  }
  ~TestAuthority() {
    X509_free(own_);
    EVP_PKEY_free(key_);
  }
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  // Makes `folder` with ca-cert.pem, server-cert.pem and server-key.pem.
  void issue(const std::string& folder, const Wanted& wanted) const {
    std::filesystem::create_directories(folder);
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const certificate = new_certificate(wanted, key);
    const std::string names =
        wanted.alternative_names.empty() ? "DNS:" + wanted.name : wanted.alternative_names;
    if (names != "none") extend(certificate, NID_subject_alt_name, names);
    extend(certificate, NID_ext_key_usage, wanted.purposes);
    must(X509_sign(certificate, key_, EVP_sha256()) > 0);
    write(folder + "/ca-cert.pem", [&](FILE* file) { return PEM_write_X509(file, own_); });
    write(folder + "/server-cert.pem",
          [&](FILE* file) { return PEM_write_X509(file, certificate); });
    write(folder + "/server-key.pem", [&](FILE* file) {
      return PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
    });
    X509_free(certificate);
    EVP_PKEY_free(key);
  }

  // Adds ca-crl.pem to `folder`, in which its own server-cert.pem is revoked or not.
  void list_revoked(const std::string& folder, const std::string& certificate_path) const {
    X509_CRL* const list = X509_CRL_new();
    X509_CRL_set_version(list, 1);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(own_));
    ASN1_TIME* const now = X509_gmtime_adj(nullptr, -60);
    ASN1_TIME* const later = X509_gmtime_adj(nullptr, 3600);
    X509_CRL_set1_lastUpdate(list, now);
    X509_CRL_set1_nextUpdate(list, later);
    if (!certificate_path.empty()) {
      FILE* const file = std::fopen(certificate_path.c_str(), "r");
      must(file != nullptr);
      X509* const certificate = PEM_read_X509(file, nullptr, nullptr, nullptr);
      std::fclose(file);
      X509_REVOKED* const revoked = X509_REVOKED_new();
      X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(certificate));
      X509_REVOKED_set_revocationDate(revoked, now);
      X509_CRL_add0_revoked(list, revoked);
      X509_free(certificate);
    }
    must(X509_CRL_sign(list, key_, EVP_sha256()) > 0);
    write(folder + "/ca-crl.pem", [&](FILE* file) { return PEM_write_X509_CRL(file, list); });
    ASN1_TIME_free(now);
    ASN1_TIME_free(later);
    X509_CRL_free(list);
  }

 private:
  static void must(bool done) {
    if (!done) throw std::runtime_error("a test certificate could not be made");
  }
  template <class Write>
  static void write(const std::string& path, const Write& write_to) {
    FILE* const file = std::fopen(path.c_str(), "w");
    must(file != nullptr);
    must(write_to(file) == 1);
    std::fclose(file);
  }
  static void extend(X509* certificate, int what, const std::string& value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str());
    must(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
  }

  X509* new_certificate(const Wanted& wanted, EVP_PKEY* key) const {
    X509* const certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(certificate), wanted.begins_in_seconds);
    X509_gmtime_adj(X509_getm_notAfter(certificate), wanted.ends_in_seconds);
    X509_set_pubkey(certificate, key);
    X509_NAME* const name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(wanted.name.c_str()), -1, -1,
                               0);
    X509_set_issuer_name(certificate, own_ == nullptr ? name : X509_get_subject_name(own_));
    return certificate;
  }

  mutable long serial_ = 0;
  EVP_PKEY* key_;
  X509* own_ = nullptr;
};

}  // namespace baton::test
