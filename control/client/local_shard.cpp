#include "control/client/local_shard.h"

#include "base/runtime/shard.h"

namespace baton::control {

struct LocalShard::Parts {
  Shard shard;
  std::unique_ptr<blockdev::Ring> ring;
};

LocalShard::LocalShard(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
LocalShard::~LocalShard() = default;

Result<std::unique_ptr<LocalShard>> LocalShard::open() {
  auto parts = std::make_unique<Parts>();
  auto ring = blockdev::Ring::open(parts->shard.loop());
  if (!ring) return std::unexpected(ring.error());
  parts->ring = std::move(*ring);
  parts->shard.wake_on(parts->ring->event_fd());
  return std::unique_ptr<LocalShard>(new LocalShard(std::move(parts)));
}

Loop& LocalShard::loop() {
  return parts_->shard.loop();
}
BufferPool& LocalShard::buffers() {
  return parts_->shard.buffers();
}
blockdev::Ring& LocalShard::ring() {
  return *parts_->ring;
}

namespace {
Task<> stop_after(Task<> task, Shard& shard) {
  co_await std::move(task);
  shard.stop();
}

// Shard::run() forgets a stop() that came before it, so the task starts inside.
struct Starter final : Runnable {
  Starter(Scope& its_scope, Task<> its_task)
      : Runnable([](Runnable& self) {
          auto& starter = static_cast<Starter&>(self);
          starter.scope.spawn(std::move(starter.task));
        }),
        scope(its_scope),
        task(std::move(its_task)) {}
  Scope& scope;
  Task<> task;
};
}  // namespace

void LocalShard::run_to_end(Task<> task) {
  Scope scope(parts_->shard.loop());
  Starter starter(scope, stop_after(std::move(task), parts_->shard));
  parts_->shard.loop().post(starter);
  parts_->shard.run();
}

}  // namespace baton::control
