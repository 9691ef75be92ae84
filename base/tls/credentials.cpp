#include "base/tls/credentials.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/assert.h"
#include "base/tls/openssl.h"
#include "base/tls/tls_stream.h"

namespace baton::tls {
namespace {

// AES-128 first: the quickest with instructions for it, and the hash of pre-shared keys is SHA-256.
constexpr const char* ciphers_1_3 =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* ciphers_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE-PSK+AESGCM:ECDHE-PSK+CHACHA20";

// RFC 9257 section 4.1 asks for no less.
constexpr std::size_t psk_bytes_min = 16;
constexpr std::size_t psk_bytes_max = 256;  // PSK_MAX_PSK_LEN of OpenSSL 1.1; 3.0 takes 512
constexpr const char* secret_identity = "baton";
constexpr const char* secret_purpose = "baton replication link, pre-shared key, version 1";

std::unexpected<Error> wrong(std::string message) {
  return failure(std::move(message), ExitCode::configuration);
}

Result<> must_be_readable(const std::string& path) {
  const std::ifstream file(path);
  if (file) return {};
  return wrong(fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
}

std::vector<unsigned char> key_from(const std::string& secret) {
  std::vector<unsigned char> key(32);
  std::size_t size = 0;
  const auto* purpose = reinterpret_cast<const unsigned char*>(secret_purpose);
  const unsigned char* const made =
      EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr, secret.data(), secret.size(), purpose,
                std::strlen(secret_purpose), key.data(), key.size(), &size);
  BATON_ASSERT(made != nullptr && size == key.size(), "HMAC-SHA256 of memory cannot fail");
  return key;
}

std::optional<unsigned char> nibble(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return std::nullopt;
}

// Empty when it is no hexadecimal number of whole bytes.
std::vector<unsigned char> bytes_of(std::string_view digits) {
  std::vector<unsigned char> bytes;
  if (digits.size() % 2 != 0) return {};
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    const auto high = nibble(digits[i]);
    const auto low = nibble(digits[i + 1]);
    if (!high || !low) return {};
    bytes.push_back(static_cast<unsigned char>(*high << 4U | *low));
  }
  return bytes;
}

std::optional<std::time_t> end_of(const X509* certificate) {
  std::tm when{};
  if (certificate == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) != 1) {
    return std::nullopt;
  }
  return timegm(&when);
}

}  // namespace

// What OpenSSL asks for pre-shared keys, by its plain callbacks: they serve TLS 1.2 and 1.3.
struct Credentials::Callbacks {
  static const Credentials& of(SSL* ssl) {
    return *static_cast<const Credentials*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  }

  static unsigned int copy(const std::vector<unsigned char>& key, unsigned char* into,
                           unsigned int room) {
    if (key.size() > room) return 0;
    std::memcpy(into, key.data(), key.size());
    return static_cast<unsigned int>(key.size());
  }

  // 0: there is no such client.
  static unsigned int key_of_client(SSL* ssl, const char* identity, unsigned char* into,
                                    unsigned int room) {
    const auto& keys = of(ssl).keys_;
    const auto found = keys.find(std::string_view(identity == nullptr ? "" : identity));
    if (found == keys.end()) return 0;
    *static_cast<std::string*>(SSL_get_app_data(ssl)) = found->first;
    return copy(found->second, into, room);
  }

  static unsigned int own_key(SSL* ssl, const char* /*hint*/, char* identity,
                              unsigned int identity_room, unsigned char* into, unsigned int room) {
    const auto& [name, key] = *of(ssl).keys_.begin();
    if (name.size() >= identity_room) return 0;
    std::memcpy(identity, name.c_str(), name.size() + 1);
    return copy(key, into, room);
  }
};

Credentials::~Credentials() = default;

