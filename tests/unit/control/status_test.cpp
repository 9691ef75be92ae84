// Goal: status is what design §8 promises, in JSON and as text; changes tell every state once.
// Method: golden texts for one rich status.
#include "control/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace baton::control {
namespace {

using namespace replication;
using testing::ElementsAre;
namespace json = boost::json;

StatusEntry syncing() {
  StatusEntry entry;
  entry.tls_links = true;
  ResourceStatus& status = entry.status;
  status.name = "vm1";
  status.up = true;
  status.role = Role::primary;
  status.devices = {{.volume = 0,
                     .disk_state = DiskState::up_to_date,
                     .size = 8ULL << 30U,
                     .log_hits = 70,
                     .log_misses = 3,
                     .log_stalls = 1},
                    {.volume = 1, .disk_state = DiskState::up_to_date, .size = 3ULL << 29U}};
  ConnectionStatus beta{
      .name = "beta", .connection_state = ConnectionState::connected, .peer_role = Role::secondary};
  beta.peer_devices = {{.volume = 0,
                        .replication_state = ReplicationState::sync_source,
                        .peer_disk_state = DiskState::inconsistent,
                        .out_of_sync_bytes = (1ULL << 30U) + 1,
                        .percent_in_sync = 87.499},
                       {.volume = 1,
                        .replication_state = ReplicationState::established,
                        .peer_disk_state = DiskState::up_to_date}};
  status.connections = {beta};
  status.baton_holder = "alpha";
  status.baton_epoch = 3;
  status.clients = {"unix client, pid 4711", "10.0.0.9:55555"};
  status.bytes_replicated = 12345;
  return entry;
}

StatusEntry in_trouble() {
  StatusEntry entry = syncing();
  ResourceStatus& status = entry.status;
  status.devices.resize(1);
  status.devices[0].unanswered = 3;
  status.devices[0].unanswered_ms = 41'000;
  status.devices[0].regions_lent = 4;
  status.devices[0].region_moves = 9;
  status.connections[0].peer_devices = {{.volume = 0, .sync_held_here = true}};
  status.connections[0].peer_role = Role::unknown;
  status.connections[0].connection_state = ConnectionState::connecting;
  status.connections[0].last_error = "connection refused";
  status.connections[0].split_brain =
      replication::SplitBrain{.reason = "alpha and beta both wrote since",
                              .common = 0x2a,
                              .own_bytes = 49152,
                              .peer_bytes = 28672};
  status.window_open = true;
  status.held_writes = {.count = 2, .reason = "waiting for beta", .oldest_ms = 1500};
  status.held_longest_ms = 2500.5;
  status.held_reads = {.count = 1, .reason = "beta cannot be reached", .oldest_ms = 20};
  status.clients.clear();
  return entry;
}

TEST(Status, json_has_the_keys_of_drbdsetup_and_ours) {
  EXPECT_EQ(json::value(to_json(syncing())), json::parse(R"({
    "name": "vm1", "role": "Primary",
    "devices": [{"volume": 0, "disk-state": "UpToDate", "size": 8388608,
                 "activity-log": {"hits": 70, "misses": 3, "stalls": 1}},
                {"volume": 1, "disk-state": "UpToDate", "size": 1572864,
                 "activity-log": {"hits": 0, "misses": 0, "stalls": 0}}],
    "connections": [{"name": "beta", "connection-state": "Connected", "peer-role": "Secondary", "tls": true,
      "peer_devices": [
        {"volume": 0, "replication-state": "SyncSource", "peer-disk-state": "Inconsistent",
         "out-of-sync": 1048577, "percent-in-sync": 87.49},
        {"volume": 1, "replication-state": "Established", "peer-disk-state": "UpToDate",
         "out-of-sync": 0, "percent-in-sync": 100.0}]}],
    "baton": {"holder": "alpha", "epoch": 3, "window": false},
    "suspended": false, "suspended-reason": "",
    "held-writes": {"count": 0, "reason": "", "oldest-ms": 0, "longest-ms": 0.0},
    "held-reads": {"count": 0, "reason": "", "oldest-ms": 0},
    "clients": ["unix client, pid 4711", "10.0.0.9:55555"],
    "bytes-replicated": 12345, "up": true})"));
}

StatusEntry verifying() {
  StatusEntry entry = syncing();
  ConnectionStatus& beta = entry.status.connections[0];
  beta.peer_devices[0] = {.volume = 0,
                          .replication_state = ReplicationState::verify_s,
                          .peer_disk_state = DiskState::up_to_date};
  beta.verify = VerifyStatus{.running = true,
                             .repair = true,
                             .done_bytes = 2'000'000'000,
                             .total_bytes = 8'000'000'000,
                             .found_bytes = 12288,
                             .repaired_bytes = 4096,
                             .ranges = 2,
                             .listed = {{0, 4096, 4096}, {0, 65536, 8192}},
                             .seconds_to_go = 12};
  return entry;
}

TEST(Status, json_shows_a_verify_in_bytes) {
  const json::object object = to_json(verifying());
  EXPECT_EQ(object.at("connections").at(0).at("verify"), json::parse(R"({
    "running": true, "complete": false, "repair": true, "done-bytes": 2000000000,
    "total-bytes": 8000000000, "found-bytes": 12288, "repaired-bytes": 4096, "ranges": 2,
    "listed": [{"volume": 0, "offset": 4096, "length": 4096},
               {"volume": 0, "offset": 65536, "length": 8192}], "seconds-to-go": 12})"));
  StatusEntry to_go = syncing();
  to_go.status.connections[0].peer_devices[0].seconds_to_go = 41;
  EXPECT_EQ(to_json(to_go).at("connections").at(0).at("peer_devices").at(0).at("seconds-to-go"),
            41);
}

TEST(Status, text_of_a_verify_says_how_far_it_is_what_it_found_and_where) {
  EXPECT_THAT(status_text(std::array{verifying()}),
              testing::HasSubstr("    volume 0  UpToDate      VerifyS\n"));
  VerifyStatus verify = *verifying().status.connections[0].verify;
  verify.total_bytes = 8ULL << 30U;
  verify.done_bytes = 2ULL << 30U;
  EXPECT_EQ(
      verify_text(verify),
      "25.0 % of 8 GiB compared, 12 KiB differ (4 KiB of them copied): volume 0 at 4096+4096, "
      "volume 0 at 65536+8192; 12 s to go");
  verify.running = false;
  verify.seconds_to_go.reset();
  verify.listed.clear();
  EXPECT_EQ(verify_text(verify),
            "25.0 % of 8 GiB compared when it was cut off, 12 KiB differ (4 KiB of them copied)");
  verify.complete = true;
  verify.repaired_bytes = verify.found_bytes;
  EXPECT_EQ(verify_text(verify), "8 GiB compared, 12 KiB differed and were copied from the holder");
  verify.found_bytes = verify.repaired_bytes = 0;
  EXPECT_EQ(verify_text(verify), "8 GiB compared, nothing differs");
}

TEST(Status, json_says_what_is_wrong) {
  const json::object object = to_json(in_trouble());
  const json::value& connection = object.at("connections").at(0);
  EXPECT_EQ(connection.at("split-brain").at("reason").as_string(),
            "alpha and beta both wrote since");
  EXPECT_EQ(connection.at("last-error").as_string(), "connection refused");
  EXPECT_EQ(connection.at("peer-role").as_string(), "Unknown");
  EXPECT_EQ(connection.at("peer_devices").at(0).at("peer-disk-state").as_string(), "DUnknown");
  EXPECT_EQ(connection.at("peer_devices").at(0).at("replication-state").as_string(), "Off");
  EXPECT_EQ(connection.at("peer_devices").at(0).at("resync-suspended").as_string(), "user");
  EXPECT_TRUE(object.at("baton").at("window").as_bool());
  const json::value& unanswered = object.at("devices").at(0).at("unanswered");
  EXPECT_EQ(unanswered, json::parse(R"({"count": 3, "oldest-ms": 41000})"));
  EXPECT_EQ(object.at("devices").at(0).at("regions"),
            json::parse(R"({"lent": 4, "borrowed": 0, "moves": 9})"));
  StatusEntry nobody = syncing();
  nobody.status.baton_holder.clear();
  EXPECT_TRUE(to_json(nobody).at("baton").at("holder").is_null());
  EXPECT_FALSE(to_json(nobody).at("connections").at(0).as_object().contains("split-brain"));
}

TEST(Status, json_reads_back) {
  StatusEntry down;
  down.status.name = "vm2";
  down.error = "disk gone";
  for (const StatusEntry& entry : {syncing(), in_trouble(), verifying(), down}) {
    const std::string text = json::serialize(to_json(entry));
    const auto read = status_from_json(json::parse(text));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(json::serialize(to_json(*read)), text);
  }
}

TEST(Status, every_state_reads_back) {
  StatusEntry entry = syncing();
  for (int state = 0; state <= static_cast<int>(DiskState::up_to_date); ++state) {
    entry.status.devices[0].disk_state = static_cast<DiskState>(state);
    const auto read = status_from_json(to_json(entry));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->status.devices[0].disk_state, static_cast<DiskState>(state));
  }
  for (int state = 0; state <= static_cast<int>(ReplicationState::behind); ++state) {
    auto& peer = entry.status.connections[0].peer_devices[0];
    peer.replication_state = static_cast<ReplicationState>(state);
    const auto read = status_from_json(to_json(entry));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->status.connections[0].peer_devices[0].replication_state,
              static_cast<ReplicationState>(state));
  }
}

