// Goal: waits end when what was waited for is true, and fail at once when it cannot come.
#include "control/waits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::control {
namespace {

using namespace replication;
using testing::HasSubstr;

ResourceStatus pair() {
  ResourceStatus status;
  status.name = "vm1";
  status.up = true;
  status.devices = {{.volume = 0, .disk_state = DiskState::up_to_date, .size = 1000}};
  ConnectionStatus beta{.name = "beta", .connection_state = ConnectionState::connected};
  beta.peer_devices = {{.volume = 0,
                        .replication_state = ReplicationState::established,
                        .peer_disk_state = DiskState::up_to_date}};
  status.connections = {beta};
  return status;
}

TEST(Waits, a_connected_pair_in_sync_is_done) {
  EXPECT_TRUE(connect_progress(pair())->done);
  EXPECT_TRUE(sync_progress(pair())->done);
}

TEST(Waits, a_single_node_has_nothing_to_wait_for) {
  ResourceStatus status = pair();
  status.connections.clear();
  EXPECT_TRUE(connect_progress(status)->done);
  EXPECT_TRUE(sync_progress(status)->done);
}

TEST(Waits, connecting_is_waited_for_and_says_why) {
  ResourceStatus status = pair();
  status.connections[0].connection_state = ConnectionState::connecting;
  status.connections[0].last_error = "connection refused";
  for (const auto& progress : {connect_progress(status), sync_progress(status)}) {
    EXPECT_FALSE(progress->done);
    EXPECT_EQ(progress->text, "vm1: waiting for beta: connection refused");
    EXPECT_LT(progress->fraction, 0);
  }
}

TEST(Waits, resync_is_waited_for_and_counted) {
  ResourceStatus status = pair();
  PeerVolumeStatus& peer = status.connections[0].peer_devices[0];
  peer.replication_state = ReplicationState::sync_source;
  peer.peer_disk_state = DiskState::inconsistent;
  peer.out_of_sync_bytes = 250;
  EXPECT_TRUE(connect_progress(status)->done);
  const auto progress = sync_progress(status);
  EXPECT_FALSE(progress->done);
  EXPECT_EQ(progress->text, "vm1: 250 bytes to go");
  EXPECT_DOUBLE_EQ(progress->fraction, 0.75);
}

TEST(Waits, a_resync_says_how_long_it_will_take_once_it_is_known) {
  ResourceStatus status = pair();
  PeerVolumeStatus& peer = status.connections[0].peer_devices[0];
  peer.replication_state = ReplicationState::sync_target;
  peer.out_of_sync_bytes = 250;
  peer.seconds_to_go = 90;
  EXPECT_EQ(sync_progress(status)->text, "vm1: 250 bytes to go, 90 s");
}

TEST(Waits, copies_that_are_being_compared_are_in_sync) {
  for (const auto state : {ReplicationState::verify_s, ReplicationState::verify_t}) {
    ResourceStatus status = pair();
    status.connections[0].peer_devices[0].replication_state = state;
    EXPECT_TRUE(sync_progress(status)->done);
  }
}

TEST(Waits, an_own_copy_that_is_not_up_to_date_is_waited_for) {
  ResourceStatus status = pair();
  status.devices[0].disk_state = DiskState::consistent;
  const auto progress = sync_progress(status);
  EXPECT_FALSE(progress->done);
  EXPECT_THAT(progress->text, HasSubstr("UpToDate"));
}

TEST(Waits, what_cannot_come_by_itself_fails_at_once) {
  ResourceStatus status = pair();
  status.connections[0].split_brain = replication::SplitBrain{.reason = "both wrote"};
  EXPECT_TRUE(connect_progress(status)->done);
  EXPECT_THAT(sync_progress(status).error().message, HasSubstr("split brain (both wrote)"));
  status.connections[0].connection_state = ConnectionState::stand_alone;
  EXPECT_THAT(connect_progress(status).error().message, HasSubstr("batonctl connect vm1"));
  status.up = false;
  EXPECT_THAT(connect_progress(status).error().message, HasSubstr("batonctl up vm1"));
}

}  // namespace
}  // namespace baton::control
