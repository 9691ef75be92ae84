// A disk that does not answer counts as failed after `disk-timeout` (docs/replication.md "A disk
// that does not answer"). What it is given from then on fails, and all that follows is what follows
// from an error of the disk; here is only what is different: it still has requests.
#include <fmt/format.h>

#include "base/mark.h"
#include "base/mutant.h"
#include "replication/engine/engine.h"

namespace baton::replication {

namespace {

std::uint64_t whole_seconds(Duration time) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

const char* plural(std::uint64_t count) {
  return count == 1 ? "" : "s";
}

}  // namespace

void Volume::give_time_limits(BackingStore& store) {
  const Duration timeout = engine_.config().disk_timeout;
  if (timeout == Duration::zero()) return;
  Environment& env = engine_.env();
  const blockdev::TimedDeviceWorld world{env.loop, env.clock, env.buffers, unanswered_, *this};
  store.data = std::make_unique<blockdev::TimedDevice>(std::move(store.data), timeout, world);
  if (mutant("hung-metadata-waited-for")) return;
  store.metadata =
      std::make_unique<blockdev::TimedDevice>(std::move(store.metadata), timeout, world);
}

void Volume::gave_up(const blockdev::BlockDevice& device, blockdev::Op oldest,
                     std::uint64_t requests) {
  engine_.log(
      Journal::Level::error,
      fmt::format("{} has not answered a {} for {} s (disk-timeout), and has {} request{} "
                  "in all: it counts as failed",
                  device.name(), blockdev::name_of(oldest),
                  whole_seconds(engine_.config().disk_timeout), requests, plural(requests)));
  engine_.changed();
}

void Volume::all_answered(const std::string& device) {
  engine_.log(Journal::Level::notice,
              fmt::format("{} has answered everything after all: it may be attached", device));
  engine_.changed();
}

Result<> Volume::may_attach() const {
  if (unanswered_.empty()) return {};
  reached("attach-under-hung-requests");
  const std::uint64_t requests = unanswered_.requests();
  return failure(fmt::format(
      "volume {} of {} cannot be used: its disk has not answered {} request{} for {} s, and what "
      "it was asked to write may reach it at any time; make it answer or fail them, and try again "
      "(status shows how many are left)",
      index_, engine_.config().name, requests, plural(requests),
      whole_seconds(engine_.env().clock.now() - unanswered_.since())));
}

}  // namespace baton::replication