Result<> Credentials::prepare(Side side, Version oldest) {
  const bool accepted = side == Side::accepted;
  Context context(SSL_CTX_new(accepted ? TLS_server_method() : TLS_client_method()), SSL_CTX_free);
  const bool made =
      context && SSL_CTX_set_min_proto_version(
                     context.get(), oldest == Version::v1_2 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1;
  if (!made || SSL_CTX_set_ciphersuites(context.get(), ciphers_1_3) != 1 ||
      SSL_CTX_set_cipher_list(context.get(), ciphers_1_2) != 1) {
    return failure(fmt::format("TLS is not available on this host: {}", oldest_error()));
  }
  SSL_CTX_set_options(context.get(),
                      SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  // OpenSSL takes a pre-shared key for a session of earlier, and a server must tell its own apart.
  const unsigned char ours[] = "baton";
  if (accepted) SSL_CTX_set_session_id_context(context.get(), ours, sizeof ours - 1);
  SSL_CTX_set_dh_auto(context.get(), 1);
  // Without a CA below, no certificate is believed at all.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_app_data(context.get(), this);
  (accepted ? accepting_ : dialling_) = std::move(context);
  return {};
}

Result<> Credentials::take_folder(const std::string& folder) {
  if (accepting_) {
    if (auto good = take_folder(folder, accepting_.get(), Side::accepted); !good) return good;
    expires_ = end_of(SSL_CTX_get0_certificate(accepting_.get()));
  }
  if (dialling_) return take_folder(folder, dialling_.get(), Side::dialled);
  return {};
}

Result<> Credentials::take_folder(const std::string& folder, SSL_CTX* context, Side side) {
  const std::string authority = folder + "/ca-cert.pem";
  const std::string certificate = folder + "/server-cert.pem";
  const std::string key = folder + "/server-key.pem";
  const std::string revoked = folder + "/ca-crl.pem";
  for (const std::string& path : {authority, certificate, key}) {
    if (auto good = must_be_readable(path); !good) return good;
  }
  if (SSL_CTX_load_verify_file(context, authority.c_str()) != 1)
    return wrong(fmt::format("{}: holds no certificate of a CA: {}", authority, oldest_error()));
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1)
    return wrong(fmt::format("{}: holds no certificate: {}", certificate, oldest_error()));
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1)
    return wrong(
        fmt::format("{}: is not the key of server-cert.pem beside it: {}", key, oldest_error()));
  if (side == Side::accepted)
    SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(authority.c_str()));
  if (use_ == Use::nodes) SSL_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
  std::error_code error;
  if (!std::filesystem::exists(revoked, error)) return {};
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  if (X509_STORE_load_file(store, revoked.c_str()) != 1)
    return wrong(
        fmt::format("{}: holds no list of revoked certificates: {}", revoked, oldest_error()));
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
  return {};
}

Result<> Credentials::take_psk_line(const std::string& path, std::size_t number,
                                    std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == 0 || colon == std::string_view::npos)
    return wrong(fmt::format("{}:{}: write NAME:HEXKEY on each line", path, number));
  const std::string name(line.substr(0, colon));
  std::vector<unsigned char> key = bytes_of(line.substr(colon + 1));
  if (key.size() < psk_bytes_min || key.size() > psk_bytes_max)
    return wrong(
        fmt::format("{}:{}: the key of {} is not {} to {} bytes in hexadecimal digits: "
                    "make one with openssl rand -hex 32",
                    path, number, name, psk_bytes_min, psk_bytes_max));
  if (!keys_.try_emplace(name, std::move(key)).second)
    return wrong(fmt::format("{}:{}: {} has a key already", path, number, name));
  return {};
}

Result<> Credentials::take_psk_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return wrong(fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with('#')) continue;
    if (auto good = take_psk_line(path, number, line); !good) return good;
  }
  if (keys_.empty()) return wrong(fmt::format("{}: holds no key: write NAME:HEXKEY lines", path));
  SSL_CTX_set_psk_server_callback(accepting_.get(), &Callbacks::key_of_client);
  return {};
}

Result<std::shared_ptr<const Credentials>> Credentials::for_clients(const ServerFiles& files) {
  std::shared_ptr<Credentials> made(new Credentials(Use::clients));
  Result<> good = made->prepare(Side::accepted, files.oldest);
  if (good && !files.folder.empty()) good = made->take_folder(files.folder);
  if (good && !files.psk_file.empty()) good = made->take_psk_file(files.psk_file);
  if (!good) return std::unexpected(good.error());
  return made;
}

Result<std::shared_ptr<const Credentials>> Credentials::for_nodes(const std::string& folder) {
  std::shared_ptr<Credentials> made(new Credentials(Use::nodes));
  Result<> good = made->prepare(Side::accepted, Version::v1_3);
  if (good) good = made->prepare(Side::dialled, Version::v1_3);
  if (good) good = made->take_folder(folder);
  if (!good) return std::unexpected(good.error());
  return made;
}

std::shared_ptr<const Credentials> Credentials::for_secret(const std::string& secret) {
  std::shared_ptr<Credentials> made(new Credentials(Use::secret));
  const bool ready = made->prepare(Side::accepted, Version::v1_3).has_value() &&
                     made->prepare(Side::dialled, Version::v1_3).has_value();
  BATON_ASSERT(ready, "OpenSSL offers TLS 1.3");
  made->keys_.emplace(secret_identity, key_from(secret));
  SSL_CTX_set_psk_server_callback(made->accepting_.get(), &Callbacks::key_of_client);
  SSL_CTX_set_psk_client_callback(made->dialling_.get(), &Callbacks::own_key);
  return made;
}

Result<std::shared_ptr<Source>> Source::open(Load load) {
  std::shared_ptr<Source> source(new Source(std::move(load)));
  if (auto loaded = source->reload(); !loaded) return std::unexpected(loaded.error());
  return source;
}

Result<> Source::reload() {
  auto loaded = load_();
  if (!loaded) return std::unexpected(loaded.error());
  const std::lock_guard lock(mutex_);
  current_ = std::move(*loaded);
  return {};
}

std::shared_ptr<const Credentials> Source::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

}  // namespace baton::tls
