#include "control/client/certificate_folder.h"

#include <fmt/format.h>

#include <filesystem>
#include <string_view>
#include <utility>

#include "control/client/certificate_check.h"
#include "control/client/durable_files.h"

namespace baton::control {
namespace {

constexpr std::string_view ca_certificate_name = "ca-cert.pem";
constexpr std::string_view ca_key_name = "ca-key.pem";
constexpr mode_t certificate_mode = 0644;
constexpr mode_t key_mode = 0600;

// One that ends is an outage that small teams do not see coming.
constexpr std::int64_t ca_seconds = std::int64_t{3650} * 86400;

std::string path_in(const std::string& folder, std::string_view name) {
  return (std::filesystem::path(folder) / name).string();
}

std::string certificate_path(const std::string& folder, std::string_view role) {
  return path_in(folder, fmt::format("{}-cert.pem", role));
}

std::string key_path(const std::string& folder, std::string_view role) {
  return path_in(folder, fmt::format("{}-key.pem", role));
}

Result<> write_pair(const KeyPair& pair, const std::string& certificate, const std::string& key) {
  if (auto good = replace_file(key, pair.key, key_mode); !good) return good;
  return replace_file(certificate, pair.certificate, certificate_mode);
}

Result<OpenedCa> make_ca(const CertificateOrder& order, const std::string& certificate,
                         const std::string& key) {
  auto made =
      CertificateAuthority::make({.from = order.validity.from, .until = order.now + ca_seconds});
  if (!made) return std::unexpected(made.error());
  if (auto good = write_pair(made->pair(), certificate, key); !good) {
    return std::unexpected(good.error());
  }
  return OpenedCa{.authority = std::move(*made), .made = true};
}

Result<> provide_ca_certificate(const CertificateOrder& order, const std::string& ca,
                                const std::string& folder, Provided& provided) {
  const std::string path = path_in(folder, ca_certificate_name);
  const auto there = read_if_there(path);
  if (!there) return std::unexpected(there.error());
  if (*there == ca) return {};
  if (!there->empty() && !order.renew) {
    provided.faults.push_back(fmt::format("{} is of another CA", path));
    return {};
  }
  provided.made = true;
  return replace_file(path, ca, certificate_mode);
}

Result<> provide_pair(const CertificateOrder& order, const CertificateAuthority& ca,
                      const std::string& folder, const Role& role, Provided& provided) {
  const std::string certificate_file = certificate_path(folder, role.name);
  const std::string key_file = key_path(folder, role.name);
  const auto certificate = read_if_there(certificate_file);
  if (!certificate) return std::unexpected(certificate.error());
  const auto key = read_if_there(key_file);
  if (!key) return std::unexpected(key.error());
  if (!certificate->empty() && !key->empty() && !order.renew) {
    const std::string fault = fault_of({.certificate = *certificate, .key = *key}, role.subject,
                                       ca.pair().certificate, order.now);
    if (!fault.empty()) provided.faults.push_back(fmt::format("{} {}", certificate_file, fault));
    return {};
  }
  const auto certified = ca.certify(role.subject, order.validity);
  if (!certified) return std::unexpected(certified.error());
  provided.made = true;
  provided.until = certified->until;
  return write_pair(certified->pair, certificate_file, key_file);
}

}  // namespace

std::string folder_of(const CertificateOrder& order, const Party& party) {
  return path_in(order.folder, party.name);
}

Result<OpenedCa> open_ca(const CertificateOrder& order) {
  const std::string certificate_file = path_in(order.folder, ca_certificate_name);
  const std::string key_file = path_in(order.folder, ca_key_name);
  auto certificate = read_if_there(certificate_file);
  if (!certificate) return std::unexpected(certificate.error());
  auto key = read_if_there(key_file);
  if (!key) return std::unexpected(key.error());
  if (certificate->empty() && key->empty()) return make_ca(order, certificate_file, key_file);
  if (key->empty()) {
    return failure(
        fmt::format("{} is missing, the key of {}: bring it back, or make a new CA in "
                    "another --dir (every node and client then needs its new folder)",
                    key_file, certificate_file));
  }
  if (certificate->empty()) {
    return failure(
        fmt::format("{} is missing, the certificate of {}: copy it from the folder of a "
                    "node, or remove the key if no node has a folder yet",
                    certificate_file, key_file));
  }
  auto authority = CertificateAuthority::load(
      {.certificate = std::move(*certificate), .key = std::move(*key)}, certificate_file, key_file);
  if (!authority) return std::unexpected(authority.error());
  if (authority->until() > order.now) return OpenedCa{.authority = std::move(*authority)};
  return failure(
      fmt::format("{} expired on {}: make a new CA in another --dir (every node and "
                  "client then needs its new folder)",
                  certificate_file, date_text(authority->until())));
}

Result<Provided> provide(const CertificateOrder& order, const CertificateAuthority& ca,
                         const Party& party) {
  const std::string folder = folder_of(order, party);
  Provided provided;
  auto good = make_folder(folder);
  if (good) good = provide_ca_certificate(order, ca.pair().certificate, folder, provided);
  for (const Role& role : roles_of(party)) {
    if (good) good = provide_pair(order, ca, folder, role, provided);
  }
  if (!good) return std::unexpected(good.error());
  return provided;
}

Result<> check_folder(const CertificateOrder& order, const Party& party) {
  if (party.node) return {};
  const std::string folder = folder_of(order, party);
  const auto there = read_if_there(certificate_path(folder, "server"));
  if (!there) return std::unexpected(there.error());
  if (there->empty()) return {};
  return failure(
      fmt::format("{} has the certificate of a node, which no client may have: remove "
                  "that folder, or choose another name for --client",
                  folder));
}

}  // namespace baton::control
