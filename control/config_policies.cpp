#include "control/config_policies.h"

#include <fmt/format.h>

#include "control/nearest.h"

namespace baton::control {
namespace {

using replication::Handler;
using replication::OnIoError;
using replication::OnPeerLost;

void read_handlers(const TomlSection& section, ResourceSpec& spec) {
  section.only(replication::handler_names, {});
  for (std::size_t i = 0; i < replication::handler_count; ++i) {
    const std::string_view name = replication::handler_names[i];
    const auto command = section.text(name);
    if (command) spec.handlers[i] = *command;
  }
}

OnIoError read_on_io_error(const TomlSection& section, ResourceSpec& spec) {
  const std::string written = section.text("on-io-error").value_or("detach");
  if (written == "detach") return OnIoError::detach;
  if (written == "pass-on") return OnIoError::pass_on;
  // DRBD calls the handler and detaches.
  std::string& handler = spec.handlers[static_cast<std::size_t>(Handler::local_io_error)];
  if (written == "call-local-io-error") {
    if (handler.empty()) {
      section.fail("on-io-error",
                   "on-io-error = \"call-local-io-error\" needs local-io-error in [handlers]");
    }
    return OnIoError::detach;
  }
  section.fail("on-io-error",
               fmt::format("on-io-error = \"{}\" is unknown: choose \"detach\" (the other node "
                           "serves this one), \"call-local-io-error\" (besides, the handler is "
                           "run) or \"pass-on\" (clients are told)",
                           written));
}

// Who can have the other node fenced waits for it.
OnPeerLost read_on_peer_lost(const TomlSection& section, bool can_fence) {
  const auto word = section.text("on-peer-lost");
  if (!word) return can_fence ? OnPeerLost::suspend : OnPeerLost::go_on;
  for (const OnPeerLost each : {OnPeerLost::go_on, OnPeerLost::suspend, OnPeerLost::fail}) {
    if (name_of(each) == *word) return each;
  }
  section.fail("on-peer-lost",
               fmt::format("on-peer-lost = \"{}\" is unknown: choose \"continue\", \"suspend\" or "
                           "\"fail\"",
                           *word));
}

// DRBD's value that is not taken, and why not; and one that takes a handler.
void check_after_sb(const TomlSection& section, std::string_view key, std::string_view value,
                    const ResourceSpec& spec) {
  if (value == "violently-as0p") {
    section.fail(key,
                 fmt::format("{} = \"{}\" is not taken: a Primary never yields, since its guest "
                             "would go on with what it has read; make that node Secondary, "
                             "then after-sb-0pri decides",
                             key, value));
  }
  const auto handler = static_cast<std::size_t>(Handler::pri_lost_after_sb);
  if (value == "call-pri-lost-after-sb" && spec.handlers[handler].empty()) {
    section.fail(key, fmt::format("{} = \"{}\" needs pri-lost-after-sb in [handlers]: the command "
                                  "that reboots the host or makes the node Secondary",
                                  key, value));
  }
}

void read_after_sb(const TomlSection& section, ResourceSpec& spec) {
  if (const auto word = section.text("after-sb-0pri")) {
    const auto policy = replication::after_sb_0pri(*word);
    if (!policy) {
      section.fail("after-sb-0pri",
                   fmt::format("after-sb-0pri = \"{}\" is unknown: {}", *word,
                               suggestion(*word, replication::after_sb_0pri_words, "value")));
    }
    spec.after_sb.zero = *policy;
    spec.after_sb.node = replication::after_sb_node(*word);
  }
  if (const auto word = section.text("after-sb-1pri")) {
    check_after_sb(section, "after-sb-1pri", *word, spec);
    const auto policy = replication::after_sb_1pri(*word);
    if (!policy) {
      section.fail("after-sb-1pri",
                   fmt::format("after-sb-1pri = \"{}\" is unknown: {}", *word,
                               suggestion(*word, replication::after_sb_1pri_words, "value")));
    }
    spec.after_sb.one = *policy;
  }
  if (const auto word = section.text("after-sb-2pri")) {
    check_after_sb(section, "after-sb-2pri", *word, spec);
    const auto policy = replication::after_sb_2pri(*word);
    if (!policy) {
      section.fail("after-sb-2pri",
                   fmt::format("after-sb-2pri = \"{}\" is unknown: {}", *word,
                               suggestion(*word, replication::after_sb_2pri_words, "value")));
    }
    spec.after_sb.two = *policy;
  }
}

}  // namespace

void read_policies(const TomlSection& resource, const TomlSection* handlers, ResourceSpec& spec) {
  if (handlers != nullptr) read_handlers(*handlers, spec);
  const bool can_fence = !spec.handlers[static_cast<std::size_t>(Handler::fence_peer)].empty();
  if (handlers != nullptr && can_fence && spec.protocol == replication::Protocol::a) {
    handlers->fail("fence-peer",
                   "fence-peer needs protocol = \"B\" or \"C\": under \"A\" the node that is to be "
                   "switched off may have the only copy of what was acknowledged");
  }
  spec.on_io_error = read_on_io_error(resource, spec);
  spec.on_peer_lost = read_on_peer_lost(resource, can_fence);
  read_after_sb(resource, spec);
}

}  // namespace baton::control
