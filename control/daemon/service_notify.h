// sd_notify(3) without the library: tells the service manager that started us how far we are.
#pragma once

#include <string_view>

namespace baton::control {

// "READY=1", "STOPPING=1". Does nothing when nobody asked for it (no NOTIFY_SOCKET); a manager that
// does not listen is logged, and no reason to stop.
void notify_service_manager(std::string_view state);

}  // namespace baton::control
