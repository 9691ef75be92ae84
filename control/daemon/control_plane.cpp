#include "control/daemon/control_plane.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <boost/json/array.hpp>
#include <utility>
#include <vector>

#include "control/daemon/shard_call.h"
#include "control/waits.h"

namespace baton::control {
namespace {

namespace json = boost::json;

struct NamedResourceVerb {
  std::string_view name;
  ControlPlane::ResourceVerb verb;
};
constexpr std::array<NamedResourceVerb, 16> resource_verbs{
    {{"up", &HostedResource::up},
     {"down", &HostedResource::down},
     {"primary", &HostedResource::primary},
     {"secondary", &HostedResource::secondary},
     {"connect", &HostedResource::connect},
     {"disconnect", &HostedResource::disconnect},
     {"attach", &HostedResource::attach},
     {"detach", &HostedResource::detach},
     {"invalidate", &HostedResource::invalidate},
     {"invalidate-remote", &HostedResource::invalidate_remote},
     {"pause-sync", &HostedResource::pause_sync},
     {"resume-sync", &HostedResource::resume_sync},
     {"resolve", &HostedResource::resolve},
     {"resume-io", &HostedResource::resume_io},
     {"outdate", &HostedResource::outdate},
     {"handover", &HostedResource::handover}}};

Error stopping_error() {
  return {.message = "batond is stopping: try again when it runs"};
}

// Passes on what is heard until the coroutine that holds it is thrown away.
class Listening final : public Subscriber {
 public:
  Listening(StatusBoard& board, const std::string& resource, ReplySink& sink)
      : resource_(resource), sink_(sink) {
    board.subscribe(*this);
  }
  void heard(const Change& change) override {
    const json::value* name = change.data.if_contains("name");
    const bool wanted = resource_.empty() || (name != nullptr && *name == json::string(resource_));
    if (wanted) sink_.event(change);
  }

