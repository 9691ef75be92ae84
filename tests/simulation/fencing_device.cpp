#include "tests/simulation/fencing_device.h"

#include <algorithm>

namespace baton::sim {

Task<std::optional<int>> FencingDevice::run() {
  const std::uint64_t number = ++last_run_;
  Run& run = runs_.emplace_back(*this, number);
  world_.trace().say(process_.node(), "runs fence-peer");
  world_.arm_after(run.timer,
                   random_.duration(std::chrono::milliseconds(50), std::chrono::seconds(3)));
  const std::uint64_t abandonments = abandonments_;
  while (!codes_.contains(number) && abandonments == abandonments_) co_await ended_.wait();
  const auto code = codes_.find(number);
  if (code == codes_.end()) co_return std::nullopt;
  co_return code->second;
}

void FencingDevice::Run::over() {
  device.world_.at_step(0, [&owner = device, which = number] { owner.go_on(which); });
}

// It does what it can, and says so some time later: a switch takes its time to be sure.
void FencingDevice::go_on(std::uint64_t number) {
  const auto run = std::ranges::find(runs_, number, &Run::number);
  if (run == runs_.end()) return;  // its host has died meanwhile
  if (!run->code) {
    run->code = carry_out();
    const bool at_once = random_.percent(70);
    return world_.arm_after(run->timer, at_once ? Duration() : std::chrono::seconds(30));
  }
  codes_[number] = *run->code;
  runs_.erase(run);
  process_.run_soon([this] { ended_.notify_all(); });
}

int FencingDevice::carry_out() {
  switch (mode_) {
    case Fencing::works:
      switch_off_();
      return 7;
    case Fencing::unreachable:
      return 5;
    case Fencing::primary:
      return 6;
    case Fencing::absent:
    case Fencing::broken:
      break;
  }
  return 1;
}

void FencingDevice::abandon() {
  ++abandonments_;
  ended_.notify_all();
}

}  // namespace baton::sim
