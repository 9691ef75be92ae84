// batond: keeps this node's copies and serves them (design §8).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <set>
#include <string>

#include "control/config.h"
#include "control/control_socket.h"
#include "control/daemon/daemon.h"
#include "control/daemon/log.h"
#include "control/daemon/passed_sockets.h"

namespace baton::control {
namespace {

struct Arguments {
  std::string configuration = default_configuration;
  std::string node = host_name();
  std::string run_directory = default_run_directory;
  unsigned poll_microseconds = 200;  // as KVM's halt_poll_ns
  bool single = false;
  bool debug = false;
};

int exit_with(const Error& error) {
  fmt::print(stderr, "batond: {}\n", error.message);
  return static_cast<int>(error.exit_code);
}

// A file that does not name this node is a mistyped --node; a directory may be shared by hosts of
// which some keep nothing yet.
Result<> check_node(const Configuration& configuration, const std::string& node) {
  std::set<std::string> nodes;
  for (const ResourceSpec& resource : configuration.resources) {
    if (resource.node(node) != nullptr) return {};
    for (const NodeSpec& each : resource.nodes) nodes.insert(each.name);
  }
  std::string named;
  for (const std::string& each : nodes) named += (named.empty() ? "" : ", ") + each;
  const std::string message =
      fmt::format("{} names no node {}{}: choose one with --node", configuration.path, node,
                  named.empty() ? " (it has no resources)" : fmt::format(", only {}", named));
  if (!configuration.directory) return failure(message, ExitCode::configuration);
  log_line(LogLevel::warning, message);
  return {};
}

int serve(const Arguments& arguments) {
  auto passed = PassedSockets::take();
  if (!passed) return exit_with(passed.error());
  if (arguments.single) {
    if (auto taken = passed->take_client(); !taken) return exit_with(taken.error());
  }
  auto configuration = load_configuration(arguments.configuration);
  if (!configuration) return exit_with(configuration.error());
  if (auto named = check_node(*configuration, arguments.node); !named) {
    return exit_with(named.error());
  }
  if (auto assigned = passed->assign(*configuration, arguments.node); !assigned) {
    return exit_with(assigned.error());
  }
  const auto run_directory = RunDirectory::claim(arguments.run_directory);
  if (!run_directory) return exit_with(run_directory.error());
  Daemon daemon(*configuration, *run_directory, *passed, arguments.node,
                std::chrono::microseconds(arguments.poll_microseconds));
  if (auto prepared = daemon.prepare(); !prepared) return exit_with(prepared.error());
  return static_cast<int>(daemon.run());
}

int main_of(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("batond: keeps this node's copies of replicated disks and serves them over NBD");
  app.add_option("--config", arguments.configuration, "file, or directory of *.toml files")
      ->capture_default_str();
  app.add_option("--node", arguments.node, "this node's name")->capture_default_str();
  app.add_option("--run-dir", arguments.run_directory, "lock and control socket")
      ->capture_default_str();
  app.add_option("--poll", arguments.poll_microseconds,
                 "microseconds for which a busy disk's thread looks for the next request before it "
                 "sleeps; more speed and more CPU time, 0 for neither")
      ->capture_default_str()
      ->check(CLI::Range(0U, 10'000U));
  app.add_flag(
      "--single", arguments.single,
      "serve one more client, which is connected to standard input, and end when it leaves");
  app.add_flag("--debug", arguments.debug, "log more");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  // A reader of our log who goes away must not end us.
  std::signal(SIGPIPE, SIG_IGN);
  open_log(arguments.debug);
  return serve(arguments);
}

}  // namespace
}  // namespace baton::control

int main(int argc, char** argv) {
  return baton::control::main_of(argc, argv);
}
