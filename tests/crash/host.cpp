#include "tests/crash/host.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "blockdev/file_device.h"
#include "blockdev/metadata/metadata.h"
#include "tests/simulation/engine_factory.h"

namespace baton::crash {

using replication::ConnectionState;
using replication::ConnectionStatus;
using replication::DiskState;
using replication::ReplicationState;
using replication::ResourceStatus;

namespace {

constexpr std::size_t buffer_limit_bytes = 256U << 20U;
constexpr Duration verb_patience = std::chrono::minutes(2);

replication::ResourceConfig config_of(int number, std::uint64_t boot) {
  replication::ResourceConfig config;
  config.name = "vm1";
  config.self = name_of_node(number);
  config.nodes = {{name_of_node(0)}, {name_of_node(1)}};
  config.volumes = {{.size = volume_bytes}};
  config.active_regions = active_regions;
  config.boot_id = boot;
  return config;
}

bool peer_is_in_sync(const ConnectionStatus& peer) {
  const replication::PeerVolumeStatus& volume = peer.peer_devices.front();
  return peer.connection_state == ConnectionState::connected &&
         volume.replication_state == ReplicationState::established &&
         volume.peer_disk_state == DiskState::up_to_date;
}

}  // namespace

Host::Host(Recorder& recorder, sim::SimNet& net, int number, HostFiles files, std::uint64_t boot)
    : recorder_(recorder),
      net_(net),
      number_(number),
      files_(std::move(files)),
      config_(config_of(number, boot)),
      process_(recorder.world, number, std::chrono::hours(1)) {}

Host::~Host() {
  if (running()) throw_away_process();
}

void Host::create_files() {
  ::unlink(files_.data.c_str());
  ::unlink(files_.metadata.c_str());
  sim::EngineFactory factory;
  const auto made = [](Result<> result) {
    if (!result) throw std::runtime_error(result.error().message);
  };
  made(blockdev::create_sparse_file(files_.data, volume_bytes));
  made(blockdev::create_sparse_file(files_.metadata, factory.metadata_bytes(volume_bytes)));
  auto device = recorder_.bay.open(files_.metadata);
  if (!device) throw std::runtime_error(device.error().message);
  made(recorder_.bay.run(
      factory.create_metadata(recorder_.bay.loop(), **device, config_, /*volume=*/0)));
}

// --- the doors ---

Result<replication::BackingStore> Host::open(std::uint32_t /*volume*/) {
  replication::BackingStore store;
  for (auto [path, part, device] :
       {std::tuple(&files_.data, Part::data, &store.data),
        std::tuple(&files_.metadata, Part::metadata, &store.metadata)}) {
    auto opened = recorder_.bay.open(*path);
    if (!opened) return std::unexpected(opened.error());
    *device = std::make_unique<RecordingDisk>(std::move(*opened), recorder_, process_, part);
  }
  return store;
}

Result<std::unique_ptr<blockdev::BlockDevice>> Host::create_undo(std::uint32_t /*volume*/,
                                                                 std::uint64_t /*generation*/,
                                                                 std::uint64_t /*bytes*/) {
  return failure("no side yields here");
}

void Host::remove_undo(std::uint32_t /*volume*/, std::uint64_t /*generation*/) {}

Task<Result<replication::Link>> Host::dial(std::string peer, TimePoint deadline) {
  co_return co_await net_.dial(process_, peer[0] - 'A', deadline);
}

void Host::line(Level level, std::string text) {
  static constexpr std::array words = {"debug", "notice", "warning", "error"};
  recorder_.world.trace().say(number_,
                              fmt::format("{} {}", words[static_cast<std::size_t>(level)], text));
}

bool Host::configured(replication::Handler /*handler*/) const {
  return false;
}

Task<std::optional<int>> Host::run(replication::Handler /*handler*/) {
  co_return std::nullopt;
}

void Host::start(replication::Handler /*handler*/) {}

void Host::abandon() {}

// --- what it says ---

bool Host::in_sync() const {
  if (!running()) return false;
  const ResourceStatus now = status();
  return now.devices.front().disk_state == DiskState::up_to_date &&
         peer_is_in_sync(now.connections.front());
}

unsigned Host::counting() const {
  if (!running()) return 0;
  const ResourceStatus now = status();
  if (now.baton_holder != config_.self || now.baton_in_flight) return 0;
  unsigned counting = 0;
  if (now.devices.front().disk_state == DiskState::up_to_date) counting |= 1U << number_;
  if (peer_is_in_sync(now.connections.front())) counting |= 1U << (1 - number_);
  return counting;
}

// --- life ---

Result<> Host::start() {
  buffers_ = std::make_unique<BufferPool>(buffer_limit_bytes);
  const auto stream = static_cast<std::uint64_t>(number_) * 1000 + ++starts_;
  random_ = std::make_unique<HostRandom>(recorder_.world.stream("engine", stream));
  resource_ = replication::make_resource(
      {process_.loop(), process_, *random_, *buffers_, *this, *this, *this, *this}, config_);
  verbs_ = std::make_unique<Scope>(process_.loop());
  net_.listen(
      number_, process_,
      [](void* self, replication::Link link) {
        static_cast<Host*>(self)->resource_->accept(std::move(link));
      },
      this);
  return perform("up", [](replication::Resource& resource) { return resource.up(); });
}

Result<> Host::stop() {
  Result<> stopped =
      perform("down", [](replication::Resource& resource) { return resource.down(); });
  throw_away_process();
  return stopped;
}

void Host::throw_away_process() {
  net_.process_killed(number_);
  recorder_.bay.drain();
  process_.forget_calls();
  verbs_.reset();
  resource_.reset();
  random_.reset();
  buffers_.reset();
}

Task<> Host::run_verb(Task<Result<>> verb, std::shared_ptr<std::optional<Result<>>> result) {
  Result<> done = co_await std::move(verb);
  result->emplace(std::move(done));
}

Result<> Host::perform(const std::string& name, const MakeVerb& make) {
  recorder_.world.trace().say(number_, name + " …");
  auto result = std::make_shared<std::optional<Result<>>>();
  process_.run_soon([this, make, result] { verbs_->spawn(run_verb(make(*resource_), result)); });
  recorder_.world.run_while_waiting([&] { return result->has_value(); }, verb_patience);
  if (!*result) return failure(fmt::format("{} on {} does not end", name, config_.self));
  const Result<>& answer = **result;
  recorder_.world.trace().say(
      number_, name + ": " + (answer ? "done" : "refused, " + answer.error().message));
  return answer;
}

Result<> Host::promote(replication::PromoteOptions options) {
  return perform(options.force ? "promote by force" : "promote",
                 [options](replication::Resource& resource) { return resource.promote(options); });
}

}  // namespace baton::crash