TEST(Status, a_status_of_another_version_is_refused_with_a_sentence) {
  json::object object = to_json(syncing());
  object["role"] = "Emperor";
  const auto wrong = status_from_json(object);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, testing::HasSubstr("different versions"));
  EXPECT_FALSE(status_from_json(json::parse("[]")));
  EXPECT_FALSE(status_from_json(json::parse("{}")));
}

TEST(Status, text_is_read_at_a_glance) {
  EXPECT_EQ(status_text(std::array{syncing()}), R"(vm1  Primary  (baton: alpha, epoch 3)
  volume 0  UpToDate      8 GiB
  volume 1  UpToDate      1.5 GiB
  beta  Connected, Secondary, TLS
    volume 0  Inconsistent  SyncSource   87.4 % in sync, 1.0 GiB to go
    volume 1  UpToDate      Established
  clients: unix client, pid 4711; 10.0.0.9:55555
)");
}

TEST(Status, text_says_what_is_wrong_and_what_to_do) {
  EXPECT_EQ(status_text(std::array{in_trouble()}), R"(vm1  Primary  (baton: alpha, epoch 3)
  volume 0  UpToDate      8 GiB
    its disk hangs: 3 requests not answered for 41 s; attach waits for that
  beta  Connecting: connection refused
    volume 0  DUnknown      Off
    resync is held: batonctl resume-sync vm1 here
    SPLIT BRAIN: alpha and beta both wrote since
    choose whose data stays: batonctl resolve vm1 --keep NODE
  handover window open: the first write here takes the baton
  2 writes held, the oldest for 1.5 s: waiting for beta
  1 read held, the oldest for 20 ms: beta cannot be reached
)");
}

