#include "tests/simulation/fake_resource.h"

#include <cstring>
#include <list>
#include <map>

namespace baton::sim {

using blockdev::Op;
using blockdev::Request;
using replication::ConnectionState;
using replication::DiskState;
using replication::ReplicationState;
using replication::ResourceStatus;
using replication::Role;

// A request that one fake carries out for the other. Lives until both are done with it.
struct RemoteCall {
  Op op = Op::write;
  bool fua = false;
  std::uint32_t volume = 0;
  std::uint64_t offset = 0;
  std::vector<std::byte> data;
  std::uint64_t length = 0;
  IoError error = IoError::none;
  bool done = false;
  Signal* answered = nullptr;  // null: nobody waits
};

class FakeResource final : public replication::Resource {
 public:
  FakeResource(FakeFactory& shared, int node, replication::Environment environment,
               replication::ResourceConfig config)
      : shared_(shared),
        node_(node),
        env_(environment),
        config_(std::move(config)),
        moved_(env_.loop),
        scope_(env_.loop) {}
  // The other side sees the connection break.
  ~FakeResource() override {
    if (up_) leave();
  }

  Task<Result<>> up() override {
    for (std::uint32_t i = 0; i < config_.volumes.size(); ++i) {
      auto store = env_.disks.open(i);
      if (!store) co_return std::unexpected(store.error());
      stores_.push_back(std::move(*store));
    }
    up_ = true;
    shared_.running_[index()] = this;
    changed();
    scope_.spawn(come_together());
    co_return Result<>();
  }

  void expect_down() override {}
  Task<Result<>> down() override {
    while (writing_ || serving_ > 0 || !calls_.empty()) co_await moved_.wait();
    if (primary_) shared_.holder_ = -1;
    leave();
    up_ = false;
    stores_.clear();
    co_return Result<>();
  }

  Task<Result<>> promote(replication::PromoteOptions options) override {
    if (other() != nullptr && other()->primary_ && shared_.lie_ != Lie::two_primaries) {
      co_return failure("the other node is Primary");
    }
    if (!options.force && !complete()) co_return failure("this copy may lack writes");
    shared_.created_ = true;
    primary_ = true;
    shared_.holder_ = node_;
    shared_.behind_[index()] = false;
    if (other() != nullptr) scope_.spawn(come_together());
    changed();
    co_return Result<>();
  }

  Task<Result<>> demote(bool /*force*/) override {
    while (writing_) co_await moved_.wait();
    primary_ = false;
    if (shared_.holder_ == node_) shared_.holder_ = -1;
    changed();
    co_return Result<>();
  }

  Task<Result<>> connect(bool discard, bool /*undo*/) override {
    if (discard) shared_.wrote_alone_[index()] = false;
    if (other() != nullptr) other()->scope_.spawn(other()->come_together());
    co_return Result<>();
  }
  Task<Result<>> disconnect() override { co_return failure("not in this fake"); }
  Task<Result<>> attach() override { co_return failure("not in this fake"); }
  Task<Result<>> detach() override { co_return failure("not in this fake"); }
  Task<Result<>> invalidate() override { co_return failure("not in this fake"); }
  Task<Result<>> invalidate_remote() override { co_return failure("not in this fake"); }
  Task<Result<>> pause_sync() override { co_return failure("not in this fake"); }
  Task<Result<>> resume_sync() override { co_return failure("not in this fake"); }
  Task<Result<>> resume_io() override { co_return Result<>{}; }
  Task<Result<>> outdate() override { co_return failure("not in this fake"); }
  Task<Result<>> resolve(std::string /*keep*/, bool /*undo*/) override {
    co_return failure("the fake has no split brain");
  }
  Task<Result<>> handover(std::string /*to*/) override {
    if (!primary_ || !together()) co_return failure("nobody to hand over to");
    while (writing_) co_await moved_.wait();
    if (!together()) co_return failure("the peer is gone");
    primary_ = false;
    other()->primary_ = true;
    shared_.holder_ = other()->node_;
    changed();
    other()->changed();
    co_return Result<>();
  }

  Task<Result<>> verify(replication::VerifyOptions /*options*/) override {
    co_return failure("not in this fake");
  }
  Task<Result<>> allow_first_write(Duration /*time*/) override {
    co_return failure("not in this fake");
  }
  Task<Result<>> deny_first_write() override { co_return failure("not in this fake"); }
  void guest_is(replication::GuestWord /*word*/) override {}
  Task<Result<>> offer() override { co_return failure("not in this fake"); }
  Task<Result<>> grant_offered() override { co_return failure("not in this fake"); }
  Task<Result<>> withdraw_offer() override { co_return failure("not in this fake"); }
  Result<> tunnel(std::span<const std::byte> /*bytes*/) override {
    return failure("not in this fake");
  }
  void on_tunnel(TunnelHandler /*handler*/) override {}
  Result<blockdev::Limits> limits(std::uint32_t volume) const override {
    return disk_limits(volume);
  }

