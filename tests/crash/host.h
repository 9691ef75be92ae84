// One host: two real files, and a process with one resource. The engine, the metadata and the file
// devices are the production code; time and the link are the simulator's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "replication/engine/resource.h"
#include "tests/crash/recording_disk.h"
#include "tests/simulation/sim_net.h"

namespace baton::crash {

// Six regions and a part of one, in a log with room for three.
inline constexpr std::uint64_t volume_bytes = 25U << 20U;
inline constexpr std::size_t active_regions = 3;

struct HostFiles {
  std::string data;
  std::string metadata;
};

class Host final : replication::Disks,
                   replication::Links,
                   replication::Journal,
                   replication::Handlers {
 public:
  // `boot`: of the host; another one after a loss of power.
  Host(Recorder& recorder, sim::SimNet& net, int number, HostFiles files, std::uint64_t boot);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  // A process that still runs is thrown away where it stands.
  ~Host() override;

  // Both files, the metadata formatted. Not recorded.
  void create_files();

  int number() const { return number_; }
  const HostFiles& files() const { return files_; }
  sim::Process& process() { return process_; }
  bool running() const { return resource_ != nullptr; }
  replication::Resource& resource() { return *resource_; }
  replication::ResourceStatus status() const { return resource_->status(); }
  replication::DiskState disk_state() const { return status().devices.front().disk_state; }
  // UpToDate, connected to a peer that is UpToDate, and nothing to copy.
  bool in_sync() const;
  // One bit for each copy that counts, by this node's word: none if it does not hold the baton.
  unsigned counting() const;

  // A daemon starts: Resource::up().
  Result<> start();
  // And stops in order.
  Result<> stop();
  // A verb, to its end.
  using MakeVerb = std::function<Task<Result<>>(replication::Resource&)>;
  Result<> perform(const std::string& name, const MakeVerb& make);
  Result<> promote(replication::PromoteOptions options);

 private:
  Result<replication::BackingStore> open(std::uint32_t volume) override;
  Result<std::unique_ptr<blockdev::BlockDevice>> create_undo(std::uint32_t volume,
                                                             std::uint64_t generation,
                                                             std::uint64_t bytes) override;
  void remove_undo(std::uint32_t volume, std::uint64_t generation) override;
  Task<Result<replication::Link>> dial(std::string peer, TimePoint deadline) override;
  void line(Level level, std::string text) override;
  bool configured(replication::Handler handler) const override;
  Task<std::optional<int>> run(replication::Handler handler) override;
  void start(replication::Handler handler) override;
  void abandon() override;

  class HostRandom final : public Random {
   public:
    explicit HostRandom(sim::Prng prng) : prng_(prng) {}
    std::uint64_t next() override { return prng_.next(); }

   private:
    sim::Prng prng_;
  };
  static Task<> run_verb(Task<Result<>> verb, std::shared_ptr<std::optional<Result<>>> result);
  void throw_away_process();

  Recorder& recorder_;
  sim::SimNet& net_;
  int number_;
  HostFiles files_;
  replication::ResourceConfig config_;
  sim::Process process_;
  std::uint64_t starts_ = 0;
  // Of the process; destroyed in this order, from below.
  std::unique_ptr<BufferPool> buffers_;
  std::unique_ptr<HostRandom> random_;
  std::unique_ptr<replication::Resource> resource_;
  std::unique_ptr<Scope> verbs_;
};

}  // namespace baton::crash
