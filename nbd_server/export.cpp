#include "nbd_server/export.h"

#include <fmt/format.h>

#include <algorithm>

#include "nbd_server/wire/protocol.h"

namespace baton::nbd {
namespace {

// A client's bytes in a message or log line must not be able to fake another one.
std::string printable(std::string_view name) {
  constexpr std::size_t shown_bytes = 64;
  std::string shown(name.substr(0, shown_bytes));
  for (char& c : shown) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  if (name.size() > shown_bytes) shown += "...";
  return shown;
}

}  // namespace

ExportFacts facts_of(const Export& offered) {
  const blockdev::Limits& limits = offered.limits();
  // FLUSH and FUA always: without them QEMU turns a guest's flush into nothing.
  std::uint16_t flags = transmission_has_flags | transmission_flush | transmission_fua |
                        transmission_write_zeroes | transmission_multi_conn | transmission_cache;
  if (limits.rotational) flags |= transmission_rotational;
  if (limits.discard) flags |= transmission_trim;
  if (limits.fast_zero) flags |= transmission_fast_zero;
  Contexts contexts = context_allocation;
  if (limits.sync_status) contexts |= context_out_of_sync;
  return {.name = offered.name(),
          .description = offered.description(),
          .size = limits.size,
          .transmission_flags = flags,
          .preferred_block = limits.preferred_block,
          .contexts = contexts};
}

void ExportTable::add(Export& offered, Default as_default) {
  entries_.push_back({&offered, as_default});
}

void ExportTable::remove(Export& offered) {
  std::erase_if(entries_, [&](const Entry& entry) { return entry.offered == &offered; });
}

std::expected<Export*, ExportRefusal> ExportTable::find(std::string_view name,
                                                        const Client& client) const {
  const auto found = find_any(name, client);
  if (!found) return found;
  const auto admitted = admit(client, (*found)->access(), (*found)->name());
  if (!admitted) return std::unexpected(admitted.error());
  return found;
}

std::expected<Export*, ExportRefusal> ExportTable::find_any(std::string_view name,
                                                            const Client& client) const {
  for (const Entry& entry : entries_) {
    if (entry.offered->name() == name) return entry.offered;
  }
  using Kind = ExportRefusal::Kind;
  if (!name.empty())
    return std::unexpected(ExportRefusal{
        Kind::unknown, fmt::format("no export \"{}\" here; {}", printable(name), names(client))});

  Export* found = nullptr;
  for (const Entry& entry : entries_) {
    if (entry.as_default == Default::no) continue;
    if (found != nullptr)
      return std::unexpected(
          ExportRefusal{Kind::unknown, fmt::format("no default export here; {}", names(client))});
    found = entry.offered;
  }
  if (found == nullptr)
    return std::unexpected(
        ExportRefusal{Kind::unknown, fmt::format("no default export here; {}", names(client))});
  return found;
}

std::vector<ExportFacts> ExportTable::list(const Client& client) const {
  std::vector<ExportFacts> facts;
  for (const Entry& entry : entries_) {
    ExportFacts each = facts_of(*entry.offered);
    if (admit(client, entry.offered->access(), each.name)) facts.push_back(std::move(each));
  }
  return facts;
}

std::string ExportTable::names(const Client& client) const {
  const std::vector<ExportFacts> offered = list(client);
  if (offered.empty()) return "there is none for you at present";
  constexpr std::size_t shown_names = 8;
  std::string all;
  for (std::size_t i = 0; i < std::min(offered.size(), shown_names); ++i) {
    all += fmt::format("{}\"{}\"", i == 0 ? "choose from " : ", ", printable(offered[i].name));
  }
  if (offered.size() > shown_names) all += ", ...";
  return all;
}

}  // namespace baton::nbd
