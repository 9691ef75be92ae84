#include "tests/simulation/crash_clones.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/task.h"
#include "blockdev/metadata/metadata.h"
#include "tests/simulation/metadata_image.h"

namespace baton::sim {

using blockdev::Metadata;

struct CrashClones::Variant {
  std::string_view name;
  std::optional<PowerLoss> power;
};

namespace {

// The disk that recovery works on.
class CloneDevice final : public blockdev::BlockDevice, Runnable {
 public:
  CloneDevice(Loop& loop, SparseImage& image)
      : Runnable([](Runnable& self) { static_cast<CloneDevice&>(self).carry_out(); }),
        loop_(loop),
        image_(image) {
    limits_.size = image.size();
  }
  const blockdev::Limits& limits() const override { return limits_; }
  std::string name() const override { return "clone"; }
  void submit(blockdev::Request& request) override {
    waiting_.push_back(&request);
    loop_.post(*this);
  }

 private:
  void carry_out() {
    for (blockdev::Request* const request : std::exchange(waiting_, {})) {
      request->error = IoError::none;
      if (request->op == blockdev::Op::read) {
        image_.read(request->offset, {request->data, request->length});
      } else if (request->op == blockdev::Op::write) {
        image_.write(request->offset, {request->data, request->length});
      }
      request->complete();
    }
  }

  Loop& loop_;
  SparseImage& image_;
  blockdev::Limits limits_;
  std::vector<blockdev::Request*> waiting_;
};

using Loaded = Result<std::unique_ptr<Metadata>>;

Task<> keep(Task<Loaded> task, std::optional<Loaded>& opened) {
  opened.emplace(co_await std::move(task));
}

}  // namespace

struct CrashClones::Found {
  SparseImage data;
  SparseImage metadata;
  SparseImage recovered;  // the metadata, after
  std::optional<Loaded> opened;
  std::vector<std::string> warnings;
};

CrashClones::CrashClones(World& world, std::vector<std::unique_ptr<Node>>& nodes, DiskRules& rules)
    : world_(world), nodes_(nodes), rules_(rules), random_(world.stream("clones")) {}

void CrashClones::note_write(const SimDisk& disk) {
  if (!begun_ || disk.holds_data() || !rules_.believed()) return;
  noted_.emplace(disk.node(), disk.volume());
}

void CrashClones::after_step() {
  static constexpr std::array<Variant, 3> variants = {{
      {"its process was killed", std::nullopt},
      {"its caches were lost", PowerLoss::lose},
      {"its caches were torn", PowerLoss::tear},
  }};
  for (const auto& [node, volume] : std::exchange(noted_, {})) {
    for (const Variant& variant : variants) {
      if (world_.violation()) return;
      recover(node, volume, variant);
    }
  }
}

void CrashClones::recover(int number, std::uint32_t volume, const Variant& variant) {
  Node& node = *nodes_[static_cast<std::size_t>(number)];
  const SparseImage metadata = node.metadata(volume).after_crash(variant.power, random_);
  Found found{.data = node.data(volume).after_crash(variant.power, random_),
              .metadata = metadata,
              .recovered = metadata,
              .opened = {},
              .warnings = {}};
  Loop loop;
  CloneDevice device(loop, found.recovered);
  Scope scope(loop);
  scope.spawn(keep(Metadata::open(loop, device, found.warnings), found.opened));
  while (loop.run_turn()) {
  }
  check(found, number, volume, variant);
}

void CrashClones::check(const Found& found, int number, std::uint32_t volume,
                        const Variant& variant) {
  Node& node = *nodes_[static_cast<std::size_t>(number)];
  const std::uint64_t size = node.data(volume).size();
  const auto broken = [&](const std::string& what) {
    world_.violated("recovery of a clone",
                    fmt::format("volume {} of {}, as it would be if {} now: {}", volume,
                                node.name(), variant.name, what));
  };
  if (!found.opened) return broken("opening its metadata does not end");
  if (!*found.opened) return broken(found.opened->error().message);
  for (const std::string& warning : found.warnings) {
    if (!warning.starts_with("superblock copy")) return broken(warning);
  }
  if (found.recovered.first_difference(found.metadata) < found.metadata.size()) {
    return broken("opening its metadata changes it");
  }
  Metadata& metadata = ***found.opened;
  const MetadataImage image(found.metadata, size);
  if (image.superblock() != metadata.superblock()) {
    return broken("another reader finds another superblock");
  }
  const auto& regions = metadata.recovered_regions();
  for (std::uint64_t region = 0; region * blockdev::region_bytes < size; ++region) {
    if (image.region_active(region) != std::ranges::binary_search(regions, region)) {
      return broken(fmt::format("another reader does not agree about region {}", region));
    }
  }
  rules_.look_for_forgotten_blocks_of(number, volume, found.data, found.metadata,
                                      fmt::format(", if {}", variant.name));
  // A copy that could not be read may have been the newer one.
  if (node.metadata(volume).unreadable_once()) return;
  const MetadataImage durable(node.metadata(volume).durable(), size);
  if (image.sequence() < durable.sequence()) {
    return broken(fmt::format("superblock {} is found, and {} is durable", image.sequence(),
                              durable.sequence()));
  }
}

}  // namespace baton::sim
