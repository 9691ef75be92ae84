#include "control/daemon/hosted_resource.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace baton::control {
namespace {

using replication::ResourceConfig;

// How long attached clients get to be answered before their connections are closed. Longer than
// any request takes on a healthy disk; requests that are with the disk are waited for in any case.
constexpr Duration client_patience = std::chrono::seconds(2);

// At the sockets, for clients that are leaving: each takes some microseconds.
constexpr int looks_before_stop = 16;

// How long a node that was Primary before its daemon was restarted waits for the other one.
constexpr Duration role_patience = std::chrono::seconds(60);

constexpr Duration role_asked_for_after = std::chrono::seconds(1);

// A migration with much memory over a slow network takes that long; docs/handover.md.
constexpr std::uint32_t window_seconds_default = 600;

// How often at most moving numbers (bytes to go) are published.
constexpr Duration progress_interval = std::chrono::milliseconds(200);

ResourceConfig engine_config(const ResourceSpec& spec, const NodeSpec& node, std::string secret,
                             std::uint64_t boot_id) {
  ResourceConfig config;
  config.name = spec.name;
  config.self = node.name;
  for (const NodeSpec& each : spec.nodes) config.nodes.push_back({.name = each.name});
  for (const VolumeSpec& volume : spec.volumes) config.volumes.push_back({.size = volume.size});
  config.protocol = spec.protocol;
  config.secret = std::move(secret);
  config.timeout = spec.timeout;
  config.ping_interval = spec.ping_interval;
  config.fence_hold = spec.fence_hold;
  config.boot_id = boot_id;
  config.two_primaries = spec.two_primaries;
  config.auto_resume = spec.auto_resume;
  config.on_io_error = spec.on_io_error;
  config.disk_timeout = spec.disk_timeout;
  config.checksum_based = spec.checksum_based;
  config.resync_rate = spec.resync_rate;
  config.verify_rate = spec.verify_rate;
  config.verify_interval = spec.verify_interval;
  config.handover_on_silence = spec.handover_on_silence;
  config.on_peer_lost = spec.on_peer_lost;
  config.after_sb = spec.after_sb;
  return config;
}

replication::Environment environment_of(const ShardPlace& place, replication::Disks& disks,
                                        replication::Links& links, replication::Journal& journal,
                                        replication::Handlers& handlers) {
  return {place.shard.loop(),
          place.shard,
          place.random,
          place.shard.buffers(),
          disks,
          links,
          journal,
          handlers};
}

}  // namespace

HostedResource::HostedResource(const ShardPlace& place, const ResourceSpec& spec,
                               const NodeSpec& node, std::string secret, TlsSources tls,
                               std::uint64_t boot_id)
    : Runnable([](Runnable& self) { static_cast<HostedResource&>(self).publish(); }),
      place_(place),
      spec_(spec),
      node_(node),
      journal_(place.board, spec.name),
      disks_(place.ring, place.shard.buffers(), spec, node, journal_),
      tls_(std::move(tls)),
      links_(place.shard, spec, node.name, tls_.peers),
      handlers_(place.shard, spec, node, journal_),
      engine_(make_resource(environment_of(place, disks_, links_, journal_, handlers_),
                            engine_config(spec, node, std::move(secret), boot_id))),
      mover_(place.shard, *engine_, journal_, spec, node, place.run_directory),
      role_mark_(place.run_directory, spec.name, boot_id),
      engine_changed_(place.shard.loop()),
      arriving_(place.shard.loop()),
      switched_(place.shard.loop()),
      progress_pause_(
          [](Timer& timer) {
            auto& self = *static_cast<HostedResource*>(timer.context());
            self.place_.shard.loop().post(self);
          },
          this),
      tasks_(place.shard.loop()) {
  engine_->observe(this);
  handlers_.describe(*engine_);
  for (std::uint32_t volume = 0; volume < spec.volumes.size(); ++volume) {
    exports_.push_back(
        std::make_unique<VolumeExport>(*engine_, spec.name, volume, spec.volumes[volume].access));
    offered_.push_back(exports_.back().get());
  }
}

