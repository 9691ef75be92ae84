// Runs one task to its end on a loop and a disk that the test drives.
#pragma once

#include <optional>

#include "base/task.h"
#include "tests/support/crash_disk.h"

namespace baton::tests {

// Lets everything run that can, carrying out the disk's requests in order.
inline void settle(Loop& loop, CrashDisk& disk) {
  while (loop.run_turn() || !disk.idle()) {
    if (loop.idle() && !disk.idle()) disk.step();
  }
}

template <class T>
Task<> keep_result(Task<T> task, std::optional<T>& result) {
  result.emplace(co_await std::move(task));
}

// Nothing if the task still waits for something other than the disk.
template <class T>
std::optional<T> run(Loop& loop, CrashDisk& disk, Task<T> task) {
  std::optional<T> result;
  Scope scope(loop);
  scope.spawn(keep_result(std::move(task), result));
  settle(loop, disk);
  return result;
}

}  // namespace baton::tests
