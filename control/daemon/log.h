// The daemon's log: one line per change of state, on stderr (design §8). From any thread.
#pragma once

#include <string>
#include <string_view>

#include "replication/engine/environment.h"

namespace baton::control {

using LogLevel = replication::Journal::Level;

// Call once, before any thread starts. `debug`: show lines of that level too.
void open_log(bool debug);
void log_line(LogLevel level, std::string_view text);

}  // namespace baton::control
