// The operator's programs ([handlers]): run by the shell, with the environment that DRBD's handlers
// get, in a process group of their own. What they print goes to the daemon's log output.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/runtime/shard.h"
#include "control/config.h"
#include "replication/engine/environment.h"
#include "replication/engine/resource.h"

namespace baton::control {

class HandlerPrograms final : public replication::Handlers {
 public:
  // All of it outlives this.
  HandlerPrograms(Shard& shard, const ResourceSpec& spec, const NodeSpec& node,
                  replication::Journal& journal);
  ~HandlerPrograms() override;

  // Where DRBD_CSTATE comes from.
  void describe(const replication::Resource& resource) { resource_ = &resource; }

  bool configured(replication::Handler handler) const override;
  Task<std::optional<int>> run(replication::Handler handler) override;
  void start(replication::Handler handler) override;
  void abandon() override;

  // NAME=VALUE, behind the daemon's own environment.
  std::vector<std::string> environment() const;

 private:
  struct Program;
  const std::string& command(replication::Handler handler) const {
    return spec_.handlers[static_cast<std::size_t>(handler)];
  }
  std::shared_ptr<Program> launch(replication::Handler handler);

  Shard& shard_;
  const ResourceSpec& spec_;
  const NodeSpec& node_;
  replication::Journal& journal_;
  const replication::Resource* resource_ = nullptr;
  std::vector<std::shared_ptr<Program>> running_;
  Signal ended_;
  std::uint64_t abandonments_ = 0;
};

}  // namespace baton::control
