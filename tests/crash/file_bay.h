// Real files for processes whose time is the simulator's: one ring, and a way to wait for the
// kernel while no time passes. What the kernel does between two events of a world takes no time
// there, so that a run is the same every time, whatever the filesystem is.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/buffer_pool.h"
#include "base/loop.h"
#include "base/task.h"
#include "blockdev/block_device.h"
#include "blockdev/uring/ring.h"
#include "tests/simulation/sparse_image.h"

namespace baton::crash {

class FileBay {
 public:
  // Files are made in a new folder below `folder`, removed at the end. Throws.
  explicit FileBay(const std::string& folder);
  FileBay(const FileBay&) = delete;
  FileBay& operator=(const FileBay&) = delete;
  ~FileBay();

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  // By the production code; locked while it is open.
  Result<std::unique_ptr<blockdev::BlockDevice>> open(const std::string& path);

  // A request to such a device, from submit() until it has ended.
  struct Passage : blockdev::Request {
    bool ended = true;
    FileBay* bay = nullptr;
  };
  void submit(blockdev::BlockDevice& device, Passage& passage);
  // Blocks until it has ended.
  void wait_for(const Passage& passage);
  // Until nothing is with the kernel any more: its buffers may go.
  void drain();

  Loop& loop() { return loop_; }
  // Runs a task that uses nothing but devices of this bay.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> result;
    Scope scope(loop_);
    scope.spawn(keep(std::move(task), result));
    until([&result] { return result.has_value(); });
    return std::move(*result);
  }

 private:
  template <class T>
  static Task<> keep(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }
  static void passage_ended(Operation& operation);
  // As a shard does: turns, and then it blocks until the ring has something.
  template <class Done>
  void until(Done done) {
    for (;;) {
      while (loop_.run_turn()) {
      }
      if (done()) return;
      block();
    }
  }
  void block();

  std::string folder_;
  Loop loop_;
  BufferPool buffers_;
  std::unique_ptr<blockdev::Ring> ring_;
  std::uint64_t passages_ = 0;
};

// Makes or replaces the file.
void write_image(const std::string& path, const sim::SparseImage& image);
sim::SparseImage read_image(const std::string& path);

}  // namespace baton::crash
