#include "control/daemon/handler_programs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

namespace baton::control {
namespace {

namespace asio = boost::asio;
using replication::Handler;
using Level = replication::Journal::Level;

// "ipv4", as DRBD writes it.
const char* address_family(const std::string& host) {
  return host.find(':') == std::string::npos ? "ipv4" : "ipv6";
}

struct SpawnPlan {
  SpawnPlan() {
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    // Sockets and disks of the daemon's: a handler that outlives it must not keep them.
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

}  // namespace

// Asio may run the handler of a cancelled wait after the HandlerPrograms are gone.
struct HandlerPrograms::Program {
  Program(Shard& shard, int descriptor) : process(shard.io(), descriptor) {}
  asio::posix::stream_descriptor process;  // a pidfd: readable when it has ended
  HandlerPrograms* owner = nullptr;
  bool ended = false;
  std::optional<int> code;
};

HandlerPrograms::HandlerPrograms(Shard& shard, const ResourceSpec& spec, const NodeSpec& node,
                                 replication::Journal& journal)
    : shard_(shard), spec_(spec), node_(node), journal_(journal), ended_(shard.loop()) {}

HandlerPrograms::~HandlerPrograms() {
  for (const auto& program : running_) program->owner = nullptr;
}

bool HandlerPrograms::configured(Handler handler) const {
  return !command(handler).empty();
}

std::vector<std::string> HandlerPrograms::environment() const {
  std::vector<std::string> all{"DRBD_RESOURCE=" + spec_.name, "DRBD_CONF=" + spec_.file};
  const auto endpoint = [&all](const char* side, const NodeSpec& of) {
    if (!of.address) return;
    all.push_back(fmt::format("DRBD_{}_ADDRESS={}", side, of.address->host));
    all.push_back(fmt::format("DRBD_{}_AF={}", side, address_family(of.address->host)));
  };
  endpoint("MY", node_);
  for (std::size_t i = 0; i < spec_.nodes.size(); ++i) {
    const NodeSpec& each = spec_.nodes[i];
    if (each.name == node_.name) {
      all.push_back(fmt::format("DRBD_MY_NODE_ID={}", i));
      continue;
    }
    endpoint("PEER", each);
    all.push_back("DRBD_PEER=" + each.name);
    all.push_back("DRBD_PEERS=" + each.name);
    all.push_back(fmt::format("DRBD_PEER_NODE_ID={}", i));
  }
  for (std::size_t i = 0; i < node_.disks.size(); ++i) {
    all.push_back(fmt::format("DRBD_BACKING_DEV_{}={}", i, node_.disks[i]));
  }
  all.push_back("DRBD_VOLUME=0");
  if (!node_.disks.empty()) all.push_back("DRBD_BACKING_DEV=" + node_.disks.front());
  if (resource_ != nullptr) {
    const replication::ResourceStatus status = resource_->status();
    for (const auto& connection : status.connections) {
      all.push_back(fmt::format("DRBD_CSTATE={}", name_of(connection.connection_state)));
    }
  }
  return all;
}

std::shared_ptr<HandlerPrograms::Program> HandlerPrograms::launch(Handler handler) {
  std::vector<std::string> added = environment();
  std::vector<char*> all;
  for (char** each = environ; *each != nullptr; ++each) all.push_back(*each);
  for (std::string& each : added) all.push_back(each.data());
  all.push_back(nullptr);
  std::string shell = "/bin/sh";
  std::string flag = "-c";
  std::string text = command(handler);
  char* arguments[] = {shell.data(), flag.data(), text.data(), nullptr};
  const SpawnPlan plan;
  pid_t pid = 0;
  int error =
      posix_spawn(&pid, shell.c_str(), &plan.actions, &plan.attributes, arguments, all.data());
  const int descriptor = error == 0 ? static_cast<int>(syscall(SYS_pidfd_open, pid, 0U)) : -1;
  if (error == 0 && descriptor < 0) error = errno;
  if (error != 0) {
    journal_.line(Level::error, fmt::format("handler {}: {} cannot be run: {}", name_of(handler),
                                            command(handler), std::strerror(error)));
    return nullptr;
  }
  auto program = std::make_shared<Program>(shard_, descriptor);
  program->owner = this;
  running_.push_back(program);
  program->process.async_wait(
      asio::posix::stream_descriptor::wait_read,
      [program, handler](const boost::system::error_code& failed) {
        siginfo_t how{};
        const auto id = static_cast<id_t>(program->process.native_handle());
        if (failed || waitid(P_PIDFD, id, &how, WEXITED | WNOHANG) != 0) how.si_code = 0;
        if (how.si_code == CLD_EXITED) program->code = how.si_status;
        program->ended = true;
        HandlerPrograms* const owner = program->owner;
        if (owner == nullptr) return;
        const std::string result = program->code ? fmt::format("exit code {}", *program->code)
                                                 : std::string("ended by a signal");
        owner->journal_.line(Level::notice,
                             fmt::format("handler {}: {}", name_of(handler), result));
        std::erase(owner->running_, program);
        owner->ended_.notify_all();
      });
  return program;
}

Task<std::optional<int>> HandlerPrograms::run(Handler handler) {
  const std::shared_ptr<Program> program = launch(handler);
  if (program == nullptr) co_return std::nullopt;
  const std::uint64_t abandonments = abandonments_;
  while (!program->ended && abandonments == abandonments_) co_await ended_.wait();
  co_return program->code;
}

void HandlerPrograms::start(Handler handler) {
  launch(handler);
}

void HandlerPrograms::abandon() {
  ++abandonments_;
  ended_.notify_all();
}

}  // namespace baton::control
