#include "simulated_qemu.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>

namespace baton::control::migration {

void SimulatedQemu::put(std::string line) {
  if (closed_) return;
  lines_.push_back(std::move(line));
  heard_.notify_all();
}

void SimulatedQemu::reply_ok(const std::string& json) {
  put(fmt::format(R"({{"return": {}, "id": {}}})", json, id_));
}

void SimulatedQemu::reply_error(const std::string& reason) {
  put(fmt::format(R"({{"id": {}, "error": {{"class": "GenericError", "desc": "{}"}}}})", id_,
                  reason));
}

void SimulatedQemu::event(const std::string& name, const std::string& data) {
  const auto now = std::chrono::nanoseconds(clock_.now().nanoseconds);
  const auto at = std::chrono::duration_cast<std::chrono::microseconds>(now) + clock_error;
  put(fmt::format(
      R"({{"timestamp": {{"seconds": {}, "microseconds": {}}}, "event": "{}", "data": {}}})",
      at.count() / 1000000, at.count() % 1000000, name, data));
}

void SimulatedQemu::status(const std::string& status) {
  migration_status = status;
  put(fmt::format(R"({{"timestamp": {{"seconds": 1, "microseconds": 0}}, "event": "MIGRATION", )"
                  R"("data": {{"status": "{}"}}}})",
                  status));
}

void SimulatedQemu::die() {
  close();
}

void SimulatedQemu::close() {
  closed_ = true;
  heard_.notify_all();
}

Task<Result<>> SimulatedQemu::send(std::string line) {
  if (closed_) co_return failure("QEMU closed its QMP connection");
  const boost::json::value command = boost::json::parse(line);
  id_ = number_at(command, "id");
  obey(string_at(command, "execute"));
  co_return Result<>();
}

Task<Result<std::string>> SimulatedQemu::receive() {
  while (lines_.empty() && !closed_) co_await heard_.wait();
  if (lines_.empty()) co_return failure("QEMU closed its QMP connection");
  std::string line = std::move(lines_.front());
  lines_.pop_front();
  co_return line;
}

void SimulatedQemu::obey(const std::string& command) {
  if (command != "query-migrate" && command != "qmp_capabilities") {
    log_.push_back(name_ + " " + command);
  }
  if (const auto behaviour = behaviours_.find(command); behaviour != behaviours_.end()) {
    return behaviour->second();
  }
  if (command == "query-status") return reply_ok(fmt::format(R"({{"status": "{}"}})", run_state));
  if (command == "query-migrate") {
    return reply_ok(
        fmt::format(R"({{"status": "{}", "expected-downtime": 300, "downtime": 5, )"
                    R"("ram": {{"transferred": {}, "remaining": 4096, "total": 65536}}}})",
                    migration_status, transferred));
  }
  reply_ok();
}

}  // namespace baton::control::migration
