#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/daemon/guest_mover.h"
#include "control/daemon/resource_storage.h"

namespace baton::control {
namespace {

using namespace replication;
using migration::BatonAt;
using testing::HasSubstr;

// vm1 as alpha sees it, with everything in order and alpha Primary.
ResourceStatus in_order() {
  ResourceStatus status;
  status.name = "vm1";
  status.up = true;
  status.role = Role::primary;
  status.baton_holder = "alpha";
  status.devices.push_back({.volume = 0, .disk_state = DiskState::up_to_date, .size = 4096});
  ConnectionStatus beta;
  beta.name = "beta";
  beta.connection_state = ConnectionState::connected;
  beta.peer_role = Role::secondary;
  beta.peer_devices.push_back({.volume = 0,
                               .replication_state = ReplicationState::established,
                               .peer_disk_state = DiskState::up_to_date});
  status.connections.push_back(beta);
  return status;
}

std::string refusal(const ResourceStatus& status) {
  const Result<> ready = can_hand_over(status, "alpha", "beta");
  return ready ? "" : ready.error().message;
}

TEST(MigrationRoute, GoesToTheNodeThatIsNotPrimary) {
  ResourceStatus status = in_order();
  auto route = migration_route(status, "alpha", "");
  ASSERT_TRUE(route);
  EXPECT_EQ(route->source, "alpha");
  EXPECT_EQ(route->destination, "beta");
  status.role = Role::secondary;
  status.connections.front().peer_role = Role::primary;
  route = migration_route(status, "alpha", "");
  ASSERT_TRUE(route);
  EXPECT_EQ(route->source, "beta");
  EXPECT_EQ(route->destination, "alpha");
  EXPECT_TRUE(migration_route(status, "alpha", "alpha"));
}

TEST(MigrationRoute, RefusesWhatMakesNoSenseInOneSentence) {
  ResourceStatus status = in_order();
  EXPECT_THAT(migration_route(status, "alpha", "alpha").error().message, HasSubstr("already"));
  EXPECT_THAT(migration_route(status, "alpha", "gamma").error().message,
              HasSubstr("no node gamma"));
  status.role = Role::secondary;
  EXPECT_THAT(migration_route(status, "alpha", "").error().message, HasSubstr("neither node"));
  status.connections.front().connection_state = ConnectionState::connecting;
  EXPECT_THAT(migration_route(status, "alpha", "").error().message, HasSubstr("wait-connect"));
  status.connections.clear();
  EXPECT_THAT(migration_route(status, "alpha", "").error().message, HasSubstr("no other node"));
  status.up = false;
  EXPECT_THAT(migration_route(status, "alpha", "").error().message, HasSubstr("batonctl up"));
}

TEST(CanHandOver, OnlyWithEverythingInOrder) {
  EXPECT_EQ(refusal(in_order()), "");
  ResourceStatus status = in_order();
  status.connections.front().peer_devices.front().peer_disk_state = DiskState::inconsistent;
  EXPECT_THAT(refusal(status), HasSubstr("the copy on beta is not UpToDate"));
  status = in_order();
  status.connections.front().split_brain = replication::SplitBrain{.reason = "both wrote"};
  EXPECT_THAT(refusal(status), HasSubstr("split brain"));
  status = in_order();
  status.connections.front().connection_state = ConnectionState::connecting;
  EXPECT_THAT(refusal(status), HasSubstr("not connected to beta"));
  status = in_order();
  status.window_open = true;
  EXPECT_THAT(refusal(status), HasSubstr("being offered"));
  status = in_order();
  status.role = Role::secondary;
  EXPECT_THAT(refusal(status), HasSubstr("not Primary on alpha"));
}

TEST(CanHandOver, WithOneWholeCopyAndTheOtherOneBeingFilled) {
  ResourceStatus status = in_order();
  PeerVolumeStatus& there = status.connections.front().peer_devices.front();
  there.peer_disk_state = DiskState::inconsistent;
  there.replication_state = ReplicationState::sync_source;
  EXPECT_EQ(refusal(status), "");
  there.replication_state = ReplicationState::paused_sync_s;
  EXPECT_THAT(refusal(status), HasSubstr("nothing is being copied to it"));
  there.replication_state = ReplicationState::sync_source;
  status.devices.front().disk_state = DiskState::inconsistent;
  EXPECT_THAT(refusal(status), HasSubstr("the copy on alpha is not UpToDate"));
  // Away from a node without its disk, and while copies are compared.
  there.peer_disk_state = DiskState::up_to_date;
  status.devices.front().disk_state = DiskState::diskless;
  EXPECT_EQ(refusal(status), "");
  status = in_order();
  status.connections.front().peer_devices.front().replication_state = ReplicationState::verify_s;
  EXPECT_EQ(refusal(status), "");
}

TEST(BatonAt, IsWhereTheRoleIs) {
  ResourceStatus status = in_order();
  status.baton_holder = "beta";  // which serves alpha
  EXPECT_EQ(baton_at(status, "alpha"), BatonAt::source);
  status.role = Role::secondary;
  EXPECT_EQ(baton_at(status, "alpha"), BatonAt::destination);
  status.baton_holder = "alpha";
  EXPECT_EQ(baton_at(status, "alpha"), BatonAt::undecided);
  status.connections.front().peer_role = Role::primary;
  EXPECT_EQ(baton_at(status, "alpha"), BatonAt::destination);
}

TEST(BatonAt, IsUndecidedWhileItIsOnItsWay) {
  ResourceStatus status = in_order();
  EXPECT_EQ(baton_at(status, "alpha"), BatonAt::source);
  status.baton_in_flight = true;
  EXPECT_EQ(baton_at(status, "alpha"), BatonAt::undecided);
  status.baton_in_flight = false;
  status.baton_holder = "beta";
  status.role = Role::secondary;
  EXPECT_EQ(baton_at(status, "alpha"), BatonAt::destination);
}

}  // namespace
}  // namespace baton::control
