#include "control/daemon/site.h"

#include <utility>

#include "base/assert.h"

namespace baton::control {

Result<std::unique_ptr<Site>> Site::open(StatusBoard& board, const std::string& run_directory,
                                         const PassedSockets& passed, Duration poll_window) {
  std::unique_ptr<Site> site(new Site(board, run_directory, passed, poll_window));
  auto ring = blockdev::Ring::open(site->shard_.loop());
  if (!ring) return std::unexpected(ring.error());
  site->ring_ = std::move(*ring);
  site->shard_.wake_on(site->ring_->event_fd());
  return site;
}

Site::~Site() {
  BATON_ASSERT(!thread_.joinable(), "the daemon joins its shards before it destroys them");
}

HostedResource& Site::add(const ResourceSpec& spec, const NodeSpec& node, std::string secret,
                          TlsSources tls, std::uint64_t boot_id) {
  const ShardPlace place{shard_, *ring_, doors_, random_, board_, run_directory_};
  resources_.push_back(std::make_unique<HostedResource>(place, spec, node, std::move(secret),
                                                        std::move(tls), boot_id));
  return *resources_.back();
}

void Site::start() {
  thread_ = std::thread(&Shard::run, &shard_);
}

void Site::stop_and_join() {
  if (!thread_.joinable()) return;
  shard_.post_from_outside([this] { shard_.stop(); });
  thread_.join();
}

}  // namespace baton::control
