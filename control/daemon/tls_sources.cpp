#include "control/daemon/tls_sources.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <utility>

#include "control/daemon/log.h"

namespace baton::control {
namespace {

using Loaded = Result<std::shared_ptr<const tls::Credentials>>;

Loaded load_for_peers(const ResourceSpec& spec, const std::string& secret) {
  if (spec.tls.replication == LinkTls::psk) return tls::Credentials::for_secret(secret);
  return tls::Credentials::for_nodes(spec.tls.folder);
}

// An expired certificate is an outage that can be seen coming.
void warn_of_end(const ResourceSpec& spec, const tls::Source* source) {
  constexpr std::time_t days_before = 30;
  constexpr std::time_t day = std::time_t{24} * 60 * 60;
  if (source == nullptr) return;
  const auto expires = source->current()->expires();
  if (!expires || *expires - std::time(nullptr) > days_before * day) return;
  log_line(
      LogLevel::warning,
      fmt::format("{}: {}/server-cert.pem {} on {:%Y-%m-%d}: make a new one (batonctl "
                  "tls-init --renew) and send batond SIGHUP",
                  spec.name, spec.tls.folder, *expires < std::time(nullptr) ? "expired" : "expires",
                  fmt::gmtime(*expires)));
}

void warn_of_end(const ResourceSpec& spec, const TlsSources& sources) {
  const bool from_folder = sources.clients != nullptr && !spec.tls.folder.empty();
  warn_of_end(spec, from_folder ? sources.clients.get() : sources.peers.get());
}

Error in_tls(const ResourceSpec& spec, const Error& error) {
  return {fmt::format("{}:{}: [tls]: {}", spec.file, spec.tls.line, error.message),
          error.exit_code};
}

}  // namespace

Result<TlsSources> TlsSources::open(const ResourceSpec& spec, const std::string& secret) {
  TlsSources sources;
  if (spec.tls.nbd != NbdTls::off) {
    const tls::ServerFiles files{spec.tls.folder, spec.tls.psk_file, spec.tls.oldest};
    auto opened = tls::Source::open([files] { return tls::Credentials::for_clients(files); });
    if (!opened) return std::unexpected(in_tls(spec, opened.error()));
    sources.clients = std::move(*opened);
  }
  if (spec.tls.replication != LinkTls::off) {
    auto opened = tls::Source::open([&spec, secret] { return load_for_peers(spec, secret); });
    if (!opened) return std::unexpected(in_tls(spec, opened.error()));
    sources.peers = std::move(*opened);
  }
  warn_of_end(spec, sources);
  return sources;
}

void TlsSources::reload(const ResourceSpec& spec) const {
  for (const auto& source : {clients, peers}) {
    if (source == nullptr) continue;
    if (const auto done = source->reload(); !done) {
      log_line(LogLevel::error,
               fmt::format("{}: goes on with the certificates and keys that it has: {}", spec.name,
                           in_tls(spec, done.error()).message));
      return;
    }
  }
  if (clients == nullptr && peers == nullptr) return;
  log_line(LogLevel::notice,
           fmt::format("{}: certificates and keys read again, for new connections", spec.name));
  warn_of_end(spec, *this);
}

}  // namespace baton::control
