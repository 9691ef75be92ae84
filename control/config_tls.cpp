#include "control/config_tls.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "control/nearest.h"

namespace baton::control {
namespace {

constexpr std::array<std::string_view, 5> tls_keys{"dir", "psk-file", "nbd", "replication",
                                                   "min-version"};

NbdTls read_nbd_tls(const TomlSection& section) {
  const std::string written = section.text("nbd").value_or("required");
  if (written == "off") return NbdTls::off;
  if (written == "optional") return NbdTls::optional;
  if (written == "required") return NbdTls::required;
  section.fail("nbd", fmt::format("nbd = \"{}\" is unknown: choose \"required\", \"optional\" or "
                                  "\"off\"",
                                  written));
}

LinkTls read_link_tls(const TomlSection& section, const TlsSpec& tls) {
  const std::string written =
      section.text("replication").value_or(tls.folder.empty() ? "off" : "x509");
  if (written == "off") return LinkTls::off;
  if (written == "x509") return LinkTls::x509;
  if (written == "psk") return LinkTls::psk;
  section.fail("replication", fmt::format("replication = \"{}\" is unknown: choose \"x509\", "
                                          "\"psk\" or \"off\"",
                                          written));
}

tls::Version read_oldest(const TomlSection& section) {
  const std::string written = section.text("min-version").value_or("1.3");
  if (written == "1.3") return tls::Version::v1_3;
  if (written == "1.2") return tls::Version::v1_2;
  section.fail("min-version",
               fmt::format("min-version = \"{}\" is unknown: choose \"1.3\" or \"1.2\"", written));
}

}  // namespace

void read_tls(const TomlSection& section, const std::string& folder, ResourceSpec& spec) {
  section.only(tls_keys, {});
  TlsSpec& tls = spec.tls;
  tls.line = section.line();
  if (const auto path = section.text("dir")) tls.folder = resolve_path(*path, folder);
  if (const auto path = section.text("psk-file")) tls.psk_file = resolve_path(*path, folder);
  tls.nbd = read_nbd_tls(section);
  tls.replication = read_link_tls(section, tls);
  tls.oldest = read_oldest(section);
  if (tls.nbd != NbdTls::off && tls.folder.empty() && tls.psk_file.empty()) {
    section.fail("nbd",
                 "NBD over TLS needs certificates or keys: add dir = \"PATH\" or psk-file "
                 "= \"PATH\", or nbd = \"off\"");
  }
  if (tls.replication == LinkTls::x509 && tls.folder.empty()) {
    section.fail("replication",
                 "replication = \"x509\" needs certificates: add dir = \"PATH\" "
                 "(batonctl tls-init makes them)");
  }
  if (tls.replication == LinkTls::psk && spec.secret.empty() && spec.secret_file.empty()) {
    section.fail("replication",
                 "replication = \"psk\" makes its key from the secret: add "
                 "secret-file = \"PATH\" to [resource]");
  }
}

nbd::Access read_access(const TomlSection& section, const nbd::Access& standard) {
  nbd::Access access = standard;
  if (const auto networks = section.texts("allow-networks")) {
    access.networks.clear();
    for (const std::string& written : *networks) {
      const auto network = nbd::parse_network(written);
      if (!network) {
        section.fail("allow-networks",
                     fmt::format("allow-networks \"{}\" is no network: write one as 10.0.0.0/24 or "
                                 "fd00::/8, with nothing behind its prefix, or one address",
                                 written));
      }
      access.networks.push_back(*network);
    }
  }
  if (const auto names = section.texts("allow-names")) access.names = *names;
  return access;
}

void check_access(const TomlSection& section, const ResourceSpec& spec, const nbd::Access& access) {
  if (access.names.empty() || spec.tls.nbd != NbdTls::off) return;
  section.fail("allow-names",
               "allow-names needs TLS, by which clients prove their names: add a "
               "section [tls] (nbd = \"required\" or \"optional\")");
}

}  // namespace baton::control
