#include "control/daemon/passed_sockets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace baton::control {
namespace {

constexpr int first_descriptor = 3;  // SD_LISTEN_FDS_START

std::string taken_from_environment(const char* name) {
  const char* const value = std::getenv(name);
  std::string taken = value == nullptr ? "" : value;
  ::unsetenv(name);
  return taken;
}

int number_in(const std::string& text) {
  int number = -1;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// "a:b" -> a, b
std::vector<std::string> names_in(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(':', at), text.size());
    names.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return names;
}

Endpoint endpoint_of(const nbd::Address& address) {
  if (address.kind == nbd::Address::Kind::unix_socket)
    return {.unix_path = address.path, .tcp = {}};
  return {.unix_path = {}, .tcp = {.host = address.host, .port = address.port}};
}

// Those of this node.
std::vector<std::pair<ResourceSpec*, NodeSpec*>> kept_here(Configuration& configuration,
                                                           const std::string& node) {
  std::vector<std::pair<ResourceSpec*, NodeSpec*>> kept;
  for (ResourceSpec& resource : configuration.resources) {
    const auto found = std::ranges::find(resource.nodes, node, &NodeSpec::name);
    if (found != resource.nodes.end()) kept.emplace_back(&resource, &*found);
  }
  return kept;
}

}  // namespace

PassedSockets::~PassedSockets() {
  for (const Socket& each : sockets_) ::close(each.socket.descriptor);
  if (has_client()) ::close(client_.descriptor);
}

Result<PassedSockets> PassedSockets::take() {
  const std::string pid = taken_from_environment("LISTEN_PID");
  const std::string count = taken_from_environment("LISTEN_FDS");
  const std::vector<std::string> names = names_in(taken_from_environment("LISTEN_FDNAMES"));
  PassedSockets passed;
  if (number_in(pid) != ::getpid()) return passed;  // they are a parent's, or nobody's
  for (int i = 0; i < number_in(count); ++i) {
    auto socket = nbd::adopt_listening(first_descriptor + i);
    if (!socket) {
      return failure(
          fmt::format("the service manager passed descriptor {} (LISTEN_FDS={}), which "
                      "cannot serve NBD: {}",
                      first_descriptor + i, count, socket.error().message));
    }
    const std::string name = std::cmp_less(i, names.size()) ? names[i] : std::string();
    passed.sockets_.push_back({*socket, endpoint_of(socket->address), name});
  }
  return passed;
}

Result<> PassedSockets::take_client() {
  const auto found = nbd::share_connected(STDIN_FILENO);
  if (!found) {
    return failure(fmt::format("--single serves the client that standard input is connected to, "
                               "and that {}: let inetd, systemd (Accept=yes, StandardInput=socket) "
                               "or an NBD client start batond",
                               found.error().message),
                   ExitCode::usage);
  }
  client_ = *found;
  struct stat input{};
  struct stat log{};
  const bool same = ::fstat(STDIN_FILENO, &input) == 0 && ::fstat(STDERR_FILENO, &log) == 0 &&
                    input.st_dev == log.st_dev && input.st_ino == log.st_ino;
  if (same) {
    return failure(
        "--single needs standard error for its log, and the client has it: send it "
        "elsewhere (2>FILE; under systemd StandardError=journal)",
        ExitCode::usage);
  }
  return {};
}

Result<nbd::ConnectedSocket> PassedSockets::client() const {
  nbd::ConnectedSocket client = client_;
  client.descriptor = ::fcntl(client.descriptor, F_DUPFD_CLOEXEC, 0);
  if (client.descriptor >= 0) return client;
  return failure(fmt::format("the client cannot be served: {}", std::strerror(errno)));
}

Result<> PassedSockets::assign(Configuration& configuration, const std::string& node) const {
  const auto kept = kept_here(configuration, node);
  if (has_client() && kept.empty()) {
    return failure(fmt::format("--single has nothing to serve: {} has no resource of node {}",
                               configuration.path, node),
                   ExitCode::configuration);
  }
  if (has_client()) {
    for (const auto& each : kept) each.second->nbd.push_back({.standard_input = true});
  }
  for (const Socket& socket : sockets_) {
    const bool named = std::ranges::any_of(kept, [&](const auto& each) {
      return std::ranges::find(each.second->nbd, socket.endpoint) != each.second->nbd.end();
    });
    if (named) continue;
    auto whose = std::ranges::find_if(
        kept, [&](const auto& each) { return each.first->name == socket.name; });
    if (whose == kept.end() && kept.size() == 1) whose = kept.begin();
    if (whose == kept.end()) {
      return failure(
          fmt::format("the service manager passed {}, which is no resource's: name it in nbd of "
                      "node {}, or give the socket a resource's name (FileDescriptorName)",
                      socket.endpoint.text(), node),
          ExitCode::configuration);
    }
    whose->second->nbd.push_back(socket.endpoint);
  }
  return {};
}

std::optional<nbd::ListeningSocket> PassedSockets::at(const Endpoint& endpoint) const {
  const auto found = std::ranges::find(sockets_, endpoint, &Socket::endpoint);
  if (found == sockets_.end()) return std::nullopt;
  nbd::ListeningSocket socket = found->socket;
  socket.descriptor = ::fcntl(socket.descriptor, F_DUPFD_CLOEXEC, 0);
  if (socket.descriptor < 0) return std::nullopt;
  return socket;
}

}  // namespace baton::control
