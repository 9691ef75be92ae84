#include "control/client/tls_init.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "control/client/certificate_check.h"
#include "control/client/certificate_folder.h"
#include "control/client/durable_files.h"

namespace baton::control {
namespace {

namespace json = boost::json;

constexpr std::int64_t day_seconds = 86400;
// Clocks differ between hosts: what is made here is valid at once on one that is behind.
constexpr std::int64_t clock_slack_seconds = 3600;

// What was done for one party.
struct Entry {
  Party party;
  std::string folder;
  Provided provided;
};

std::string without_slash(const std::string& path) {
  return (std::filesystem::path(path) / "").parent_path().string();
}

CertificateOrder order_of(const TlsArguments& arguments) {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t now = std::chrono::floor<std::chrono::seconds>(since_1970).count();
  return {
      .folder = without_slash(arguments.folder),
      .now = now,
      .validity = {.from = now - clock_slack_seconds, .until = now + arguments.days * day_seconds},
      .renew = arguments.renew};
}

std::string until_text(const Provided& provided) {
  return provided.until ? ", until " + date_text(*provided.until) : "";
}

void print(const Entry& entry) {
  const Party& party = entry.party;
  if (entry.provided.made) {
    const std::string addresses =
        party.addresses.empty() ? "" : fmt::format(" ({})", fmt::join(party.addresses, ", "));
    fmt::print("made {}: for {} {}{}{}\n", entry.folder, party.node ? "node" : "client", party.name,
               addresses, until_text(entry.provided));
  }
  for (const std::string& fault : entry.provided.faults) {
    fmt::print("{}: make it anew with --renew\n", fault);
  }
}

void print_next_steps(const std::string& folder) {
  fmt::print(
      "\nWhat to do next:\n"
      "- copy what is in {0}/NODE to /etc/baton/tls on that node, and the folder of a client to "
      "it\n"
      "- keep {0}/ca-key.pem somewhere safe: who has it can make certificates for every name\n"
      "- add to the configuration of every resource, on every node:\n\n"
      "      [tls]\n"
      "      dir = \"/etc/baton/tls\"\n"
      "      nbd = \"required\"\n"
      "      replication = \"x509\"\n",
      folder);
}

json::object to_json(const Entry& entry) {
  json::object object{
      {"folder", entry.folder},
      {"name", entry.party.name},
      {"node", entry.party.node},
      {"addresses", json::array(entry.party.addresses.begin(), entry.party.addresses.end())},
      {"made", entry.provided.made},
      {"faults", json::array(entry.provided.faults.begin(), entry.provided.faults.end())}};
  if (entry.provided.until) object["until"] = date_text(*entry.provided.until);
  return object;
}

void print_json(const OpenedCa& ca, const std::vector<Entry>& entries) {
  json::array folders;
  for (const Entry& entry : entries) folders.push_back(to_json(entry));
  const json::object authority{
      {"name", ca.authority.name()}, {"made", ca.made}, {"until", date_text(ca.authority.until())}};
  fmt::print("{}\n", json::serialize(json::object{{"ca", authority}, {"folders", folders}}));
}

void print_ca(const std::string& folder, const CertificateAuthority& ca) {
  fmt::print("made {0}/ca-cert.pem, {0}/ca-key.pem: {1}, until {2}\n", folder, ca.name(),
             date_text(ca.until()));
}

void print_end(const std::string& folder, const std::vector<Entry>& entries) {
  const auto made = [](const Entry& entry) { return entry.provided.made; };
  const auto good = [](const Entry& entry) { return entry.provided.faults.empty(); };
  if (std::ranges::any_of(entries, made)) return print_next_steps(folder);
  if (std::ranges::all_of(entries, good)) fmt::print("nothing is missing in {}\n", folder);
}

Result<std::vector<Entry>> provide_all(const CertificateOrder& order,
                                       const CertificateAuthority& ca,
                                       const std::vector<Party>& parties, bool quiet) {
  std::vector<Entry> entries;
  for (const Party& party : parties) {
    auto provided = provide(order, ca, party);
    if (!provided) return std::unexpected(provided.error());
    entries.push_back({party, folder_of(order, party), std::move(*provided)});
    if (!quiet) print(entries.back());
  }
  return entries;
}

}  // namespace

Result<> tls_init(const Arguments& arguments) {
  const auto configuration = load_configuration(arguments.configuration);
  if (!configuration) return std::unexpected(configuration.error());
  const auto parties = parties_of(*configuration, arguments.tls.clients);
  if (!parties) return std::unexpected(parties.error());
  const CertificateOrder order = order_of(arguments.tls);
  for (const Party& party : *parties) {
    if (auto good = check_folder(order, party); !good) return good;
  }
  if (auto good = make_folder(order.folder); !good) return good;
  const auto lock = lock_folder(order.folder, "another tls-init");
  if (!lock) return std::unexpected(lock.error());
  const auto ca = open_ca(order);
  if (!ca) return std::unexpected(ca.error());
  if (ca->made && !arguments.json) print_ca(order.folder, ca->authority);
  const auto entries = provide_all(order, ca->authority, *parties, arguments.json);
  if (!entries) return std::unexpected(entries.error());
  if (arguments.json) {
    print_json(*ca, *entries);
  } else {
    print_end(order.folder, *entries);
  }
  return {};
}

}  // namespace baton::control
