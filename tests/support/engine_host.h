// A replication engine whose peer is in the same program: disks in memory, links in memory.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/assert.h"
#include "blockdev/metadata/metadata.h"
#include "replication/engine/resource.h"
#include "tests/support/memory_stream.h"
#include "tests/support/test_devices.h"

namespace baton::test {

using replication::BackingStore;
using replication::ConnectionState;
using replication::DiskState;
using replication::Handler;
using replication::Link;

// A node whose peer is in the same program.
// The same numbers in every run.
class RepeatableRandom final : public Random {
 public:
  explicit RepeatableRandom(std::uint64_t seed) : state_(seed) {}
  // splitmix64
  std::uint64_t next() override {
    std::uint64_t bits = state_ += 0x9e3779b97f4a7c15;
    bits = (bits ^ (bits >> 30U)) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ (bits >> 27U)) * 0x94d049bb133111eb;
    return bits ^ (bits >> 31U);
  }

 private:
  std::uint64_t state_;
};

class EngineHost : replication::Disks,
                   replication::Links,
                   replication::Journal,
                   replication::Handlers {
 public:
  // `config`: without the names.
  EngineHost(Loop& loop, Clock& clock, BufferPool& buffers, std::string name,
             replication::ResourceConfig config)
      : loop_(loop),
        name_(std::move(name)),
        config_(std::move(config)),
        random_(static_cast<std::uint64_t>(name_.front())) {
    config_.name = "vm1";
    config_.self = name_;
    config_.nodes = {{"alpha"}, {"beta"}};
    resource_ = make_resource({loop, clock, random_, buffers, *this, *this, *this, *this}, config_);
  }
  ~EngineHost() override = default;
  void meet(EngineHost& peer) { peer_ = &peer; }
  replication::Resource& resource() { return *resource_; }
  bool in_sync() const {
    const replication::ResourceStatus status = resource_->status();
    const replication::ConnectionStatus& peer = status.connections.front();
    return status.devices.front().disk_state == DiskState::up_to_date &&
           peer.connection_state == ConnectionState::connected &&
           peer.peer_devices.front().peer_disk_state == DiskState::up_to_date;
  }

  Task<> make_disks() {
    const std::uint64_t size = config_.volumes.front().size;
    data_ = std::make_unique<MemoryDevice>(loop_, size);
    metadata_ = std::make_unique<MemoryDevice>(loop_, blockdev::Metadata::bytes_needed(size, 1));
    blockdev::Superblock initial;
    initial.resource = config_.name;
    initial.node = name_;
    initial.size = size;
    const auto made = co_await blockdev::Metadata::format(loop_, *metadata_, initial, 1);
    BATON_ASSERT(made, "memory takes everything");
  }

 protected:
  // A link to the peer; its other end is with the peer already.
  virtual Link connect() {
    auto [near, far] = MemoryStream::make_pair(loop_, {.capacity_bytes = 4U << 20U});
    peer_->resource_->accept(std::move(far));
    return std::move(near);
  }
  EngineHost& peer() { return *peer_; }

 private:
  Result<BackingStore> open(std::uint32_t /*volume*/) override {
    return BackingStore{std::move(data_), std::move(metadata_)};
  }
  Task<Result<Link>> dial(std::string /*peer*/, TimePoint /*deadline*/) override {
    co_return connect();
  }
  Result<std::unique_ptr<blockdev::BlockDevice>> create_undo(std::uint32_t, std::uint64_t,
                                                             std::uint64_t) override {
    return failure("nothing yields here");
  }
  void remove_undo(std::uint32_t, std::uint64_t) override {}
  void line(Level /*level*/, std::string /*text*/) override {}
  bool configured(Handler /*handler*/) const override { return false; }
  Task<std::optional<int>> run(Handler /*handler*/) override { co_return std::nullopt; }
  void start(Handler /*handler*/) override {}
  void abandon() override {}

  Loop& loop_;
  std::string name_;
  replication::ResourceConfig config_;
  RepeatableRandom random_;
  EngineHost* peer_ = nullptr;
  std::unique_ptr<blockdev::BlockDevice> data_;
  std::unique_ptr<blockdev::BlockDevice> metadata_;
  std::unique_ptr<replication::Resource> resource_;
};

}  // namespace baton::test