 private:
  const std::string& resource_;
  ReplySink& sink_;
};

}  // namespace

// What one of the wait verbs looks for.
struct ControlPlane::Waiting {
  std::string_view verb;
  Result<WaitProgress> (*look)(const replication::ResourceStatus&);
};

void ControlPlane::add(Placed placed) {
  resources_[placed.resource->name()] = placed;
  starting_.insert(placed.resource->name());
}

Task<Result<>> ControlPlane::start(Placed placed) {
  Result<> done = co_await on_resource(placed, &HostedResource::up, VerbOptions());
  starting_.erase(placed.resource->name());
  started_.notify_all();
  co_return done;
}

void ControlPlane::stop() {
  stopped_ = true;
  started_.notify_all();
  stopping_.notify_all();
  board_.changed().notify_all();
}

Result<ControlPlane::Placed> ControlPlane::find(const std::string& name) const {
  const auto found = resources_.find(name);
  if (found != resources_.end()) return found->second;
  std::vector<std::string> known;
  known.reserve(resources_.size());
  for (const auto& [each, placed] : resources_) known.push_back(each);
  return failure(fmt::format("no resource {} on node {}: there {} {}", name, node_,
                             known.size() == 1 ? "is" : "are",
                             known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
}

Task<Result<ControlPlane::Placed>> ControlPlane::find_started(const std::string& name) {
  while (!stopped_ && starting_.contains(name)) co_await started_.wait();
  if (stopped_) co_return std::unexpected(stopping_error());
  co_return find(name);
}

Task<Result<>> ControlPlane::on_resource(Placed placed, ResourceVerb verb, VerbOptions options) {
  HostedResource* const resource = placed.resource;
  ShardCall<Result<>>::Work work = [resource, verb, options = std::move(options)] {
    return (resource->*verb)(options);
  };
  ShardCall<Result<>> call(shard_, placed.site->shard(), placed.site->scope(), std::move(work));
  co_return co_await call;
}

Task<Result<json::value>> ControlPlane::resource_verb(const Request& request, ResourceVerb verb) {
  const auto placed = co_await find_started(request.resource);
  if (!placed) co_return std::unexpected(placed.error());
  const Result<> done = co_await on_resource(*placed, verb, request.options);
  if (!done) co_return std::unexpected(done.error());
  co_return json::value(nullptr);
}

Task<Result<json::value>> ControlPlane::perform(const Request& request, ReplySink& sink) {
  static constexpr std::array<std::pair<std::string_view, Handler>, 6> handlers{
      {{"status", &ControlPlane::status},
       {"events", &ControlPlane::events},
       {"migrate", &ControlPlane::migrate},
       {"verify", &ControlPlane::verify},
       {"wait-connect", &ControlPlane::wait_connect},
       {"wait-sync", &ControlPlane::wait_sync}}};
  if (stopped_) co_return std::unexpected(stopping_error());
  for (const auto& [name, handler] : handlers) {
    if (name == request.verb) co_return co_await (this->*handler)(request, sink);
  }
  for (const NamedResourceVerb& each : resource_verbs) {
    if (each.name != request.verb) continue;
    co_return co_await resource_verb(request, each.verb);
  }
  co_return failure(fmt::format("{} is not available yet in this version", request.verb));
}

namespace {
Task<StatusEntry> read_status(HostedResource* resource) {
  co_return resource->status();
}
}  // namespace

Task<StatusEntry> ControlPlane::status_of(Placed placed) {
  HostedResource* const resource = placed.resource;
  ShardCall<StatusEntry>::Work work = [resource] { return read_status(resource); };
  ShardCall<StatusEntry> call(shard_, placed.site->shard(), placed.site->scope(), std::move(work));
  co_return co_await call;
}

Task<Result<json::value>> ControlPlane::status(const Request& request, ReplySink& /*sink*/) {
  std::vector<Placed> wanted;
  if (request.resource.empty()) {
    for (const auto& [name, placed] : resources_) wanted.push_back(placed);
  } else {
    const auto placed = find(request.resource);
    if (!placed) co_return std::unexpected(placed.error());
    wanted.push_back(*placed);
  }
  json::array entries;
  for (const Placed& placed : wanted) {
    const StatusEntry entry = co_await status_of(placed);
    entries.push_back(to_json(entry));
  }
  co_return json::value(std::move(entries));
}

Task<Result<json::value>> ControlPlane::events(const Request& request, ReplySink& sink) {
  if (!request.resource.empty()) {
    if (const auto placed = find(request.resource); !placed) {
      co_return std::unexpected(placed.error());
    }
  }
  for (const auto& [name, entry] : board_.entries()) {
    if (!request.resource.empty() && name != request.resource) continue;
    for (const Change& change : changes(nullptr, entry)) sink.event(change);
  }
  const Listening listening(board_, request.resource, sink);
  while (!stopped_) co_await stopping_.wait();
  co_return std::unexpected(stopping_error());
}

Task<Result<json::value>> ControlPlane::wait_connect(const Request& request, ReplySink& sink) {
  const Waiting waiting{"wait-connect", &connect_progress};
  co_return co_await wait_for(request, sink, waiting);
}

Task<Result<json::value>> ControlPlane::wait_sync(const Request& request, ReplySink& sink) {
  const Waiting waiting{"wait-sync", &sync_progress};
  co_return co_await wait_for(request, sink, waiting);
}

Task<Result<json::value>> ControlPlane::wait_for(const Request& request, ReplySink& sink,
                                                 const Waiting& waiting) {
  const auto placed = co_await find_started(request.resource);
  if (!placed) co_return std::unexpected(placed.error());
  const auto& seconds = request.options.timeout_seconds;
  const TimePoint deadline =
      seconds ? shard_.now() + std::chrono::seconds(*seconds) : TimePoint::never();
  bool in_time = true;
  StatusEntry entry = co_await status_of(*placed);
  while (true) {
    if (stopped_) co_return std::unexpected(stopping_error());
    const auto progress = waiting.look(entry.status);
    if (!progress) co_return std::unexpected(progress.error());
    if (progress->done) co_return json::value(nullptr);
    if (!in_time) {
      co_return failure(
          fmt::format("{} gave up after {} s: {}", waiting.verb, *seconds, progress->text));
    }
    sink.progress(progress->text, progress->fraction);
    in_time = co_await board_.changed().wait_until(shard_, deadline);
    if (const StatusEntry* newest = board_.find(request.resource)) entry = *newest;
  }
}

}  // namespace baton::control
