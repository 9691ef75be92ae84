#include "control/client/local_verbs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <vector>

#include "control/backing_disk.h"
#include "control/client/metadata_access.h"
#include "control/client/target.h"
#include "control/metadata_place.h"
#include "control/units.h"

namespace baton::control {
namespace {

// What create-md will do with one volume; found out for all of them before anything is done.
struct Plan {
  VolumeSite site;
  std::uint64_t size = 0;                      // of the volume
  std::optional<blockdev::InternalArea> area;  // on an existing disk
  bool make_disk = false;
  bool adopt = false;
  std::unique_ptr<VolumeHold> hold;
};

Result<> plan_disk(Plan& plan) {
  const VolumeSite& site = plan.site;
  const auto facts = inspect_disk(site.disk());
  if (!facts) return std::unexpected(facts.error());
  if (facts->exists) {
    if (auto good = check_disk(site, *facts); !good) return good;
    plan.size = volume_size(site, *facts);
    if (site.internal()) plan.area = blockdev::internal_area(facts->size);
    return {};
  }
  plan.make_disk = true;
  plan.size = site.configured_size();
  if (plan.size != 0) return {};
  return failure(
      fmt::format("{} does not exist, and {} gives no size to make it with: add "
                  "size = \"8GiB\", or correct disks",
                  site.text(), site.resource.file));
}

// What is on the disk reaches into the place of its metadata.
Error end_in_use(const Plan& plan) {
  return {fmt::format(
      "{0} holds data in its last {1} bytes, where internal metadata goes: shrink what must stay "
      "(a "
      "filesystem, for one) to {2} bytes or less and repeat this with --overwrite-end, or make the "
      "disk larger, or name a file for the metadata with meta = [\"PATH\"]",
      plan.site.text(), plan.area->bytes, plan.area->offset)};
}

Result<> plan_metadata(const Plan& plan, const Arguments& arguments) {
  const VolumeSite& site = plan.site;
  const auto found = look_for_metadata(site);
  if (!found) return std::unexpected(found.error());
  if (*found == MetadataFound::metadata) {
    if (arguments.options.force) return {};
    return failure(
        fmt::format("{} has metadata already, {}: use it as it is, or replace it with "
                    "--force (the resource then forgets which copy is newer)",
                    site.text(), site.internal() ? "at its end" : "in " + site.meta()));
  }
  if (site.internal()) {
    if (!plan.area || arguments.overwrite_end) return {};
    const auto free = internal_area_is_free(site.disk(), *plan.area);
    if (!free) return std::unexpected(free.error());
    if (*free) return {};
    return std::unexpected(end_in_use(plan));
  }
  if (*found == MetadataFound::nothing) return {};
  return failure(
      fmt::format("{} holds data that is no Baton metadata: remove it, or name "
                  "another place with meta",
                  site.meta()));
}

Result<Plan> plan_volume(const VolumeSite& site, const Arguments& arguments) {
  Plan plan{.site = site};
  if (auto good = plan_disk(plan); !good) return std::unexpected(good.error());
  if (auto good = plan_metadata(plan, arguments); !good) return std::unexpected(good.error());
  auto hold = VolumeHold::take(site);
  if (!hold) return std::unexpected(hold.error());
  plan.hold = std::move(*hold);
  if (plan.make_disk) return plan;
  const auto blank = disk_is_blank(site.disk(), plan.size);
  if (!blank) return std::unexpected(blank.error());
  plan.adopt = !*blank;
  return plan;
}

std::string_view origin(const Plan& plan) {
  if (plan.make_disk) return "made, sparse";
  return plan.adopt ? "adopted with its data, in place" : "existing and blank";
}

}  // namespace

Result<> create_md(const Arguments& arguments) {
  const auto target = find_target(arguments);
  if (!target) return std::unexpected(target.error());
  std::vector<Plan> plans;
  for (std::size_t volume = 0; volume < target->resource->volumes.size(); ++volume) {
    auto plan = plan_volume({*target->resource, *target->node, volume}, arguments);
    if (!plan) return std::unexpected(plan.error());
    plans.push_back(std::move(*plan));
  }
  for (const Plan& plan : plans) {
    if (auto made = plan.hold->create(plan.size, plan.adopt); !made) return made;
    fmt::print("{} volume {}: disk {} ({}, {}), metadata {}\n", target->resource->name,
               plan.site.volume, plan.site.disk(), size_text(plan.size), origin(plan),
               plan.site.internal() ? "at its end" : plan.site.meta());
  }
  return {};
}

Result<> dump_md(const Arguments& arguments) {
  const auto target = find_target(arguments);
  if (!target) return std::unexpected(target.error());
  std::vector<std::string> volumes;
  for (std::size_t volume = 0; volume < target->resource->volumes.size(); ++volume) {
    const VolumeSite site{*target->resource, *target->node, volume};
    auto text = dump_metadata(site, arguments.json);
    if (!text) return std::unexpected(text.error());
    volumes.push_back(std::move(*text));
  }
  if (arguments.json) {
    fmt::print("[{}]\n", fmt::join(volumes, ","));
  } else {
    fmt::print("{}", fmt::join(volumes, "\n"));
  }
  return {};
}

}  // namespace baton::control
