#include "replication/engine/single_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace baton::replication {
namespace {

using blockdev::BlockDevice;
using blockdev::Op;
using blockdev::Request;

class SingleNode;

// One NBD connection's way to a volume. Requests are handed on as they are.
class Door final : public BlockDevice, Runnable {
 public:
  Door(SingleNode& resource, std::uint32_t volume, ClientInfo client);
  ~Door() override;

  const blockdev::Limits& limits() const override { return limits_; }
  void submit(Request& request) override;
  std::string name() const override;
  const ClientInfo& client() const { return client_; }

 private:
  void complete_refused();
  SingleNode& resource_;
  std::uint32_t volume_;
  ClientInfo client_;
  blockdev::Limits limits_;
  std::vector<Request*> refused_;  // completed from the loop, never inside submit()
};

class SingleNode final : public Resource {
 public:
  SingleNode(Environment environment, ResourceConfig config)
      : environment_(environment),
        config_(std::move(config)),
        doors_closed_(environment.loop),
        stores_(config_.volumes.size()) {}

  Task<Result<>> up() override;
  Task<Result<>> down() override;
  Task<Result<>> promote(PromoteOptions options) override;
  Task<Result<>> demote(bool force) override;
  Task<Result<>> connect(bool discard_my_data) override;
  Task<Result<>> disconnect() override;
  Task<Result<>> attach() override;
  Task<Result<>> detach() override;
  Task<Result<>> invalidate() override;
  Task<Result<>> handover(std::string to) override;

  ResourceStatus status() const override;
  void observe(ResourceObserver* observer) override { observer_ = observer; }
  Result<blockdev::Limits> limits(std::uint32_t volume) const override;
  Result<std::unique_ptr<BlockDevice>> open(std::uint32_t volume, ClientInfo client) override;
  void accept(Link /*link*/) override {}  // nobody has this node's address; the link closes

 private:
  friend class Door;
  Task<Result<>> flush_all();
  std::unexpected<Error> alone(std::string_view what) const {
    return failure(fmt::format("{} has one node only: {}", config_.name, what));
  }
  void changed() {
    if (observer_ != nullptr) observer_->resource_changed(config_.name);
  }