  ResourceStatus status() const override;
  void observe(replication::ResourceObserver* observer) override { observer_ = observer; }
  Result<std::unique_ptr<blockdev::BlockDevice>> open(std::uint32_t volume,
                                                      replication::ClientInfo client) override;
  void accept(replication::Link link) override { link->close(); }

  void submit(std::uint32_t volume, Request& request) { scope_.spawn(serve(volume, request)); }
  const blockdev::Limits& disk_limits(std::uint32_t volume) const {
    return stores_[volume].data->limits();
  }

 private:
  class Device;
  std::size_t index() const { return static_cast<std::size_t>(node_); }
  FakeResource* other() const { return shared_.running_[1 - index()]; }
  bool together() const { return together_ && other() != nullptr && other()->up_; }
  bool complete() const {
    return shared_.created_ && !shared_.behind_[index()] &&
           (together() || shared_.behind_[1 - index()] || primary_);
  }
  bool split() const { return shared_.wrote_alone_[0] && shared_.wrote_alone_[1]; }

  void changed() {
    if (observer_ != nullptr) observer_->resource_changed(config_.name);
    moved_.notify_all();
  }
  void leave();
  Task<> come_together();
  Task<> copy_everything(FakeResource& target);
  Task<> serve(std::uint32_t volume, Request& request);
  Task<> serve_write(std::uint32_t volume, Request& request);
  Task<> serve_read(std::uint32_t volume, Request& request);
  Task<> serve_flush(std::uint32_t volume, Request& request);
  Task<> perform_call(std::shared_ptr<RemoteCall> call);
  Task<IoError> ask_other(std::shared_ptr<RemoteCall> call);
  Task<> write_later(std::shared_ptr<RemoteCall> call);

  FakeFactory& shared_;
  int node_;
  replication::Environment env_;
  replication::ResourceConfig config_;
  replication::ResourceObserver* observer_ = nullptr;
  std::vector<replication::BackingStore> stores_;
  bool up_ = false;
  bool primary_ = false;
  bool together_ = false;
  bool meeting_ = false;
  bool writing_ = false;
  std::uint64_t count_ = 0;
  std::uint64_t serving_ = 0;
  std::map<std::uint64_t, std::vector<std::byte>> remembered_;
  std::list<std::shared_ptr<RemoteCall>> calls_;  // of the other, in progress here
  Signal moved_;
  Scope scope_;
};

class FakeResource::Device final : public blockdev::BlockDevice {
 public:
  Device(FakeResource& owner, std::uint32_t volume)
      : owner_(owner), volume_(volume), limits_(owner.disk_limits(volume)) {}
  const blockdev::Limits& limits() const override { return limits_; }
  void submit(Request& request) override { owner_.submit(volume_, request); }
  std::string name() const override { return "fake"; }

