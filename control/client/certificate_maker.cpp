#include "control/client/certificate_maker.h"

#include <openssl/bn.h>

#include <algorithm>
#include <array>
#include <utility>

#include "control/client/openssl_objects.h"

namespace baton::control {
namespace {

// Random, so that no list of those given out is needed; the top bit is clear because a serial
// number is positive and has at most 20 bytes (RFC 5280, 4.1.2.2).
bool set_serial(X509& certificate) {
  constexpr int bits = 127;
  const NumberOwner number(BN_new());
  return number && BN_rand(number.get(), bits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(&certificate)) != nullptr;
}

bool set_validity(X509& certificate, const Validity& validity) {
  return ASN1_TIME_set(X509_getm_notBefore(&certificate), validity.from) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(&certificate), validity.until) != nullptr;
}

bool set_common_name(X509& certificate, const std::string& name) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(name.data());
  return X509_NAME_add_entry_by_NID(X509_get_subject_name(&certificate), NID_commonName,
                                    MBSTRING_UTF8, bytes, static_cast<int>(name.size()), -1,
                                    0) == 1;
}

bool begin(X509& certificate, EVP_PKEY& key, const Validity& validity) {
  return X509_set_version(&certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
         set_validity(certificate, validity) && X509_set_pubkey(&certificate, &key) == 1;
}

// `value` as in the configuration of OpenSSL: x509v3_config(5).
bool add_extension(X509& certificate, X509& issuer, int kind, const char* value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  const ExtensionOwner extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value));
  return extension && X509_add_ext(&certificate, extension.get(), -1) == 1;
}

bool add_alternative_name(GENERAL_NAMES& names, int kind, const std::string& value) {
  NameOwner name(
      a2i_GENERAL_NAME(nullptr, nullptr, nullptr, kind, value.c_str(), 0 /* no name constraint */));
  if (!name || sk_GENERAL_NAME_push(&names, name.get()) == 0) return false;
  return name.release() != nullptr;  // it is the list's now
}

bool add_alternative_names(X509& certificate, const Subject& subject) {
  const NamesOwner names(GENERAL_NAMES_new());
  if (!names || !add_alternative_name(*names, GEN_DNS, subject.name)) return false;
  for (const std::string& address : subject.addresses) {
    if (!add_alternative_name(*names, GEN_IPADD, address)) return false;
  }
  return X509_add1_ext_i2d(&certificate, NID_subject_alt_name, names.get(), 0,
                           X509V3_ADD_DEFAULT) == 1;
}

bool add_extensions_of_ca(X509& certificate) {
  const auto add = [&](int kind, const char* value) {
    return add_extension(certificate, certificate, kind, value);
  };
  return add(NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
         add(NID_key_usage, "critical,keyCertSign,cRLSign") &&
         add(NID_subject_key_identifier, "hash");
}

bool add_extensions(X509& certificate, X509& issuer, const Subject& subject) {
  const auto add = [&](int kind, const char* value) {
    return add_extension(certificate, issuer, kind, value);
  };
  const char* uses = subject.use == CertificateUse::node ? "serverAuth,clientAuth" : "clientAuth";
  return add(NID_basic_constraints, "critical,CA:FALSE") &&
         add(NID_key_usage, "digitalSignature") && add(NID_ext_key_usage, uses) &&
         add(NID_subject_key_identifier, "hash") &&
         add(NID_authority_key_identifier, "keyid:always") &&
         add_alternative_names(certificate, subject);
}

KeyOwner make_key() {
  return KeyOwner(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
}

bool sign(X509& certificate, EVP_PKEY& key) {
  return X509_sign(&certificate, &key, EVP_sha256()) != 0;
}

std::string text_of(BIO& memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(&memory, &data);
  return {data, static_cast<std::size_t>(size)};
}

Result<KeyPair> to_pem(X509& certificate, EVP_PKEY& key) {
  const BioOwner written(BIO_new(BIO_s_mem()));
  const BioOwner written_key(BIO_new(BIO_s_mem()));
  const bool good =
      written && written_key && PEM_write_bio_X509(written.get(), &certificate) == 1 &&
      PEM_write_bio_PrivateKey(written_key.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) == 1;
  if (!good) return openssl_failure("a key and its certificate cannot be written as PEM");
  return KeyPair{.certificate = text_of(*written), .key = text_of(*written_key)};
}

// The beginning of the key's id is in it, so that two CAs of one person have different names.
bool set_ca_name(X509& certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> id{};
  unsigned int size = 0;
  if (X509_pubkey_digest(&certificate, EVP_sha1(), id.data(), &size) != 1) return false;
  return set_common_name(
      certificate, fmt::format("Baton CA {:02x}{:02x}{:02x}{:02x}", id[0], id[1], id[2], id[3]));
}

// Empty where there is none.
std::string common_name(const X509& certificate) {
  std::array<char, common_name_max + 1> text{};
  const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(&certificate), NID_commonName,
                                             text.data(), static_cast<int>(text.size()));
  return size < 0 ? std::string() : std::string(text.data());
}

}  // namespace

