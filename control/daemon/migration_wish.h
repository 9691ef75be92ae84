// One request to migrate a guest: shared by whoever asks (a client of the control socket, the other
// node) and whoever carries it out. Everything in it happens on the resource's shard.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "control/protocol.h"

namespace baton::control {

class MigrationWish {
 public:
  // `progress` may be called until the request is answered.
  using Progress = std::function<void(std::string text, double fraction)>;
  MigrationWish(VerbOptions options, Progress progress)
      : options_(std::move(options)), progress_(std::move(progress)) {}

  const VerbOptions& options() const { return options_; }
  void progress(std::string text, double fraction) const { progress_(std::move(text), fraction); }

  // Whoever asked does not want it any more, or is gone. Once it is too late to cancel, the move
  // goes on without a listener.
  void cancel() {
    cancelled_ = true;
    if (heed_) heed_();
  }
  bool cancelled() const { return cancelled_; }
  // What cancel() calls from now on; empty: nothing.
  void on_cancel(std::function<void()> heed) { heed_ = std::move(heed); }

 private:
  VerbOptions options_;
  Progress progress_;
  bool cancelled_ = false;
  std::function<void()> heed_;
};

}  // namespace baton::control
