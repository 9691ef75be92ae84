// Goal: the coordinator moves a real guest, and leaves it running where the storage says, with QEMU
// as installed. Method: QEMUs under TCG whose disk is one qemu-nbd export; the guest
// (counting_guest.h) writes all the time and stops counting if another one writes.
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <iostream>
#include <memory>

#include "child_process.h"
#include "counting_guest.h"

namespace baton::migration_test {
namespace {

namespace json = boost::json;
using std::chrono::seconds;

constexpr int died_as_told = 3;  // coordinator_probe.cpp

class RealQemu : public ::testing::Test {
 protected:
  void SetUp() override {
    qemu_ = find_program("qemu-system-x86_64").value_or("");
    qemu_nbd_ = find_program("qemu-nbd").value_or("");
    if (qemu_.empty() || qemu_nbd_.empty())
      GTEST_SKIP() << "qemu-system-x86_64 or qemu-nbd is not installed";
    char name[] = "/tmp/baton-migration-XXXXXX";  // short: unix sockets allow 107 bytes
    folder_ = mkdtemp(name);
    disk_ = std::make_unique<CountingDisk>(folder_ + "/disk.img");
    nbd_ = std::make_unique<ChildProcess>(
        std::vector<std::string>{qemu_nbd_, "--persistent", "--shared=8", "--format=raw",
                                 "--export-name=disk", "--socket=" + folder_ + "/nbd.sock",
                                 disk_->path()},
        std::vector<int>{}, false);
  }
  void TearDown() override {
    machines_.clear();
    nbd_.reset();
    disk_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  struct Machine {
    std::string qmp;
    std::unique_ptr<ChildProcess> process;
  };

  // qemu-nbd may not listen yet: open-timeout waits for it.
  Machine& start(std::vector<std::string> more) {
    Machine machine;
    machine.qmp = folder_ + "/qmp" + std::to_string(machines_.size());
    const int listener = listening_socket(machine.qmp);
    const std::string disk =
        R"({"driver":"raw","node-name":"disk","file":{"driver":"nbd",)"
        R"("export":"disk","open-timeout":10,"server":{"type":"unix","path":")" +
        folder_ + R"(/nbd.sock"}}})";
    std::vector<std::string> command{
        qemu_,       "-nodefaults",
        "-display",  "none",
        "-accel",    "tcg",
        "-m",        "64",
        "-chardev",  "socket,id=qmp,server=on,wait=off,fd=" + std::to_string(listener),
        "-mon",      "chardev=qmp,mode=control",
        "-blockdev", disk,
        "-device",   "virtio-blk-pci,drive=disk,werror=stop,rerror=stop"};
    command.insert(command.end(), more.begin(), more.end());
    machine.process = std::make_unique<ChildProcess>(command, std::vector<int>{listener}, false);
    close(listener);
    machines_.push_back(std::move(machine));
    return machines_.back();
  }
  Machine& start_waiting() { return start({"-incoming", "defer"}); }

  // One run of the coordinator; what it printed.
  json::value migrate(const Machine& from, const Machine& to, std::vector<std::string> more = {}) {
    std::vector<std::string> command{BATON_COORDINATOR_PROBE, "--source", from.qmp, "--destination",
                                     to.qmp};
    command.insert(command.end(), more.begin(), more.end());
    ChildProcess probe(command, {}, true);
    const std::optional<int> code = probe.wait(seconds(100));
    EXPECT_TRUE(code.has_value()) << "the coordinator hangs";
    if (code == died_as_told) return {};
    const std::string line = probe.output();
    std::cout << line;
    boost::system::error_code error;
    return json::parse(line, error);
  }

  void expect_to_count_on(const char* where) {
    EXPECT_TRUE(disk_->wait_beyond(disk_->count() + 10)) << "the guest does not run " << where;
    EXPECT_FALSE(disk_->foreign_write_seen()) << "two guests wrote";
  }

  std::string qemu_;
  std::string qemu_nbd_;
  std::string folder_;
  std::unique_ptr<CountingDisk> disk_;
  std::unique_ptr<ChildProcess> nbd_;
  std::deque<Machine> machines_;
};

std::string verbs(const json::value& report) {
  std::string all;
  for (const json::value& verb : report.at("verbs").as_array()) {
    all += std::string(verb.as_string()) + " ";
  }
  return all;
}

TEST_F(RealQemu, a_guest_goes_there_and_back_twice_while_it_writes) {
  Machine* here = &start({});
  expect_to_count_on("after booting");
  for (int move = 0; move < 4; ++move) {
    Machine* there = &start_waiting();
    const bool by_name = move % 2 == 0;
    const std::vector<std::string> uri{"--uri", "unix:" + folder_ + "/ram"};
    const json::value report = migrate(*here, *there, by_name ? uri : std::vector<std::string>{});
    ASSERT_EQ(report.at("outcome").as_string(), "moved");
    EXPECT_EQ(verbs(report), "prepare quiesce_and_offer grant ");
    EXPECT_TRUE(report.as_object().contains("guest-pause-ms"));
    EXPECT_EQ(here->process->wait(seconds(20)), 0) << "the source has quit";
    expect_to_count_on("after it moved");
    here = there;
  }
}