  Environment environment_;
  ResourceConfig config_;
  ResourceObserver* observer_ = nullptr;
  Signal doors_closed_;
  std::vector<BackingStore> stores_;
  std::vector<Door*> doors_;
  Role role_ = Role::secondary;
  bool up_ = false;
  bool draining_ = false;
};

Door::Door(SingleNode& resource, std::uint32_t volume, ClientInfo client)
    : Runnable([](Runnable& self) { static_cast<Door&>(self).complete_refused(); }),
      resource_(resource),
      volume_(volume),
      client_(std::move(client)),
      limits_(resource.stores_[volume].data->limits()) {
  resource_.doors_.push_back(this);
}

Door::~Door() {
  BATON_ASSERT(refused_.empty(), "a connection outlives its requests");
  std::erase(resource_.doors_, this);
  resource_.doors_closed_.notify_all();
  resource_.changed();
}

std::string Door::name() const {
  return fmt::format("{}/{}", resource_.config_.name, volume_);
}

bool changes_data(Op op) {
  return op == Op::write || op == Op::discard || op == Op::write_zeroes;
}

void Door::submit(Request& request) {
  BlockDevice* data = resource_.stores_[volume_].data.get();
  const bool permitted = resource_.role_ == Role::primary || !changes_data(request.op);
  if (data != nullptr && permitted) return data->submit(request);
  request.error = data == nullptr ? IoError::shutdown : IoError::not_permitted;
  request.reason = data == nullptr ? "the volume is detached" : "this node is Secondary";
  refused_.push_back(&request);
  resource_.environment_.loop.post(*this);
}

void Door::complete_refused() {
  // Completing may end the connection and with it this door.
  for (Request* request : std::exchange(refused_, {})) request->complete();
}

Task<Result<>> SingleNode::up() {
  if (up_) co_return Result<>{};
  auto opened = std::vector<BackingStore>(config_.volumes.size());
  for (std::uint32_t volume = 0; volume < opened.size(); ++volume) {
    auto store = environment_.disks.open(volume);
    if (!store) co_return std::unexpected(store.error());
    opened[volume] = std::move(*store);
  }
  stores_ = std::move(opened);
  up_ = true;
  role_ = Role::primary;  // design §4: a one-node resource takes its baton at start
  changed();
  co_return Result<>{};
}

Task<Result<>> SingleNode::flush_all() {
  for (BackingStore& store : stores_) {
    if (!store.data) continue;
    Request request;
    request.op = Op::flush;
    co_await perform(*store.data, request);
    if (request.error == IoError::none) continue;
    co_return failure(fmt::format("{} could not flush {} ({}): what was written last may be lost",
                                  config_.name, store.data->name(), name_of(request.error)));
  }
  co_return Result<>{};
}

Task<Result<>> SingleNode::down() {
  if (!up_) co_return Result<>{};
  draining_ = true;  // no new doors
  while (!doors_.empty()) co_await doors_closed_.wait();
  Result<> flushed = co_await flush_all();
  draining_ = false;
  up_ = false;
  role_ = Role::secondary;
  for (BackingStore& store : stores_) store = BackingStore();
  changed();
  co_return flushed;
}

Task<Result<>> SingleNode::promote(PromoteOptions /*options*/) {
  if (!stores_[0].data) {
    co_return failure(
        fmt::format("{} has no disk attached: run batonctl attach {}", config_.name, config_.name));
  }
  role_ = Role::primary;
  changed();
  co_return Result<>{};
}

Task<Result<>> SingleNode::demote(bool /*force*/) {
  role_ = Role::secondary;
  changed();
  Result<> flushed = co_await flush_all();
  co_return flushed;
}

Task<Result<>> SingleNode::connect(bool /*discard_my_data*/) {
  co_return alone("there is nobody to connect to");
}
Task<Result<>> SingleNode::disconnect() {
  co_return alone("there is nobody to disconnect from");
}
Task<Result<>> SingleNode::attach() {
  if (stores_[0].data) co_return Result<>{};
  up_ = false;
  Result<> opened = co_await up();
  up_ = true;
  co_return opened;
}
Task<Result<>> SingleNode::detach() {
  if (!doors_.empty()) {
    co_return alone(fmt::format("its only copy stays attached while {} uses it",
                                doors_.front()->client().name));
  }
  Result<> flushed = co_await flush_all();
  if (!flushed) co_return flushed;
  role_ = Role::secondary;
  for (BackingStore& store : stores_) store = BackingStore();
  changed();
  co_return Result<>{};
}
Task<Result<>> SingleNode::invalidate() {
  co_return alone("its only copy cannot be given up");
}
Task<Result<>> SingleNode::handover(std::string /*to*/) {
  co_return alone("there is nobody to hand over to");
}

ResourceStatus SingleNode::status() const {
  ResourceStatus status;
  status.name = config_.name;
  status.role = role_;
  status.up = up_;
  for (std::uint32_t volume = 0; volume < stores_.size(); ++volume) {
    const BlockDevice* data = stores_[volume].data.get();
    status.devices.push_back(
        {.volume = volume,
         .disk_state = data != nullptr ? DiskState::up_to_date : DiskState::diskless,
         .size = data != nullptr ? data->limits().size : config_.volumes[volume].size});
  }
  if (role_ == Role::primary) {
    status.baton_holder = config_.self;
    status.baton_epoch = 1;
  }
  for (const Door* door : doors_) status.clients.push_back(door->client().name);
  return status;
}

Result<blockdev::Limits> SingleNode::limits(std::uint32_t volume) const {
  if (volume >= stores_.size() || !stores_[volume].data) {
    return failure(fmt::format("{} has no volume {} with a disk", config_.name, volume));
  }
  return stores_[volume].data->limits();
}

Result<std::unique_ptr<BlockDevice>> SingleNode::open(std::uint32_t volume, ClientInfo client) {
  if (draining_) return failure(fmt::format("{} is going down", config_.name));
  if (auto known = limits(volume); !known) return std::unexpected(known.error());
  auto door = std::make_unique<Door>(*this, volume, std::move(client));
  changed();
  return door;
}

}  // namespace

std::unique_ptr<Resource> make_single_node(Environment environment, ResourceConfig config) {
  return std::make_unique<SingleNode>(environment, std::move(config));
}

}  // namespace baton::replication
