// batonctl: drives batond (design §8).
#include <fmt/format.h>

#include <cstdio>

#include "control/client/arguments.h"
#include "control/client/local_verbs.h"
#include "control/client/remote_verbs.h"
#include "control/client/tls_init.h"
#include "control/client/undo_verbs.h"

namespace baton::control {
namespace {

Result<> perform_here(const Arguments& arguments) {
  if (arguments.verb == "create-md") return create_md(arguments);
  if (arguments.verb == "undo-list") return undo_list(arguments);
  if (arguments.verb == "undo-read") return undo_read(arguments);
  if (arguments.verb == "undo-export") return undo_export(arguments);
  if (arguments.verb == "tls-init") return tls_init(arguments);
  return dump_md(arguments);
}

Result<> perform(const Arguments& arguments) {
  switch (find_verb(arguments.verb)->place) {
    case VerbPlace::here:
      return perform_here(arguments);
    case VerbPlace::daemon:
      return ask_daemon(arguments);
    case VerbPlace::later:
      break;
  }
  return failure(fmt::format("{} is not available yet in this version", arguments.verb));
}

int main_of(int count, const char* const* values) {
  const auto arguments = parse_arguments(count, values);
  if (!arguments && arguments.error().exit_code == ExitCode::done) {
    fmt::print("{}", arguments.error().message);
    return 0;
  }
  const Result<> done = arguments ? perform(*arguments) : std::unexpected(arguments.error());
  if (done) return 0;
  fmt::print(stderr, "batonctl: {}\n", done.error().message);
  return static_cast<int>(done.error().exit_code);
}

}  // namespace
}  // namespace baton::control

int main(int count, char** values) {
  return baton::control::main_of(count, values);
}
