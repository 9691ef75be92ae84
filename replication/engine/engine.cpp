#include "replication/engine/engine.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/mutant.h"

namespace baton::replication {

std::unique_ptr<Resource> make_resource(Environment environment, ResourceConfig config) {
  return std::make_unique<Engine>(environment, std::move(config));
}

Engine::Engine(Environment environment, ResourceConfig config)
    : env_(environment),
      config_(std::move(config)),
      gate_changed_(env_.loop),
      clients_moved_(env_.loop),
      session_changed_(env_.loop),
      answered_(env_.loop),
      verify_changed_(env_.loop),
      scope_(env_.loop) {
  for (const NodeConfig& node : config_.nodes) {
    if (node.name != config_.self) peer_name_ = node.name;
  }
  for (std::uint32_t i = 0; i < config_.volumes.size(); ++i) {
    volumes_.push_back(std::make_unique<Volume>(*this, i, config_.volumes[i]));
  }
  inconsistent_.assign(volumes_.size(), true);
  instance_ = env_.random.next_id();
}

Engine::~Engine() = default;

void Engine::log(Journal::Level level, std::string text) {
  env_.journal.line(level, std::move(text));
}

void Engine::changed() {
  if (observer_ != nullptr) observer_->resource_changed(config_.name);
}

bool Engine::complete() const {
  const bool torn =
      std::find(inconsistent_.begin(), inconsistent_.end(), true) != inconsistent_.end();
  return !lineage_.empty() && towards_.empty() && !torn;
}

bool Engine::every_volume_usable() const {
  return !changing_disks_ && std::ranges::all_of(volumes_, [](const auto& volume) {
    return volume->attached() && !volume->failed();
  });
}

blockdev::Superblock Engine::compose(const Volume& volume) const {
  blockdev::Superblock next = volume.superblock();
  next.lineage = lineage_;
  next.towards = towards_;
  next.epoch = epoch_.number;
  next.holder = epoch_.holder;
  next.boot_id = config_.boot_id;
  next.clean = clean_;
  next.released = released_;
  // Killed once more before it has taken its role again, it is still the one to take it.
  const bool resuming = resume_primary_ && !mutant("restarted-once-alone");
  next.primary = role_ == Role::primary || resuming || resume_shared_;
  next.doubtful = has_peer() && arrival_ == Arrival::crashed;
  next.inconsistent = inconsistent_[volume.index()];
  next.flush_failed = volume.flush_failed_;
  next.outdated = outdated_;
  next.adopted = adopted_;
  next.peers[0] = slot_;
  return next;
}

Task<bool> Engine::commit() {
  bool durable = true;
  ++commits_;
  for (auto& volume : volumes_) {
    if (!volume->attached()) continue;
    const IoError error = co_await volume->metadata().commit(compose(*volume));
    if (error != IoError::none) {
      disk_failed(*volume, "writing the superblock");
      durable = false;
    }
  }
  if (--commits_ == 0) gate_changed_.notify_all();
  co_return durable;
}

void Engine::disk_failed(Volume& volume, const char* what) {
  if (std::exchange(volume.failed_, true)) return;
  log(Journal::Level::error,
      fmt::format("volume {}: {} failed; the disk is not used any more. Repair or replace it, then "
                  "attach it",
                  volume.index(), what));
  volume.metadata().refuse_acquires();
  if (env_.handlers.configured(Handler::local_io_error)) {
    env_.handlers.start(Handler::local_io_error);
  }
  // Without a disk this node must not be taken for a copy. Either the peer takes over, or the
  // session ends, and what follows is settled in the next one.
  if (config_.on_io_error == OnIoError::detach && peer_can_take_over()) {
    if (!std::exchange(leaving_disk_, true)) scope_.spawn(leave_disk());
  } else if (!leaving_disk_ && session_ != nullptr) {
    session_->drop("this node's disk has failed");
  }
  update_gate();
  changed();
}

DiskState Engine::disk_state(const Volume& volume) const {
  if (!volume.attached()) return DiskState::diskless;
  if (volume.failed()) return DiskState::failed;
  if (lineage_.empty() || !towards_.empty() || inconsistent_[volume.index()]) {
    return DiskState::inconsistent;
  }
  if (holding_ && !granted_away_) return DiskState::up_to_date;
  const bool with_holder = session_ != nullptr && replicating_ && session_->peer_holding;
  if (with_holder) return to_be_copied_to_ ? DiskState::outdated : DiskState::up_to_date;
  return unvouched_;
}

namespace {

double percent_in_sync(std::uint64_t size, std::uint64_t out_of_sync) {
  if (size == 0) return 100.0;
  return 100.0 * (1.0 - static_cast<double>(out_of_sync) / static_cast<double>(size));
}

ReplicationState sync_state(bool target, bool paused) {
  if (paused) return target ? ReplicationState::paused_sync_t : ReplicationState::paused_sync_s;
  return target ? ReplicationState::sync_target : ReplicationState::sync_source;
}

std::uint64_t milliseconds(Duration time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

std::optional<std::uint64_t> seconds(std::optional<Duration> time) {
  if (!time) return std::nullopt;
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(*time).count());
}

}  // namespace

ResourceStatus Engine::status() const {
  ResourceStatus status;
  status.name = config_.name;
  status.role = role_;
  status.up = up_;
  status.baton_holder = epoch_.holder;
  status.baton_epoch = epoch_.number;
  status.window_open = offering_ || peer_offers_ || window_open_;
  status.baton_in_flight = granted_away_;
  status.suspended = suspended_reason();
  const auto held = [this](const HeldRequests& requests) {
    const auto now = env_.clock.now();
    return HeldStatus{
        .count = requests.count,
        .reason = requests.reason,
        .oldest_ms = requests.count > 0 ? milliseconds(now - requests.since) : 0,
    };
  };
  status.held_writes = held(held_writes_);
  status.held_reads = held(held_reads_);
  status.held_longest_ms = std::chrono::duration<double, std::milli>(held_longest_).count();
  status.bytes_replicated =
      bytes_replicated_before_ + (session_ != nullptr ? session_->bytes_sent() : 0);
  for (const auto& volume : volumes_) {
    VolumeStatus device{
        .volume = volume->index(), .disk_state = disk_state(*volume), .size = volume->size()};
    volume->tell_regions(device);
    if (volume->attached()) {
      const auto& counters = volume->metadata().activity_counters();
      device.log_hits = counters.hits;
      device.log_misses = counters.misses;
      device.log_stalls = counters.stalls;
    }
    if (const blockdev::Unanswered& unanswered = volume->unanswered(); !unanswered.empty()) {
      device.unanswered = unanswered.requests();
      device.unanswered_ms = milliseconds(env_.clock.now() - unanswered.since());
    }
    status.devices.push_back(device);
    for (const ClientDevice& client : volume->clients()) status.clients.push_back(client.name());
  }
  if (!has_peer()) return status;

  ConnectionStatus connection;
  connection.name = peer_name_;
  const bool connected = session_ != nullptr && session_->established();
  const bool wanted = want_connected_ || starting_;
  connection.connection_state = connected ? ConnectionState::connected
                                : wanted  ? ConnectionState::connecting
                                          : ConnectionState::stand_alone;
  connection.peer_role = connected ? session_->peer_role : Role::unknown;
  connection.split_brain = connected ? split_brain_ : std::nullopt;
  connection.last_error = connected ? "" : last_error_;
  connection.verify = verify_status();
  for (const auto& volume : volumes_) {
    PeerVolumeStatus peer;
    peer.volume = volume->index();
    peer.sync_held_here = pauses_sync_;
    peer.out_of_sync_bytes = volume->metadata_bits_set();
    // Bits go with flushes, at the target in the end: what has been copied is known earlier.
    if (volume->syncing && sync_paused()) {
      peer.out_of_sync_bytes = std::min(peer.out_of_sync_bytes, volume->sync_to_go());
    } else if (volume->syncing) {
      peer.out_of_sync_bytes = std::min(peer.out_of_sync_bytes, volume->sync_to_go());
      peer.seconds_to_go =
          seconds(volume->sync_estimate.time_for(volume->sync_to_go(), env_.clock.now()));
    }
    peer.percent_in_sync = percent_in_sync(volume->size(), peer.out_of_sync_bytes);
    if (connected) {
      peer.sync_held_there = session_->peer_pauses_sync;
      const auto& disks = session_->peer_disks;
      if (volume->index() < disks.size()) peer.peer_disk_state = disks[volume->index()];
      const bool target = !towards_.empty();
      if (session_->service) peer.replication_state = ReplicationState::established;
      if (replicating_) {
        peer.replication_state = volume->syncing ? sync_state(target, sync_paused())
                                                 : verify_.shown_state(volume->index());
      }
    }
    connection.peer_devices.push_back(peer);
  }
  status.connections.push_back(std::move(connection));
  return status;
}

Result<blockdev::Limits> Engine::limits(std::uint32_t volume) const {
  if (volume >= volumes_.size()) {
    return failure(fmt::format("{} has no volume {}", config_.name, volume));
  }
  if (!up_ || volumes_[volume]->size() == 0) {
    return failure(
        fmt::format("{} is not up on this node; run batonctl up {}", config_.name, config_.name));
  }
  return volumes_[volume]->export_limits();
}

Result<std::unique_ptr<blockdev::BlockDevice>> Engine::open(std::uint32_t volume,
                                                            ClientInfo client) {
  const Result<blockdev::Limits> usable = limits(volume);
  if (!usable) return std::unexpected(usable.error());
  auto device = std::make_unique<ClientDevice>(*this, *volumes_[volume], std::move(client));
  device->knows_the_disk = role_ == Role::primary;
  device->term = role_.times_left();
  clients_moved_.notify_all();
  changed();
  return device;
}

// Each node tells the other its role and disks whenever they change.
void Engine::tell_status() {
  if (session_ == nullptr || !session_->established()) return;
  std::vector<std::byte> text;
  text.push_back(static_cast<std::byte>(Role{role_}));
  for (const auto& volume : volumes_) text.push_back(static_cast<std::byte>(disk_state(*volume)));
  wire::Header header;
  header.epoch = epoch_.number;
  header.flags = pauses_sync_ ? wire::flag_holds_sync : 0;
  session_->tell(header, wire::Type::status, text);
}

void Engine::peer_status(Incoming& message, Session& session) {
  const auto text = message.payload.span();
  if (text.size() != volumes_.size() + 1 || text[0] > static_cast<std::byte>(Role::primary)) {
    return session.drop("the peer's status is malformed");
  }
  session.peer_role = static_cast<Role>(text[0]);
  if (session.peer_role == Role::primary) session.role_given = false;
  for (std::size_t i = 0; i < volumes_.size(); ++i) {
    if (text[i + 1] > static_cast<std::byte>(DiskState::up_to_date)) {
      return session.drop("the peer's status is malformed");
    }
    session.peer_disks[i] = static_cast<DiskState>(text[i + 1]);
  }
  const bool holds_sync = (message.header.flags & wire::flag_holds_sync) != 0;
  if (std::exchange(session.peer_pauses_sync, holds_sync) != holds_sync) sync_pause_changed();
  gate_changed_.notify_all();  // somebody may wait for the other's role
  share_again();
  changed();
}

Result<> Engine::tunnel(std::span<const std::byte> bytes) {
  if (session_ == nullptr || !session_->established()) {
    return failure(fmt::format("{} is not connected to {}", config_.name, peer_name_));
  }
  if (bytes.size() > wire::control_bytes_max) return failure("the message is too long");
  session_->tell({}, wire::Type::tunnel, bytes);
  return {};
}

void Engine::deliver_tunnel(std::span<const std::byte> bytes) {
  if (tunnel_handler_) tunnel_handler_(bytes);
}

}  // namespace baton::replication