 private:
  FakeResource& owner_;
  std::uint32_t volume_;
  blockdev::Limits limits_;
};

Result<std::unique_ptr<blockdev::BlockDevice>> FakeResource::open(
    std::uint32_t volume, replication::ClientInfo /*client*/) {
  return std::make_unique<Device>(*this, volume);
}

ResourceStatus FakeResource::status() const {
  ResourceStatus status;
  status.name = config_.name;
  status.up = up_;
  status.role = primary_ ? Role::primary : Role::secondary;
  const bool early = shared_.lie_ == Lie::mark_clean_early && other() != nullptr && up_;
  const auto state = [&](std::size_t node, bool known) {
    if (early) return DiskState::up_to_date;
    if (!known) return DiskState::unknown;
    if (!shared_.created_ || shared_.behind_[node]) return DiskState::inconsistent;
    return node == index() && !complete() ? DiskState::consistent : DiskState::up_to_date;
  };
  replication::ConnectionStatus connection;
  connection.name = node_ == 0 ? "B" : "A";
  const bool linked = other() != nullptr && (together_ || split() || early);
  connection.connection_state = linked ? ConnectionState::connected : ConnectionState::connecting;
  if (linked && split()) connection.split_brain = replication::SplitBrain{.reason = "both wrote"};
  for (std::uint32_t i = 0; i < config_.volumes.size(); ++i) {
    status.devices.push_back({i, state(index(), true), config_.volumes[i].size});
    const bool in_sync = together() || early;
    connection.peer_devices.push_back(
        {i, in_sync ? ReplicationState::established : ReplicationState::off,
         state(1 - index(), in_sync), 0, 100.0});
  }
  status.connections.push_back(connection);
  return status;
}

void FakeResource::leave() {
  shared_.running_[index()] = nullptr;
  for (auto& call : calls_) {
    call->error = IoError::io;
    call->done = true;
    if (call->answered != nullptr) call->answered->notify_all();
  }
  calls_.clear();
  if (FakeResource* peer = shared_.running_[1 - index()]) {
    for (auto& call : peer->calls_) call->answered = nullptr;  // they are all ours
    peer->together_ = false;
    peer->meeting_ = false;
    peer->changed();
  }
}

// The two find each other; whoever may lack something is copied to.
Task<> FakeResource::come_together() {
  co_await sleep_for(env_.clock, std::chrono::milliseconds(1));
  FakeResource* peer = other();
  if (peer == nullptr || meeting_ || peer->meeting_ || together_ || !up_ || !peer->up_) co_return;
  if (!shared_.created_) co_return;
  if (split() && shared_.lie_ != Lie::no_split_brain) {
    changed();
    peer->changed();
    co_return;
  }
  // When in doubt the other one: it has lived through what this one slept through.
  const bool mine_is_newer = primary_ || shared_.wrote_alone_[index()] ||
                             (shared_.behind_[1 - index()] && !shared_.behind_[index()]);
  FakeResource& source = mine_is_newer ? *this : *peer;
  FakeResource& target = mine_is_newer ? *peer : *this;
  source.scope_.spawn(source.copy_everything(target));
}

Task<> FakeResource::copy_everything(FakeResource& target) {
  meeting_ = true;
  target.primary_ = false;
  shared_.behind_[target.index()] = true;
  while (writing_) co_await moved_.wait();
  writing_ = true;  // client writes wait meanwhile
  constexpr std::uint64_t piece = 65536;
  bool ok = true;
  for (std::uint32_t v = 0; v < config_.volumes.size() && ok; ++v) {
    for (std::uint64_t at = 0; at < config_.volumes[v].size && ok; at += piece) {
      auto call = std::make_shared<RemoteCall>();
      call->volume = v;
      call->offset = at;
      call->length = std::min(piece, config_.volumes[v].size - at);
      call->data.resize(call->length);
      Request read;
      read.op = Op::read;
      read.offset = at;
      read.length = call->length;
      read.data = call->data.data();
      co_await perform(*stores_[v].data, read);
      ok = co_await ask_other(call) == IoError::none;
    }
    auto flush = std::make_shared<RemoteCall>();
    flush->op = Op::flush;
    flush->volume = v;
    if (ok) ok = co_await ask_other(flush) == IoError::none;
  }
  writing_ = false;
  meeting_ = false;
  if (ok && other() != nullptr) {
    shared_.behind_ = {false, false};
    shared_.wrote_alone_ = {false, false};
    together_ = other()->together_ = true;
    other()->changed();
  }
  changed();
}

Task<> FakeResource::perform_call(std::shared_ptr<RemoteCall> call) {
  Request request;
  request.op = call->op;
  request.flags.fua = call->fua;
  request.offset = call->offset;
  request.length = call->length;
  request.data = call->data.data();
  co_await perform(*stores_[call->volume].data, request);
  call->error = request.error;
  call->done = true;
  calls_.remove(call);
  moved_.notify_all();
  if (call->answered != nullptr) call->answered->notify_all();
}

Task<IoError> FakeResource::ask_other(std::shared_ptr<RemoteCall> call) {
  FakeResource* peer = other();
  if (peer == nullptr) co_return IoError::io;
  Signal answered(env_.loop);
  call->answered = &answered;
  peer->calls_.push_back(call);
  peer->scope_.spawn(peer->perform_call(call));
  while (!call->done) co_await answered.wait();
  call->answered = nullptr;
  co_return call->error;
}

Task<> FakeResource::write_later(std::shared_ptr<RemoteCall> call) {
  co_await sleep_for(env_.clock, std::chrono::milliseconds(2));
  co_await ask_other(call);
}

Task<> FakeResource::serve(std::uint32_t volume, Request& request) {
  ++count_;
  ++serving_;
  co_await Yield(env_.loop);
  if (shared_.lie_ == Lie::forget_a_request && count_ % 50 == 0) co_return;
  if (request.op == Op::read) {
    co_await serve_read(volume, request);
  } else if (request.op == Op::flush) {
    co_await serve_flush(volume, request);
  } else {
    co_await serve_write(volume, request);
  }
  --serving_;
  request.complete();
  moved_.notify_all();
}

Task<> FakeResource::serve_write(std::uint32_t volume, Request& request) {
  const bool may = primary_ || shared_.lie_ == Lie::two_writers;
  if (!may && shared_.lie_ != Lie::refuse_but_write) {
    request.error = IoError::not_permitted;
    co_return;
  }
  while (writing_) co_await moved_.wait();
  if (may && !primary_ && shared_.lie_ != Lie::two_writers) {
    request.error = IoError::not_permitted;  // demoted meanwhile
    co_return;
  }
  writing_ = true;
  auto call = std::make_shared<RemoteCall>();
  call->op = request.op == Op::discard ? Op::write_zeroes : request.op;
  call->fua = request.flags.fua && shared_.lie_ != Lie::ignore_fua;
  call->volume = volume;
  call->offset = request.offset;
  call->length = request.length;
  if (request.op == Op::write) call->data.assign(request.data, request.data + request.length);
  Request own;
  own.op = call->op;
  own.flags.fua = call->fua;
  own.offset = request.offset;
  own.length = request.length;
  own.data = call->data.data();
  if (!together()) {
    shared_.behind_[1 - index()] = true;
    shared_.wrote_alone_[index()] = true;
  }
  co_await perform(*stores_[volume].data, own);
  const bool fits = call->offset + call->length + sector_bytes <= disk_limits(volume).size;
  if (shared_.lie_ == Lie::wrong_place && count_ % 40 == 0 && fits) call->offset += sector_bytes;
  const bool skip = shared_.lie_ == Lie::lose_at_peer && count_ % 8 == 0;
  if (together() && !skip) {
    if (shared_.lie_ == Lie::ack_before_peer) {
      scope_.spawn(write_later(call));
    } else if (co_await ask_other(call) != IoError::none) {
      shared_.behind_[1 - index()] = true;
      shared_.wrote_alone_[index()] = true;
    }
  }
  writing_ = false;
  moved_.notify_all();
  request.error = may ? own.error : IoError::not_permitted;
}

Task<> FakeResource::serve_read(std::uint32_t volume, Request& request) {
  if (shared_.lie_ == Lie::uninitialised_read && count_ % 30 == 0) co_return;
  while (writing_) co_await moved_.wait();
  if (primary_ || !together() || shared_.lie_ == Lie::two_writers) {
    if (!primary_ && !complete() && shared_.lie_ == Lie::none) {
      request.error = IoError::io;
      co_return;
    }
    Request own;
    own.op = Op::read;
    own.offset = request.offset;
    own.length = request.length;
    own.data = request.data;
    co_await perform(*stores_[volume].data, own);
    request.error = own.error;
    co_return;
  }
  auto call = std::make_shared<RemoteCall>();
  call->op = Op::read;
  call->volume = volume;
  call->offset = request.offset;
  call->length = request.length;
  call->data.resize(request.length);
  auto& remembered = remembered_[request.offset];
  if (shared_.lie_ == Lie::stale_read && remembered.size() == request.length) {
    std::memcpy(request.data, remembered.data(), request.length);
    co_return;
  }
  while (other() != nullptr && other()->writing_) {
    co_await sleep_for(env_.clock, std::chrono::microseconds(50));
  }
  request.error = co_await ask_other(call);
  std::memcpy(request.data, call->data.data(), request.length);
  remembered = call->data;
}

Task<> FakeResource::serve_flush(std::uint32_t volume, Request& request) {
  if (shared_.lie_ == Lie::flush_nothing) co_return;
  Request own;
  own.op = Op::flush;
  co_await perform(*stores_[volume].data, own);
  request.error = own.error;
  if (!together() || shared_.lie_ == Lie::flush_only_here) co_return;
  auto call = std::make_shared<RemoteCall>();
  call->op = Op::flush;
  call->volume = volume;
  co_await ask_other(call);
}

std::unique_ptr<replication::Resource> FakeFactory::make(int node,
                                                         replication::Environment environment,
                                                         replication::ResourceConfig config) {
  return std::make_unique<FakeResource>(*this, node, environment, std::move(config));
}

Task<Result<>> FakeFactory::create_metadata(Loop& /*loop*/, blockdev::BlockDevice& device,
                                            const replication::ResourceConfig& /*config*/,
                                            std::uint32_t /*volume*/) {
  Request flush;
  flush.op = Op::flush;
  co_await perform(device, flush);
  co_return Result<>();
}

}  // namespace baton::sim