// Published at the end of what the engine is doing, so that only whole states are seen.
void HostedResource::resource_changed(const std::string& /*resource*/) {
  place_.shard.loop().post(*this);
}

void HostedResource::publish() {
  mover_.status_changed();
  engine_changed_.notify_all();
  StatusEntry now = status();
  const TimePoint next = published_at_ + progress_interval;
  const bool only_numbers_moved = changes(&published_, now).empty();
  if (only_numbers_moved && place_.shard.now() < next) {
    place_.shard.arm(progress_pause_, next);
    return;
  }
  published_ = now;
  published_at_ = place_.shard.now();
  place_.board.publish(std::move(now));
}

StatusEntry HostedResource::status() const {
  return {.status = engine_->status(), .error = error_, .tls_links = tls_.peers != nullptr};
}

Result<> HostedResource::begin(std::string_view verb) {
  if (!switching_.empty()) {
    return failure(
        fmt::format("{} is just going {}: try again when that is done", name(), switching_));
  }
  switching_ = verb;
  return {};
}

void HostedResource::ended(std::string error) {
  switching_.clear();
  switched_.notify_all();
  error_ = std::move(error);
  publish();  // at once, so that whoever asked for this sees the status before the answer
}

Result<> HostedResource::must_be_up() const {
  if (engine_->status().up) return {};
  return failure(fmt::format("{} is down: run batonctl up {}", name(), name()));
}

Result<> HostedResource::open_listeners() {
  if (listening_) return {};
  if (node_.address && spec_.nodes.size() > 1) {
    const nbd::Address address{
        .kind = nbd::Address::Kind::tcp, .host = node_.address->host, .port = node_.address->port};
    auto listener =
        Acceptor::open(place_.shard, address, [this](std::unique_ptr<Stream> connection) {
          arriving_.spawn(let_peer_in(std::move(connection)));
        });
    if (!listener) {
      return failure(
          fmt::format("{} cannot wait for its peer: {}; free that address (ss -lp shows "
                      "who has it), or choose another as address of node {} in {}",
                      name(), listener.error().message, node_.name, spec_.file));
    }
    link_listener_ = std::move(*listener);
  }
  auto opened = place_.doors.open(spec_, node_, tls_.clients);
  listening_ = opened.has_value();
  if (!opened) link_listener_.reset();
  return opened;
}

Task<> HostedResource::let_peer_in(std::unique_ptr<Stream> connection) {
  const TimePoint deadline = place_.shard.now() + spec_.timeout;
  auto link = co_await links_.receive(std::move(connection), deadline);
  if (link) {
    engine_->accept(std::move(*link));
    co_return;
  }
  // A peer that is wrongly set up comes again and again.
  const std::string& why = link.error().message;
  const std::string reason = why.substr(why.rfind(": ") + 1);
  if (std::exchange(turned_away_, reason) == reason) co_return;
  journal_.line(LogLevel::warning, fmt::format("a connection was turned away: {}", why));
}

Task<> HostedResource::close_listeners(Duration patience) {
  if (std::exchange(listening_, false)) {
    co_await place_.doors.close(node_, offered_, patience);
  }
  link_listener_.reset();
}

Task<Result<>> HostedResource::up(VerbOptions /*options*/) {
  if (auto alone = begin("up"); !alone) co_return alone;
  // Listeners first: where an address is taken, nothing on the disks has been changed.
  const bool was_listening = listening_;
  Result<> done = open_listeners();
  if (done) {
    done = co_await engine_->up();
    if (done && !was_listening) place_.doors.offer(node_, offered_);
    if (done) mover_.take_up();
    if (done && role_mark_.take() && spec_.auto_resume && !wants_role_) {
      wants_role_ = true;
      tasks_.spawn(take_role_again());
    }
    if (!done && !was_listening) co_await close_listeners(Duration::zero());
  }
  ended(done ? "" : done.error().message);
  co_return done;
}

