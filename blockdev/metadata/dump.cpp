#include "blockdev/metadata/dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "blockdev/metadata/area_reader.h"
#include "blockdev/metadata/cells.h"

namespace baton::blockdev {
namespace {

namespace json = boost::json;

// A bitmap of 1 TiB can have 134 million ranges; nobody reads them, and they would not fit.
constexpr std::size_t ranges_max = 100'000;

// One tree feeds both styles, so that they cannot drift apart.

std::string hex(std::uint64_t id) {
  return fmt::format("{:016x}", id);
}

json::array ids(const std::vector<std::uint64_t>& list) {
  json::array out;
  for (const std::uint64_t id : list) out.emplace_back(hex(id));
  return out;
}

json::object stamp(const SessionStamp& session) {
  return {{"number", session.number}, {"id", hex(session.id)}};
}

json::object range(std::uint64_t offset, std::uint64_t end, std::uint64_t volume_size) {
  return {{"offset", offset}, {"length", std::min(end, volume_size) - offset}};
}

json::object peer_of(const PeerSlot& peer, std::size_t slot) {
  return {{"slot", slot},
          {"name", peer.name},
          {"base", hex(peer.base_id)},
          {"told", hex(peer.told_id)},
          {"session", stamp(peer.session)},
          {"confirmed", stamp(peer.confirmed)},
          {"behind", peer.behind}};
}

json::object superblock_of(const Superblock& content) {
  json::array peers;
  for (std::size_t slot = 0; slot < content.peers.size(); ++slot) {
    if (!content.peers[slot].name.empty()) peers.push_back(peer_of(content.peers[slot], slot));
  }
  return {{"resource", content.resource},
          {"node", content.node},
          {"volume", content.volume},
          {"size", content.size},
          {"lineage", ids(content.lineage)},
          {"towards", ids(content.towards)},
          {"epoch", content.epoch},
          {"holder", content.holder},
          {"boot-id", hex(content.boot_id)},
          {"clean", content.clean},
          {"released", content.released},
          {"primary", content.primary},
          {"inconsistent", content.inconsistent},
          {"outdated", content.outdated},
          {"doubtful", content.doubtful},
          {"flush-failed", content.flush_failed},
          {"adopted", content.adopted},
          {"peers", std::move(peers)}};
}

json::array copies_of(const MetadataArea& area) {
  json::array copies;
  for (std::uint32_t i = 0; i < area.copies.size(); ++i) {
    json::object copy{{"at", area.superblock.geometry.superblock_at(i)},
                      {"state", name_of(area.copies[i].state)}};
    if (area.copies[i].state == CopyState::intact) copy["number"] = area.copies[i].sequence;
    copy["used"] = i == area.newest;
    copies.push_back(std::move(copy));
  }
  return copies;
}

json::array active_ranges(const MetadataArea& area) {
  const Geometry& geometry = area.superblock.geometry;
  const auto active = [&](std::uint64_t region) {
    return region < geometry.regions() &&
           bit_in(area.activity_pages[region / bits_per_page], region % bits_per_page);
  };
  json::array ranges;
  for (std::uint64_t region = 0; region < geometry.regions(); ++region) {
    if (!active(region)) continue;
    const std::uint64_t first = region;
    while (active(region)) ++region;
    ranges.push_back(range(first * region_bytes, region * region_bytes, geometry.volume_size));
  }
  return ranges;
}

json::object activity_of(const MetadataArea& area) {
  const Geometry& geometry = area.superblock.geometry;
  return {{"at", geometry.activity_at(0)},
          {"pages", geometry.activity_pages},
          {"number", area.activity.sequence},
          {"damaged-cells", area.activity.damage.cells},
          {"active", active_ranges(area)}};
}

json::object bitmap_of(const MetadataArea& area, std::uint32_t slot) {
  const Geometry& geometry = area.superblock.geometry;
  const Bitmap& bitmap = area.bitmaps[slot];
  json::array ranges;
  std::uint64_t next = 0;
  std::uint64_t listed = 0;
  while (const auto run = bitmap.next_set(next, bitmap.blocks())) {
    if (ranges.size() == ranges_max) break;
    next = run->first + run->count;
    ranges.push_back(range(run->first * block_bytes, next * block_bytes, geometry.volume_size));
    listed += ranges.back().at("length").to_number<std::uint64_t>();
  }
  return {{"slot", slot},
          {"peer", area.superblock.content.peers[slot].name},
          {"at", geometry.bitmap_at(slot, 0)},
          {"pages", geometry.bitmap_pages},
          {"number", area.bitmap_bits[slot].sequence},
          {"damaged-cells", area.bitmap_bits[slot].damage.cells},
          {"bytes-set", bitmap.bytes_set()},
          {"bytes-not-listed", bitmap.bytes_set() - listed},
          {"set", std::move(ranges)}};
}

json::object tree_of(const MetadataArea& area) {
  json::array bitmaps;
  for (std::uint32_t slot = 0; slot < area.bitmaps.size(); ++slot) {
    bitmaps.push_back(bitmap_of(area, slot));
  }
  json::array warnings;
  for (const std::string& warning : area.warnings) warnings.emplace_back(warning);
  return {{"format", format_version},
          {"copies", copies_of(area)},
          {"superblock", superblock_of(area.superblock.content)},
          {"activity-log", activity_of(area)},
          {"bitmaps", std::move(bitmaps)},
          {"warnings", std::move(warnings)}};
}

// --- text: the same tree, indented, one fact a line ---

std::string line_of(const json::value& value) {
  if (const json::string* text = value.if_string()) return text->empty() ? "-" : text->c_str();
  if (const json::object* object = value.if_object()) {
    std::string line;
    for (const auto& [key, member] : *object) {
      line +=
          fmt::format("{}{} {}", line.empty() ? "" : ", ", std::string_view(key), line_of(member));
    }
    return line;
  }
  return json::serialize(value);
}

bool is_flat(const json::value& value) {
  if (value.is_array()) return false;
  if (const json::object* object = value.if_object()) {
    return std::ranges::all_of(*object,
                               [](const auto& member) { return !member.value().is_structured(); });
  }
  return true;
}

void print(std::string& out, const json::object& object, std::size_t indent);

void print(std::string& out, std::string_view key, const json::value& value, std::size_t indent) {
  const std::string margin(indent, ' ');
  if (is_flat(value)) {
    out += fmt::format("{}{}: {}\n", margin, key, line_of(value));
    return;
  }
  if (const json::object* object = value.if_object()) {
    out += fmt::format("{}{}:\n", margin, key);
    print(out, *object, indent + 2);
    return;
  }
  const json::array& list = value.get_array();
  if (list.empty()) out += fmt::format("{}{}: none\n", margin, key);
  for (std::size_t i = 0; i < list.size(); ++i) {
    print(out, fmt::format("{}[{}]", key, i), list[i], indent);
  }
}

void print(std::string& out, const json::object& object, std::size_t indent) {
  for (const auto& [key, value] : object) print(out, std::string_view(key), value, indent);
}

}  // namespace

std::string dump_text(const MetadataArea& area) {
  std::string out;
  print(out, tree_of(area), 0);
  return out;
}

std::string dump_json(const MetadataArea& area) {
  return json::serialize(tree_of(area)) + "\n";
}

Task<Result<std::string>> dump(BlockDevice& device, DumpStyle style) {
  const Result<MetadataArea> area = co_await read_area(device);
  if (!area) co_return std::unexpected(area.error());
  co_return style == DumpStyle::json ? dump_json(*area) : dump_text(*area);
}

}  // namespace baton::blockdev
