// A shard for a moment: lets batonctl use the asynchronous disks without a daemon.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "base/buffer_pool.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/task.h"
#include "blockdev/uring/ring.h"

namespace baton::control {

class LocalShard {
 public:
  static Result<std::unique_ptr<LocalShard>> open();
  ~LocalShard();
  LocalShard(const LocalShard&) = delete;
  LocalShard& operator=(const LocalShard&) = delete;

  Loop& loop();
  BufferPool& buffers();
  blockdev::Ring& ring();

  // Runs `task` to its end.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> result;
    run_to_end(keep(std::move(task), result));
    return std::move(*result);
  }

 private:
  struct Parts;
  explicit LocalShard(std::unique_ptr<Parts> parts);
  template <class T>
  static Task<> keep(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }
  void run_to_end(Task<> task);

  std::unique_ptr<Parts> parts_;
};

}  // namespace baton::control