// An ordinary promotion, once it can be one: with the other node, or with a copy that counts.
bool HostedResource::may_take_role(const replication::ResourceStatus& status) const {
  const auto whole = [](const auto& device) {
    return device.disk_state == replication::DiskState::up_to_date;
  };
  return status.up && std::ranges::all_of(status.devices, whole);
}

Task<> HostedResource::take_role_again() {
  const TimePoint deadline = place_.shard.now() + role_patience;
  std::string why_not = "this copy does not count yet";
  while (wants_role_ && place_.shard.now() < deadline) {
    const replication::ResourceStatus status = engine_->status();
    const bool taken =
        !spec_.two_primaries && std::ranges::any_of(status.connections, [](const auto& connection) {
          return connection.peer_role == replication::Role::primary;
        });
    if (taken) why_not = "the other node is Primary now";
    if (status.role == replication::Role::primary || taken) break;
    if (may_take_role(status)) {
      const replication::PromoteOptions ordinary;
      const Result<> done = co_await engine_->promote(ordinary);
      if (done) break;
      why_not = done.error().message;
    }
    // What refuses a promotion for a moment need not show in the status.
    const TimePoint again = std::min(deadline, place_.shard.now() + role_asked_for_after);
    co_await engine_changed_.wait_until(place_.shard, again);
  }
  const bool primary = engine_->status().role == replication::Role::primary;
  if (primary) {
    journal_.line(LogLevel::notice, "Primary again, as when batond was stopped: it was in use");
  } else if (wants_role_) {
    journal_.line(LogLevel::warning,
                  fmt::format("in use as Primary when batond was stopped, and not Primary again: "
                              "{}; run batonctl primary {}",
                              why_not, name()));
  }
  wants_role_ = false;
}

Task<Result<>> HostedResource::go_down(Duration patience) {
  wants_role_ = false;
  engine_changed_.notify_all();
  engine_->expect_down();
  co_await close_listeners(patience);
  Result<> done = co_await engine_->down();
  co_await tasks_.join();
  // A refusal leaves the engine up: its clients may come back.
  if (!done && engine_->status().up) {
    if (auto reopened = open_listeners(); reopened) {
      place_.doors.offer(node_, offered_);
    } else {
      journal_.line(LogLevel::error, reopened.error().message);
    }
  }
  ended("");
  co_return done;
}

Task<Result<>> HostedResource::down(VerbOptions options) {
  const auto clients = engine_->status().clients;
  if (!clients.empty() && !options.force) {
    co_return failure(
        fmt::format("{} is in use by {}: detach it first, or end it with "
                    "batonctl down {} --force",
                    name(), fmt::join(clients, "; "), name()));
  }
  if (mover_.busy()) {
    co_return failure(
        fmt::format("{}'s guest is being migrated: wait for the outcome, or cancel it (Ctrl-C at "
                    "batonctl migrate)",
                    name()));
  }
  if (auto alone = begin("down"); !alone) co_return alone;
  co_return co_await go_down(client_patience);
}

// As Primary. A client that left just before the stop may still be on its way out: its last words
// are in the socket. So the shard looks at its sockets some more times first; it must not take
// long, because the other node may be stopping, too, and misses what is written here meanwhile.
Task<bool> HostedResource::is_in_use() {
  const auto used = [this] {
    const replication::ResourceStatus status = engine_->status();
    return status.role == replication::Role::primary && !status.clients.empty();
  };
  for (int look = 0; look < looks_before_stop && used(); ++look) {
    co_await sleep_for(place_.shard, Duration::zero());
  }
  co_return used();
}

Task<Result<>> HostedResource::stop(VerbOptions /*options*/) {
  while (!switching_.empty()) co_await switched_.wait();
  switching_ = "down";
  const bool used = co_await is_in_use();
  if (used && spec_.auto_resume && !mover_.busy()) {
    const Result<> marked = role_mark_.set();
    if (!marked) journal_.line(LogLevel::error, marked.error().message);
  }
  co_await mover_.stop();
  co_return co_await go_down(client_patience);
}