struct CertificateAuthority::Parts {
  CertificateOwner certificate;
  KeyOwner key;
  KeyPair pair;
  std::int64_t until = 0;
};

CertificateAuthority::CertificateAuthority(std::unique_ptr<Parts> parts)
    : parts_(std::move(parts)) {}
CertificateAuthority::CertificateAuthority(CertificateAuthority&&) noexcept = default;
CertificateAuthority& CertificateAuthority::operator=(CertificateAuthority&&) noexcept = default;
CertificateAuthority::~CertificateAuthority() = default;

Result<CertificateAuthority> CertificateAuthority::make(const Validity& validity) {
  KeyOwner key = make_key();
  CertificateOwner certificate(X509_new());
  const bool made =
      key && certificate && begin(*certificate, *key, validity) && set_ca_name(*certificate) &&
      X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get())) == 1 &&
      add_extensions_of_ca(*certificate) && sign(*certificate, *key);
  if (!made) return openssl_failure("the certificate of the CA cannot be made");
  auto pair = to_pem(*certificate, *key);
  if (!pair) return std::unexpected(pair.error());
  return CertificateAuthority(std::make_unique<Parts>(std::move(certificate), std::move(key),
                                                      std::move(*pair), validity.until));
}

Result<CertificateAuthority> CertificateAuthority::load(KeyPair pair,
                                                        const std::string& certificate_file,
                                                        const std::string& key_file) {
  const auto wrong = [](const std::string& file, std::string_view what) {
    return failure(fmt::format("{} {}: bring back the one that is", file, what));
  };
  auto certificate = certificate_from_pem(pair.certificate);
  if (!certificate) return wrong(certificate_file, certificate.error().message);
  if (X509_check_ca(certificate->get()) != 1) {
    return wrong(certificate_file, "is no certificate of a CA");
  }
  const auto until = end_of(**certificate);
  if (!until) return wrong(certificate_file, until.error().message);
  auto key = key_from_pem(pair.key);
  if (!key) return wrong(key_file, key.error().message);
  if (X509_check_private_key(certificate->get(), key->get()) != 1) {
    ERR_clear_error();
    return wrong(key_file, fmt::format("is not the key of {}", certificate_file));
  }
  return CertificateAuthority(
      std::make_unique<Parts>(std::move(*certificate), std::move(*key), std::move(pair), *until));
}

const KeyPair& CertificateAuthority::pair() const {
  return parts_->pair;
}

std::string CertificateAuthority::name() const {
  return common_name(*parts_->certificate);
}

std::int64_t CertificateAuthority::until() const {
  return parts_->until;
}

Result<Certified> CertificateAuthority::certify(const Subject& subject,
                                                const Validity& validity) const {
  X509& issuer = *parts_->certificate;
  const Validity within{.from = validity.from, .until = std::min(validity.until, parts_->until)};
  const KeyOwner key = make_key();
  const CertificateOwner certificate(X509_new());
  const bool made = key && certificate && begin(*certificate, *key, within) &&
                    set_common_name(*certificate, subject.name) &&
                    X509_set_issuer_name(certificate.get(), X509_get_subject_name(&issuer)) == 1 &&
                    add_extensions(*certificate, issuer, subject) &&
                    sign(*certificate, *parts_->key);
  if (!made)
    return openssl_failure(fmt::format("the certificate of {} cannot be made", subject.name));
  auto pair = to_pem(*certificate, *key);
  if (!pair) return std::unexpected(pair.error());
  return Certified{.pair = std::move(*pair), .until = within.until};
}

}  // namespace baton::control
