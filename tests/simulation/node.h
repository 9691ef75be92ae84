// One host of the world: its disks, its daemon process with one resource, and what can happen to
// them. The engine inside is the production engine; this file is its operating system.
//
// What survives what:
//   stop        a clean stop (Resource::down): everything is as the engine left it
//   kill        SIGKILL: frames are thrown away where they stand, disk writes in flight land or
//               not per sector, completed ones stay (the page cache is the host's)
//   power cut   besides, what no flush covered is lost, kept or torn, data and metadata alike; the
//               boot id changes
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "replication/engine/resource.h"
#include "tests/simulation/fencing_device.h"
#include "tests/simulation/nbd_port.h"
#include "tests/simulation/sim_disk.h"
#include "tests/simulation/sim_net.h"

namespace baton::sim {

// Makes what runs in the world: the production engine, or a fake that lies.
class Factory {
 public:
  virtual ~Factory() = default;
  virtual std::unique_ptr<replication::Resource> make(int node,
                                                      replication::Environment environment,
                                                      replication::ResourceConfig config) = 0;
  // Bytes of a metadata device, and its first content (create-md).
  virtual std::uint64_t metadata_bytes(std::uint64_t volume_size) = 0;
  virtual Task<Result<>> create_metadata(Loop& loop, blockdev::BlockDevice& device,
                                         const replication::ResourceConfig& config,
                                         std::uint32_t volume) = 0;
  // Whether its metadata is as docs/on-disk-format.md says.
  virtual bool writes_metadata() const { return false; }
};

// A verb that an operator has given.
struct Verb {
  std::string name;
  bool done = false;   // with `result` set, or the process died
  bool ended = false;  // the verb itself completed
  Result<> result;
};

class Node final : replication::Disks,
                   replication::Links,
                   replication::Journal,
                   replication::Handlers,
                   replication::ResourceObserver {
 public:
  Node(World& world, SimNet& net, Factory& factory, int number, replication::ResourceConfig config,
       DiskModel model);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node() override;

  // Writes the metadata of every volume; before the first start, or while the node is down.
  void create_metadata();

  int number() const { return number_; }
  std::string name() const { return node_name(number_); }
  Process& process() { return process_; }
  bool running() const { return resource_ != nullptr; }
  bool up() const { return up_; }  // Resource::up() has completed
  // Why the last up() was refused; empty: it was not.
  const std::string& refusal() const { return refusal_; }
  std::uint64_t incarnation() const { return incarnation_; }
  replication::Resource& resource() { return *resource_; }
  // Where its clients connect that speak NBD; while it runs.
  NbdPort& nbd() { return *nbd_; }
  // As of the last change that was announced.
  const replication::ResourceStatus& status();
  // As the engine would answer now, announced or not.
  const replication::ResourceStatus& fresh_status();
  // Something was announced since the last call.
  bool take_changed() { return std::exchange(changed_, false); }

  SimDisk& data(std::uint32_t volume) { return *data_[volume]; }
  SimDisk& metadata(std::uint32_t volume) { return *metadata_[volume]; }
  std::size_t volumes() const { return data_.size(); }
  // The undo file of that generation, finished or not; null: there is none.
  const SimDisk* undo(std::uint32_t volume, std::uint64_t generation) const;
  // Of undo files that are made from now on: what is there for each, and what goes wrong in it.
  void give_undo_room(std::uint64_t bytes) { undo_room_bytes_ = bytes; }
  void fail_undo(DiskFault fault) { undo_fault_ = fault; }
  void mend_undo();
  bool disks_idle() const;
  FencingDevice& fencing() { return fencing_; }

  void start();
  // From the next start on it is a daemon of another time, with a wire protocol of its own.
  void speak_another_version(bool other);
  bool runs_another_version() const { return running() && runs_another_version_; }
  void kill();
  void power_cut(PowerLoss how);
  bool powered() const { return powered_; }
  // The process has stopped by itself (down completed): its resource goes.
  void exit();

  // Starts a verb in the process's next turn. `make` is called there, on the resource.
  using MakeVerb = std::function<Task<Result<>>(replication::Resource&)>;
  std::shared_ptr<Verb> operate(std::string name, MakeVerb make);
  bool verbs_idle() const { return verbs_running_.empty(); }

  // Clients of this node are told when their connection is lost, before the engine is gone.
  class Attached {
   public:
    virtual ~Attached() = default;
    virtual void process_is_dying() = 0;  // answers will not come any more
    virtual void process_is_gone() = 0;   // let go of the device now
  };
  void attach(Attached& client) { attached_.push_back(&client); }

 private:
  Result<replication::BackingStore> open(std::uint32_t volume) override;
  Result<std::unique_ptr<blockdev::BlockDevice>> create_undo(std::uint32_t volume,
                                                             std::uint64_t generation,
                                                             std::uint64_t bytes) override;
  void remove_undo(std::uint32_t volume, std::uint64_t generation) override;
  Task<Result<replication::Link>> dial(std::string peer, TimePoint deadline) override;
  void line(Level level, std::string text) override;
  void resource_changed(const std::string& resource) override;
  bool configured(replication::Handler handler) const override;
  Task<std::optional<int>> run(replication::Handler handler) override;
  void start(replication::Handler handler) override;
  void abandon() override;

  class NodeRandom final : public Random {
   public:
    explicit NodeRandom(Prng prng) : prng_(prng) {}
    std::uint64_t next() override { return prng_.next(); }

   private:
    Prng prng_;
  };

  static Task<> run_verb(Node& node, std::shared_ptr<Verb> verb, Task<Result<>> task);
  void operated(Verb& verb, Result<> result);
  void throw_away_process();
  void forget_requests();

  World& world_;
  SimNet& net_;
  Factory& factory_;
  int number_;
  replication::ResourceConfig config_;
  DiskModel model_;
  Prng random_;
  Process process_;
  FencingDevice fencing_;
  std::vector<std::unique_ptr<SimDisk>> data_;
  std::vector<std::unique_ptr<SimDisk>> metadata_;
  std::vector<std::unique_ptr<SimDisk>> undo_files_;  // all that were ever made
  std::map<std::pair<std::uint32_t, std::uint64_t>, SimDisk*> undo_names_;
  std::uint64_t undo_room_bytes_ = UINT64_MAX;
  std::optional<DiskFault> undo_fault_;
  bool powered_ = true;
  bool up_ = false;
  bool runs_another_version_ = false;
  std::string refusal_;
  bool changed_ = false;
  bool status_known_ = false;
  std::uint64_t incarnation_ = 0;
  replication::ResourceStatus status_;
  // Of the process; destroyed in this order, from below.
  std::unique_ptr<BufferPool> buffers_;
  std::unique_ptr<NodeRandom> node_random_;
  std::unique_ptr<replication::Resource> resource_;
  std::unique_ptr<NbdPort> nbd_;
  std::unique_ptr<Scope> verbs_;
  std::vector<std::shared_ptr<Verb>> verbs_running_;
  std::vector<Attached*> attached_;
};

}  // namespace baton::sim