Task<Result<>> HostedResource::primary(VerbOptions options) {
  if (auto up = must_be_up(); !up) co_return up;
  const replication::PromoteOptions promote{.force = options.force, .confirmed = options.confirmed};
  co_return co_await engine_->promote(promote);
}

Task<Result<>> HostedResource::secondary(VerbOptions options) {
  if (auto up = must_be_up(); !up) co_return up;
  wants_role_ = false;
  engine_changed_.notify_all();
  co_return co_await engine_->demote(options.force);
}

Task<Result<>> HostedResource::connect(VerbOptions options) {
  if (auto up = must_be_up(); !up) co_return up;
  co_return co_await engine_->connect(options.discard_my_data, !options.no_undo);
}

Task<Result<>> HostedResource::disconnect(VerbOptions /*options*/) {
  if (auto up = must_be_up(); !up) co_return up;
  co_return co_await engine_->disconnect();
}

Task<Result<>> HostedResource::attach(VerbOptions /*options*/) {
  if (auto up = must_be_up(); !up) co_return up;
  co_return co_await engine_->attach();
}

Task<Result<>> HostedResource::detach(VerbOptions /*options*/) {
  if (auto up = must_be_up(); !up) co_return up;
  co_return co_await engine_->detach();
}

Task<Result<>> HostedResource::invalidate(VerbOptions /*options*/) {
  if (auto up = must_be_up(); !up) co_return up;
  co_return co_await engine_->invalidate();
}

Task<Result<>> HostedResource::invalidate_remote(VerbOptions /*options*/) {
  if (auto up = must_be_up(); !up) co_return up;
  co_return co_await engine_->invalidate_remote();
}

Task<Result<>> HostedResource::pause_sync(VerbOptions /*options*/) {
  if (auto up = must_be_up(); !up) co_return up;
  co_return co_await engine_->pause_sync();
}

Task<Result<>> HostedResource::resume_sync(VerbOptions /*options*/) {
  if (auto up = must_be_up(); !up) co_return up;
  co_return co_await engine_->resume_sync();
}

Task<Result<>> HostedResource::resolve(VerbOptions options) {
  if (auto up = must_be_up(); !up) co_return up;
  co_return co_await engine_->resolve(options.keep, !options.no_undo);
}

Task<Result<>> HostedResource::verify(VerbOptions options) {
  if (auto up = must_be_up(); !up) co_return up;
  const replication::VerifyOptions verify{
      .repair = options.repair, .from_start = options.from_start, .stop = options.stop};
  Result<> done = co_await engine_->verify(verify);
  publish();  // at once, so that whoever asked for this sees the status before the answer
  co_return done;
}

Task<Result<>> HostedResource::outdate(VerbOptions /*options*/) {
  if (auto up = must_be_up(); !up) co_return up;
  co_return co_await engine_->outdate();
}

Task<Result<>> HostedResource::resume_io(VerbOptions /*options*/) {
  if (auto up = must_be_up(); !up) co_return up;
  co_return co_await engine_->resume_io();
}

Task<Result<>> HostedResource::handover(VerbOptions options) {
  if (auto up = must_be_up(); !up) co_return up;
  if (options.allow) {
    const std::uint32_t seconds = options.timeout_seconds.value_or(window_seconds_default);
    co_return co_await engine_->allow_first_write(std::chrono::seconds(seconds));
  }
  if (options.deny) co_return co_await engine_->deny_first_write();
  if (!options.guest.empty()) {
    const bool stopped = options.guest == "stopped";
    engine_->guest_is(stopped ? replication::GuestWord::stopped : replication::GuestWord::running);
    co_return Result<>{};
  }
  co_return co_await engine_->handover(options.to);
}

}  // namespace baton::control
