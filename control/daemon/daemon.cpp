#include "control/daemon/daemon.h"

#include <fmt/format.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <utility>

#include "base/hash.h"
#include "control/daemon/log.h"
#include "control/daemon/service_notify.h"
#include "control/daemon/shard_call.h"
#include "control/placement.h"

namespace baton::control {
namespace {

// Differs after a reboot, stays over a restart of the daemon (design §4 "Restart").
Result<std::uint64_t> boot_id() {
  const char* const path = "/proc/sys/kernel/random/boot_id";
  std::ifstream in(path);
  std::string text;
  if (!std::getline(in, text) || text.empty()) {
    return failure(fmt::format("{} cannot be read: is /proc mounted?", path));
  }
  return xxh3_64(std::as_bytes(std::span(text)));
}

}  // namespace

// SIGTERM and SIGINT ask for a stop, SIGHUP for certificates and keys to be read again.
struct Daemon::Signals {
  explicit Signals(Daemon& its_daemon)
      : daemon(its_daemon), set(its_daemon.shard_.io(), SIGTERM, SIGINT, SIGHUP) {
    wait();
  }
  void wait() {
    set.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;  // cancelled: the daemon is gone
      if (number == SIGHUP) {
        daemon.reload_tls();
        return wait();
      }
      daemon.ask_to_stop(number == SIGTERM ? "on SIGTERM" : "on SIGINT");
      wait();
    });
  }
  Daemon& daemon;
  boost::asio::signal_set set;
};

Daemon::Daemon(const Configuration& configuration, const RunDirectory& run_directory,
               const PassedSockets& passed, std::string node, Duration poll_window)
    : configuration_(configuration),
      run_directory_(run_directory),
      passed_(passed),
      node_(std::move(node)),
      poll_window_(poll_window),
      board_(shard_),
      plane_(shard_, board_, node_),
      server_(shard_, plane_),
      stop_asked_(shard_.loop()),
      scope_(shard_.loop()) {}

Daemon::~Daemon() {
  for (auto& site : sites_) site->stop_and_join();
  // The stop is over and only this thread is left: a second signal, now that nobody listens any
  // more, must not turn a clean stop into a killed daemon.
  sigset_t asked_already;
  sigemptyset(&asked_already);
  sigaddset(&asked_already, SIGTERM);
  sigaddset(&asked_already, SIGINT);
  sigaddset(&asked_already, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &asked_already, nullptr);
  end_with_hanging_disks();
}

// Requests that a disk has never answered still use this process's memory: none of it is given
// back. The kernel keeps the disk locked until they have ended.
void Daemon::end_with_hanging_disks() {
  std::uint64_t left = 0;
  for (const auto& site : sites_) left += site->disk_requests_left();
  if (left == 0) return;
  log_line(LogLevel::warning,
           fmt::format("ends with {} request{} that a disk has not answered: it stays locked until "
                       "it has",
                       left, left == 1 ? "" : "s"));
  std::_Exit(static_cast<int>(exit_code_));
}

Result<> Daemon::add_resources(Site& site, const std::vector<const ResourceSpec*>& group) {
  const auto boot = boot_id();
  if (!boot) return std::unexpected(boot.error());
  for (const ResourceSpec* spec : group) {
    auto secret = read_secret(*spec);
    if (!secret) return std::unexpected(secret.error());
    if (spec->nodes.size() > 1 && !spec->authenticated()) {
      log_line(LogLevel::warning,
               fmt::format("{}: no secret is set: any user of this machine can pose as the peer",
                           spec->name));
    }
    auto tls = TlsSources::open(*spec, *secret);
    if (!tls) return std::unexpected(tls.error());
    HostedResource& resource =
        site.add(*spec, *spec->node(node_), std::move(*secret), std::move(*tls), *boot);
    board_.publish(resource.status());
    plane_.add({&site, &resource});
  }
  return {};
}

Result<> Daemon::prepare() {
  const auto groups = groups_of(configuration_, node_);
  for (const Group& group : place(groups, std::thread::hardware_concurrency())) {
    auto site = Site::open(board_, run_directory_.path(), passed_, poll_window_);
    if (!site) return std::unexpected(site.error());
    sites_.push_back(std::move(*site));
    if (auto added = add_resources(*sites_.back(), group); !added) return added;
  }
  return server_.open(run_directory_.control_socket());
}

ExitCode Daemon::run() {
  signals_ = std::make_unique<Signals>(*this);
  for (auto& site : sites_) site->start();
  scope_.spawn(live());
  shard_.run();
  return exit_code_;
}

void Daemon::reload_tls() {
  for (const auto& [name, placed] : plane_.resources()) placed.resource->reload_tls();
}

Task<> Daemon::live() {
  const BroughtUp up = co_await bring_up();
  if (up.resources == 0 && !plane_.resources().empty()) {
    log_line(LogLevel::error, "no resource could be brought up: batond ends");
    exit_code_ = up.if_none;
  } else {
    notify_service_manager("READY=1");
    log_line(LogLevel::notice,
             fmt::format("ready: {} of {} resources up", up.resources, plane_.resources().size()));
    if (passed_.has_client()) scope_.spawn(serve_client());
    while (!stop_) co_await stop_asked_.wait();
  }
  notify_service_manager("STOPPING=1");
  plane_.stop();
  co_await server_.stop();
  const Result<> down = co_await bring_down();
  if (!down) exit_code_ = down.error().exit_code;
  log_line(LogLevel::notice, down ? "stopped cleanly" : "stopped, but not cleanly");
  shard_.stop();
}

Task<> Daemon::serve_client() {
  Site& site = *sites_.front();  // the only one: all resources share the client, as a listener
  ShardCall<Result<>>::Work work = [&site] { return site.serve_client(); };
  ShardCall<Result<>> call(shard_, site.shard(), site.scope(), std::move(work));
  co_await call;
  if (!stop_) ask_to_stop("because the client of --single has left");
}

void Daemon::ask_to_stop(const char* why) {
  log_line(LogLevel::notice, fmt::format("stopping {}", why));
  stop_ = true;
  stop_asked_.notify_all();
}

Task<Daemon::BroughtUp> Daemon::bring_up() {
  BroughtUp up;
  Scope each(shard_.loop());
  for (const auto& [name, placed] : plane_.resources()) each.spawn(bring_up_one(placed, up));
  co_await each.join();
  co_return up;
}

// Side by side: a disk that hangs keeps only its own resource.
Task<> Daemon::bring_up_one(ControlPlane::Placed placed, BroughtUp& up) {
  const Result<> done = co_await plane_.start(placed);
  if (done) {
    ++up.resources;
  } else {
    up.if_none = done.error().exit_code;
  }
}

Task<Result<>> Daemon::bring_down() {
  Result<> all;
  for (const auto& [name, placed] : plane_.resources()) {
    const Result<> done = co_await plane_.on_resource(placed, &HostedResource::stop, VerbOptions());
    if (done) continue;
    log_line(LogLevel::error, done.error().message);
    all = done;
  }
  co_return all;
}

}  // namespace baton::control
