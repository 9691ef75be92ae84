#include "tests/simulation/node.h"

#include <algorithm>

#include "base/assert.h"

namespace baton::sim {

using replication::Resource;

namespace {

// Node names are single letters, "A" for node 0.
int number_of(const std::string& name) {
  return name[0] - 'A';
}

constexpr std::size_t buffer_limit_bytes = 256U << 20U;

}  // namespace

Node::Node(World& world, SimNet& net, Factory& factory, int number,
           replication::ResourceConfig config, DiskModel model)
    : world_(world),
      net_(net),
      factory_(factory),
      number_(number),
      config_(std::move(config)),
      model_(model),
      random_(world.stream("node", static_cast<std::uint64_t>(number))),
      process_(world, number, random_.duration(std::chrono::seconds(1), std::chrono::hours(1))),
      fencing_(world, process_, world.stream("fencing", static_cast<std::uint64_t>(number))) {
  for (std::size_t i = 0; i < config_.volumes.size(); ++i) {
    const std::uint64_t size = config_.volumes[i].size;
    data_.push_back(std::make_unique<SimDisk>(world, number, 2 * i, size, model));
    metadata_.push_back(
        std::make_unique<SimDisk>(world, number, 2 * i + 1, factory.metadata_bytes(size), model));
  }
  config_.boot_id = random_.next() | 1U;
}

Node::~Node() {
  if (running()) {
    forget_requests();
    throw_away_process();
  }
}

void Node::create_metadata() {
  Scope scope(process_.loop());
  for (std::uint32_t i = 0; i < volumes(); ++i) {
    auto device = metadata_[i]->open(process_);
    BATON_ASSERT(device.has_value(), "nothing has opened a new disk yet");
    bool done = false;
    struct Create {
      static Task<> run(Node& node, blockdev::BlockDevice& disk, std::uint32_t volume, bool& end) {
        const Result<> result = co_await node.factory_.create_metadata(node.process_.loop(), disk,
                                                                       node.config_, volume);
        if (!result) node.world_.violated("create-md", result.error().message);
        end = true;
      }
    };
    scope.spawn(Create::run(*this, **device, i, done));
    const bool ended = world_.run_while_waiting([&] { return done; }, std::chrono::seconds(60));
    if (!ended) world_.violated("create-md", "never completes");
  }
}

// --- the four doors ---

Result<replication::BackingStore> Node::open(std::uint32_t volume) {
  auto data = data_[volume]->open(process_);
  if (!data) return std::unexpected(data.error());
  auto metadata = metadata_[volume]->open(process_);
  if (!metadata) return std::unexpected(metadata.error());
  return replication::BackingStore{std::move(*data), std::move(*metadata)};
}

Result<std::unique_ptr<blockdev::BlockDevice>> Node::create_undo(std::uint32_t volume,
                                                                 std::uint64_t generation,
                                                                 std::uint64_t bytes) {
  undo_names_.erase({volume, generation});
  if (bytes > undo_room_bytes_) return failure("the undo file does not fit; say --no-undo");
  // Odd, as all that holds no volume's data, and behind every other disk's number.
  constexpr std::uint64_t first_number = 33;
  undo_files_.push_back(std::make_unique<SimDisk>(
      world_, number_, first_number + std::uint64_t{2} * volume, bytes, model_));
  SimDisk& file = *undo_files_.back();
  if (undo_fault_) file.fail(*undo_fault_);
  undo_names_[{volume, generation}] = &file;
  return file.open(process_);
}

void Node::remove_undo(std::uint32_t volume, std::uint64_t generation) {
  undo_names_.erase({volume, generation});
}

const SimDisk* Node::undo(std::uint32_t volume, std::uint64_t generation) const {
  const auto found = undo_names_.find({volume, generation});
  return found == undo_names_.end() ? nullptr : found->second;
}

void Node::mend_undo() {
  undo_room_bytes_ = UINT64_MAX;
  undo_fault_.reset();
  for (auto& file : undo_files_) file->mend();
}

Task<Result<replication::Link>> Node::dial(std::string peer, TimePoint deadline) {
  co_return co_await net_.dial(process_, number_of(peer), deadline);
}

void Node::line(Level level, std::string text) {
  static constexpr std::array words = {"debug", "notice", "warning", "error"};
  world_.trace().say(number_, std::string(words[static_cast<std::size_t>(level)]) + " " + text);
}

void Node::resource_changed(const std::string& /*resource*/) {
  changed_ = true;
  status_known_ = false;
}

bool Node::configured(replication::Handler handler) const {
  return handler == replication::Handler::fence_peer && fencing_.installed();
}

Task<std::optional<int>> Node::run(replication::Handler /*handler*/) {
  return fencing_.run();
}

void Node::start(replication::Handler /*handler*/) {}

void Node::abandon() {
  fencing_.abandon();
}

const replication::ResourceStatus& Node::status() {
  if (!status_known_) {
    status_ = resource_->status();
    status_known_ = true;
  }
  return status_;
}

const replication::ResourceStatus& Node::fresh_status() {
  status_known_ = false;
  return status();
}

bool Node::disks_idle() const {
  const auto idle = [](const auto& disk) { return disk->idle(); };
  return std::ranges::all_of(data_, idle) && std::ranges::all_of(metadata_, idle) &&
         std::ranges::all_of(undo_files_, idle);
}

// --- life and death ---

void Node::start() {
  if (running()) return;
  if (!powered_) {
    powered_ = true;
    config_.boot_id = random_.next() | 1U;
    process_.set_origin(random_.duration(std::chrono::seconds(1), std::chrono::hours(1)));
    net_.host_is_up(number_);
  }
  ++incarnation_;
  runs_another_version_ = config_.version_lowest > replication::ResourceConfig().version_highest;
  world_.trace().say(number_, "starts");
  const auto stream = static_cast<std::uint64_t>(number_) * 1000 + incarnation_;
  buffers_ = std::make_unique<BufferPool>(buffer_limit_bytes);
  node_random_ = std::make_unique<NodeRandom>(world_.stream("engine", stream));
  resource_ = factory_.make(number_,
                            replication::Environment{process_.loop(), process_, *node_random_,
                                                     *buffers_, *this, *this, *this, *this},
                            config_);
  nbd_ = std::make_unique<NbdPort>(process_, *buffers_, *resource_, config_);
  verbs_ = std::make_unique<Scope>(process_.loop());
  status_known_ = false;
  changed_ = true;
  refusal_.clear();
  resource_->observe(this);
  net_.listen(
      number_, process_,
      [](void* context, replication::Link link) {
        static_cast<Node*>(context)->resource_->accept(std::move(link));
      },
      this);
  operate("up", [](Resource& resource) { return resource.up(); });
}

void Node::speak_another_version(bool other) {
  const replication::ResourceConfig usual;
  config_.version_lowest = usual.version_lowest;
  config_.version_highest = usual.version_highest;
  if (other) config_.version_lowest = ++config_.version_highest;
}

void Node::forget_requests() {
  for (auto& disk : data_) disk->process_killed();
  for (auto& disk : metadata_) disk->process_killed();
  for (auto& disk : undo_files_) disk->process_killed();
}

void Node::throw_away_process() {
  process_.pause(false);
  process_.forget_calls();
  for (Attached* client : attached_) client->process_is_dying();
  // Verbs stand in the engine's coroutines; then the engine; then what clients held of it.
  fencing_.process_killed();
  verbs_.reset();
  resource_.reset();
  nbd_.reset();
  for (Attached* client : attached_) client->process_is_gone();
  node_random_.reset();
  buffers_.reset();
  for (auto& verb : verbs_running_) verb->done = true;
  verbs_running_.clear();
  up_ = false;
  status_known_ = false;
  changed_ = true;
}

void Node::kill() {
  if (!running()) return;
  world_.trace().say(number_, "is killed");
  // First whatever could still complete into the frames.
  net_.process_killed(number_);
  forget_requests();
  throw_away_process();
}

void Node::power_cut(PowerLoss how) {
  kill();
  if (!powered_) return;
  static constexpr std::array words = {"lose", "keep", "tear", "shred"};
  world_.trace().say(
      number_, std::string("loses its power; caches: ") + words[static_cast<std::size_t>(how)]);
  powered_ = false;
  fencing_.power_cut();
  net_.power_cut(number_);
  for (auto& disk : data_) disk->power_cut(how);
  for (auto& disk : metadata_) disk->power_cut(how);
  for (auto& disk : undo_files_) disk->power_cut(how);
}

void Node::exit() {
  if (!running()) return;
  world_.trace().say(number_, "exits");
  net_.process_killed(number_);
  const auto left = [this](const auto& disk) {
    return config_.disk_timeout == Duration::zero() ? !disk->idle()
                                                    : !disk->idle_or_given_up(config_.disk_timeout);
  };
  if (std::ranges::any_of(data_, left) || std::ranges::any_of(metadata_, left) ||
      std::ranges::any_of(undo_files_, left)) {
    world_.violated("contract of Resource", "down() left requests on a disk");
  }
  forget_requests();
  throw_away_process();
}

// --- verbs ---

Task<> Node::run_verb(Node& node, std::shared_ptr<Verb> verb, Task<Result<>> task) {
  Result<> result = co_await std::move(task);
  node.operated(*verb, std::move(result));
}

void Node::operated(Verb& verb, Result<> result) {
  verb.done = verb.ended = true;
  verb.result = std::move(result);
  world_.trace().say(
      number_,
      verb.name + ": " + (verb.result ? "done" : "refused, " + verb.result.error().message));
  std::erase_if(verbs_running_, [&](const auto& running) { return running.get() == &verb; });
  if (verb.name != "up") return;
  up_ = verb.result.has_value();
  if (!up_) refusal_ = verb.result.error().message;
}

std::shared_ptr<Verb> Node::operate(std::string name, MakeVerb make) {
  auto verb = std::make_shared<Verb>();
  verb->name = std::move(name);
  if (!running()) {
    verb->done = true;
    return verb;
  }
  verbs_running_.push_back(verb);
  world_.trace().say(number_, verb->name + " …");
  process_.run_soon([this, verb, make = std::move(make)] {
    verbs_->spawn(run_verb(*this, verb, make(*resource_)));
  });
  return verb;
}

}  // namespace baton::sim