TEST(Status, text_of_what_is_down_is_the_reason) {
  StatusEntry down;
  down.status.name = "vm2";
  down.error = "disk /x does not exist";
  EXPECT_EQ(status_text(std::array{down}), "vm2  down\n  disk /x does not exist\n");
  EXPECT_EQ(status_text({}), "no resource is configured for this node\n");
}

std::vector<std::string> texts(const std::vector<Change>& all) {
  std::vector<std::string> out;
  out.reserve(all.size());
  for (const Change& change : all) out.push_back(change.text);
  return out;
}

TEST(StatusChanges, who_knows_nothing_is_told_everything_that_exists) {
  const auto all = changes(nullptr, syncing());
  EXPECT_THAT(texts(all),
              ElementsAre("vm1: up yes, role Primary, baton alpha, epoch 3, handover window no, "
                          "suspended no, writes held no, reads held no",
                          "vm1 volume 0: disk UpToDate, size 8 GiB",
                          "vm1 volume 1: disk UpToDate, size 1.5 GiB",
                          "vm1 beta: connection Connected, peer role Secondary",
                          "vm1 beta volume 0: replication SyncSource, peer disk Inconsistent",
                          "vm1 beta volume 1: replication Established, peer disk UpToDate"));
  EXPECT_EQ(json::value(all[0].data), json::parse(R"({"event": "exists", "object": "resource",
    "name": "vm1", "up": true, "role": "Primary", "baton-holder": "alpha", "baton-epoch": 3,
    "window": false, "suspended": false, "held-writes": false, "held-reads": false, "error": ""})"));
}

