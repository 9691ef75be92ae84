// The verb verify, seen from the client that asked: its progress is that of the status. A client
// that goes away leaves it running.
#include <fmt/format.h>

#include <utility>

#include "control/daemon/control_plane.h"
#include "control/status.h"

namespace baton::control {
namespace {

namespace json = boost::json;
using replication::VerifyStatus;

const VerifyStatus* verify_of(const StatusEntry& entry) {
  for (const auto& connection : entry.status.connections) {
    if (connection.verify) return &*connection.verify;
  }
  return nullptr;
}

double share_of(const VerifyStatus& verify) {
  if (verify.total_bytes == 0) return 1;
  return static_cast<double>(verify.done_bytes) / static_cast<double>(verify.total_bytes);
}

}  // namespace

Task<> ControlPlane::run_verify(Placed placed, VerbOptions options, std::optional<Result<>>& done) {
  done = co_await on_resource(placed, &HostedResource::verify, std::move(options));
  board_.changed().notify_all();
}

Task<Result<json::value>> ControlPlane::verify(const Request& request, ReplySink& sink) {
  const auto placed = co_await find_started(request.resource);
  if (!placed) co_return std::unexpected(placed.error());
  std::optional<Result<>> done;
  // Thrown away with this frame, if its client goes: the verify itself runs on its shard.
  Scope running(shard_.loop());
  running.spawn(run_verify(*placed, request.options, done));
  while (!done) {
    if (stopped_) co_return failure("batond is stopping: verify again when it runs");
    co_await board_.changed().wait();
    const StatusEntry* entry = board_.find(request.resource);
    const VerifyStatus* verify = entry == nullptr ? nullptr : verify_of(*entry);
    if (done || verify == nullptr || !verify->running) continue;
    sink.progress(fmt::format("{}: {}", request.resource, verify_text(*verify)), share_of(*verify));
  }
  co_await running.join();
  if (!*done) co_return std::unexpected(done->error());
  const StatusEntry entry = co_await status_of(*placed);
  const VerifyStatus* verify = verify_of(entry);
  if (verify == nullptr) co_return json::value(nullptr);
  co_return json::value({{"text", fmt::format("{}: {}", request.resource, verify_text(*verify))},
                         {"verify", to_json(*verify)}});
}

}  // namespace baton::control
