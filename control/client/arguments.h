// The command line of batonctl (design §8). Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/control_socket.h"
#include "control/protocol.h"

namespace baton::control {

// Of undo-read and undo-export.
struct UndoArguments {
  std::string file;
  std::string out;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// Of tls-init.
struct TlsArguments {
  std::string folder;
  std::vector<std::string> clients;
  std::int64_t days = 3650;
  bool renew = false;
};

struct Arguments {
  std::string configuration = default_configuration;
  std::string node = host_name();
  std::string run_directory = default_run_directory;
  bool json = false;
  std::string verb;
  std::string resource;  // empty: all, where the verb allows it
  VerbOptions options;   // `--yes` is `confirmed`
  UndoArguments undo;
  TlsArguments tls;
  bool overwrite_end = false;  // create-md: data where internal metadata goes
};

enum class VerbPlace : std::uint8_t {
  here,    // works on the disks of this node, needs no daemon
  daemon,  // asked of batond
  later,   // known, and not available yet
};

struct VerbInfo {
  std::string_view name;
  VerbPlace place;
  bool resource_optional;
  std::string_view help;
  bool takes_resource = true;
};
std::span<const VerbInfo> verbs();
// Null when there is none of that name.
const VerbInfo* find_verb(std::string_view name);

// An error with exit code `done` carries the help text that was asked for.
Result<Arguments> parse_arguments(int count, const char* const* values);

}  // namespace baton::control