TEST(StatusChanges, only_what_changed_is_told_and_whole_objects_in_json) {
  const StatusEntry before = syncing();
  StatusEntry after = before;
  EXPECT_TRUE(changes(&before, after).empty());
  after.status.role = Role::secondary;
  after.status.connections[0].peer_devices[0].peer_disk_state = DiskState::up_to_date;
  const auto all = changes(&before, after);
  EXPECT_THAT(texts(all), ElementsAre("vm1: role Primary -> Secondary",
                                      "vm1 beta volume 0: peer disk Inconsistent -> UpToDate"));
  EXPECT_EQ(json::value(all[1].data), json::parse(R"({"event": "change", "object": "peer-device",
    "name": "vm1", "conn-name": "beta", "volume": 0, "replication-state": "SyncSource",
    "peer-disk-state": "UpToDate", "out-of-sync": 1048577})"));
}

TEST(StatusChanges, numbers_that_only_move_are_no_change) {
  const StatusEntry before = syncing();
  StatusEntry after = before;
  after.status.bytes_replicated = 99999;
  after.status.connections[0].peer_devices[0].out_of_sync_bytes = 5;
  after.status.connections[0].peer_devices[0].percent_in_sync = 99;
  EXPECT_TRUE(changes(&before, after).empty());
}

TEST(StatusChanges, a_verify_is_told_when_it_begins_finds_and_ends_and_not_how_far_it_is) {
  const StatusEntry finding = verifying();
  StatusEntry before = finding;
  before.status.connections[0].verify->found_bytes = 0;
  StatusEntry further = before;
  further.status.connections[0].verify->done_bytes += 4096;
  EXPECT_TRUE(changes(&before, further).empty());
  EXPECT_THAT(texts(changes(&before, finding)),
              ElementsAre("vm1 beta: verify running -> running, 12 KiB differ, 4 KiB repaired: "
                          "volume 0 at 4096+4096, volume 0 at 65536+8192"));
  StatusEntry after = before;
  after.status.connections[0].verify->running = false;
  EXPECT_THAT(texts(changes(&before, after)), ElementsAre("vm1 beta: verify running -> cut off"));
}

TEST(StatusChanges, something_that_ends_is_told_as_none) {
  const StatusEntry before = in_trouble();
  StatusEntry after = before;
  after.status.baton_holder.clear();
  after.status.connections[0].split_brain.reset();
  EXPECT_THAT(texts(changes(&before, after)),
              ElementsAre("vm1: baton alpha -> none",
                          "vm1 beta: split brain alpha and beta both wrote since -> "
                          "none"));
}

}  // namespace
}  // namespace baton::control
