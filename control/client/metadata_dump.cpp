#include "control/client/metadata_dump.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "control/client/local_shard.h"
#include "control/client/metadata_access.h"
#include "control/client/read_only_file.h"
#include "control/metadata_place.h"

namespace baton::control {
namespace {

namespace json = boost::json;
using blockdev::Metadata;
using blockdev::Superblock;

// Ids are random 64-bit numbers; JSON readers round those, so they are text.
json::string id_json(std::uint64_t id) {
  return json::string(fmt::format("{:016x}", id));
}

json::array ids_json(const std::vector<std::uint64_t>& ids) {
  json::array array;
  for (const std::uint64_t id : ids) array.push_back(id_json(id));
  return array;
}

json::array peers_json(Metadata& metadata) {
  json::array peers;
  const Superblock& superblock = metadata.superblock();
  for (std::uint32_t slot = 0; slot < metadata.slots(); ++slot) {
    const blockdev::PeerSlot& peer = superblock.peers[slot];
    json::object object;
    object["name"] = peer.name;
    object["behind"] = peer.behind;
    object["base"] = id_json(peer.base_id);
    object["told"] = id_json(peer.told_id);
    object["session"] = peer.session.number;
    object["out-of-sync"] = metadata.bitmap(slot).bytes_set();
    peers.push_back(std::move(object));
  }
  return peers;
}

}  // namespace

json::object metadata_json(Metadata& metadata, const std::vector<std::string>& warnings) {
  const Superblock& superblock = metadata.superblock();
  json::object object;
  object["resource"] = superblock.resource;
  object["node"] = superblock.node;
  object["volume"] = superblock.volume;
  object["size"] = superblock.size;
  object["lineage"] = ids_json(superblock.lineage);
  object["towards"] = ids_json(superblock.towards);
  object["epoch"] = superblock.epoch;
  object["holder"] = superblock.holder;
  object["boot-id"] = id_json(superblock.boot_id);
  object["clean"] = superblock.clean;
  object["released"] = superblock.released;
  object["primary"] = superblock.primary;
  object["inconsistent"] = superblock.inconsistent;
  object["outdated"] = superblock.outdated;
  object["doubtful"] = superblock.doubtful;
  object["flush-failed"] = superblock.flush_failed;
  object["adopted"] = superblock.adopted;
  object["active-regions"] = metadata.recovered_regions().size();
  object["peers"] = peers_json(metadata);
  object["warnings"] = json::array(warnings.begin(), warnings.end());
  return object;
}

std::string metadata_text(const json::object& dump) {
  std::string text;
  for (const auto& [key, value] : dump) {
    const json::array* array = value.if_array();
    if (array == nullptr || array->empty()) {
      text += fmt::format("{:<15} {}\n", std::string_view(key), json::serialize(value));
      continue;
    }
    for (const json::value& each : *array) {
      text += fmt::format("{:<15} {}\n", std::string_view(key), json::serialize(each));
    }
  }
  return text;
}

namespace {

using DeviceResult = Result<std::unique_ptr<blockdev::BlockDevice>>;

DeviceResult open_metadata(Loop& loop, const VolumeSite& site) {
  auto whole = open_read_only(loop, site.meta());
  if (!whole || !site.internal()) return whole;
  auto parts = split_disk(loop, site, std::move(*whole));
  if (!parts) return std::unexpected(parts.error());
  return std::move(parts->metadata);
}

}  // namespace

Result<std::string> dump_metadata(const VolumeSite& site, bool as_json) {
  const auto found = look_for_metadata(site);
  if (!found) return std::unexpected(found.error());
  if (*found != MetadataFound::metadata) {
    const auto disk = inspect_disk(site.disk());
    if (!disk) return std::unexpected(disk.error());
    return std::unexpected(no_metadata(site, *disk));
  }
  auto shard = LocalShard::open();
  if (!shard) return std::unexpected(shard.error());
  const auto device = open_metadata((*shard)->loop(), site);
  if (!device) return std::unexpected(device.error());
  std::vector<std::string> warnings;
  const auto metadata = (*shard)->run(Metadata::read((*shard)->loop(), **device, warnings));
  if (!metadata) return std::unexpected(metadata.error());
  const json::object dump = metadata_json(**metadata, warnings);
  return as_json ? json::serialize(dump) : metadata_text(dump);
}

}  // namespace baton::control
