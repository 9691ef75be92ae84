// Where batonctl finds batond.
#pragma once

#include <string>

namespace baton::control {

inline std::string control_socket_in(const std::string& run_directory) {
  return run_directory + "/control.sock";
}

inline constexpr const char* default_configuration = "/etc/baton";
inline constexpr const char* default_run_directory = "/run/baton";

// The name of this host, which is its node name unless --node says otherwise.
std::string host_name();

}  // namespace baton::control
