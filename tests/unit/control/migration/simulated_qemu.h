// Two QEMUs as scripted QMP channels: they greet, obey and report in the order that was measured
// with real ones, and fail where a test says so.
#pragma once

#include <boost/json/object.hpp>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/migration/qmp_channel.h"

namespace baton::control::migration {

class SimulatedQemu final : public QmpChannel {
 public:
  SimulatedQemu(std::string name, Loop& loop, Clock& clock, std::vector<std::string>& log)
      : name_(std::move(name)), clock_(clock), log_(log), heard_(loop) {
    put(R"({"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}}}})");
  }

  // Instead of what the command does by itself; `reply` is called by it, or never.
  using Behaviour = std::function<void()>;
  void on(const std::string& command, Behaviour behaviour) {
    behaviours_[command] = std::move(behaviour);
  }

  // For behaviours.
  void reply_ok(const std::string& json = "{}");
  void reply_error(const std::string& reason);
  void event(const std::string& name, const std::string& data = "{}");
  void status(const std::string& status);  // a MIGRATION event
  void die();                              // no reply to anything any more; the connection closes
  bool dead() const { return closed_; }

  std::string migration_status = "none";  // for query-migrate
  std::string run_state = "running";      // for query-status
  std::uint64_t transferred = 0;
  std::chrono::microseconds clock_error{0};  // of this host's wall clock

  Task<Result<>> send(std::string line) override;
  Task<Result<std::string>> receive() override;
  void close() override;

 private:
  void put(std::string line);
  void obey(const std::string& command);

  std::string name_;
  Clock& clock_;
  std::vector<std::string>& log_;
  Signal heard_;
  std::deque<std::string> lines_;
  std::map<std::string, Behaviour> behaviours_;
  std::uint64_t id_ = 0;  // of the command being obeyed
  bool closed_ = false;
};

}  // namespace baton::control::migration
