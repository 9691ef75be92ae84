#include "control/control_socket.h"

#include <unistd.h>

#include <array>
#include <climits>

namespace baton::control {

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (gethostname(name.data(), name.size()) != 0) return "localhost";
  return name.data();
}

}  // namespace baton::control