TEST_F(RealQemu, a_destination_started_with_S_runs_after_the_grant) {
  Machine& here = start({});
  expect_to_count_on("after booting");
  Machine& there = start({"-incoming", "defer", "-S"});
  const json::value report = migrate(here, there);
  EXPECT_EQ(report.at("outcome").as_string(), "moved");
  EXPECT_EQ(verbs(report), "prepare quiesce_and_offer grant ");
  expect_to_count_on("after it moved");
}

TEST_F(RealQemu, a_cancel_in_the_pause_lets_the_source_go_on) {
  Machine& here = start({});
  expect_to_count_on("after booting");
  const json::value report = migrate(here, start_waiting(), {"--at-offer", "cancel"});
  EXPECT_EQ(report.at("outcome").as_string(), "stayed");
  EXPECT_EQ(report.at("reason").as_string(), "cancelled_after_the_offer");
  EXPECT_EQ(verbs(report), "prepare quiesce_and_offer take_back ");
  expect_to_count_on("after the cancel");
  // And it can be moved afterwards.
  const json::value again = migrate(here, start_waiting());
  EXPECT_EQ(again.at("outcome").as_string(), "moved");
  expect_to_count_on("after it moved");
}

TEST_F(RealQemu, a_storage_that_cannot_offer_lets_the_source_go_on) {
  Machine& here = start({});
  expect_to_count_on("after booting");
  const json::value report = migrate(here, start_waiting(), {"--at-offer", "fail"});
  EXPECT_EQ(report.at("outcome").as_string(), "stayed");
  EXPECT_EQ(report.at("reason").as_string(), "offer_failed");
  expect_to_count_on("after the failure");
}

TEST_F(RealQemu, a_destination_killed_in_the_pause_lets_the_source_go_on) {
  Machine& here = start({});
  expect_to_count_on("after booting");
  Machine& there = start_waiting();
  const std::string kill = "kill=" + std::to_string(there.process->pid());
  const json::value report = migrate(here, there, {"--at-offer", kill});
  EXPECT_EQ(report.at("outcome").as_string(), "stayed");
  EXPECT_EQ(verbs(report), "prepare quiesce_and_offer take_back ");
  expect_to_count_on("after the destination's death");
}

TEST_F(RealQemu, a_destination_that_does_not_wait_is_refused_before_the_guest_is_touched) {
  Machine& here = start({});
  expect_to_count_on("after booting");
  const json::value report = migrate(here, start({"-S"}));
  EXPECT_EQ(report.at("outcome").as_string(), "stayed");
  EXPECT_EQ(report.at("reason").as_string(), "destination_in_use");
  EXPECT_EQ(verbs(report), "prepare ");
  expect_to_count_on("after the refusal");
}

TEST_F(RealQemu, a_coordinator_that_dies_in_the_pause_is_undone_by_the_next) {
  Machine& here = start({});
  expect_to_count_on("after booting");
  Machine& there = start_waiting();
  EXPECT_TRUE(migrate(here, there, {"--at-offer", "die"}).is_null());
  const json::value report = migrate(here, there, {"--recover"});
  EXPECT_EQ(report.at("outcome").as_string(), "stayed");
  EXPECT_EQ(verbs(report), "take_back ");
  expect_to_count_on("after the recovery");
}

TEST_F(RealQemu, a_coordinator_that_dies_in_the_grant_is_finished_by_the_next) {
  Machine& here = start({});
  expect_to_count_on("after booting");
  Machine& there = start_waiting();
  EXPECT_TRUE(migrate(here, there, {"--at-grant", "die"}).is_null());
  const json::value report = migrate(here, there, {"--recover"});
  EXPECT_EQ(report.at("outcome").as_string(), "moved");
  EXPECT_EQ(verbs(report), "grant ");
  EXPECT_EQ(here.process->wait(seconds(20)), 0) << "the source has quit";
  expect_to_count_on("after the recovery");
}

TEST_F(RealQemu, recovery_of_nothing_touches_nothing) {
  Machine& here = start({});
  expect_to_count_on("after booting");
  const json::value report = migrate(here, start_waiting(), {"--recover"});
  EXPECT_EQ(report.at("outcome").as_string(), "stayed");
  EXPECT_EQ(verbs(report), "");
  expect_to_count_on("after the recovery");
}

}  // namespace
}  // namespace baton::migration_test
