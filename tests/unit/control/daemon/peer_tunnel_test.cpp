#include "control/daemon/peer_tunnel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "base/endian.h"
#include "tests/support/virtual_clock.h"

namespace baton::control {
namespace {

using Message = std::vector<std::byte>;

// Two nodes' tunnels over a link that a test can cut.
class PeerTunnelTest : public testing::Test {
 protected:
  struct End {
    End(PeerTunnelTest& test, std::deque<Message>& outgoing)
        : tunnel(
              test.loop, test.clock,
              [&test, &outgoing](std::span<const std::byte> bytes) -> Result<> {
                if (test.cut) return failure("not connected");
                outgoing.emplace_back(bytes.begin(), bytes.end());
                return {};
              },
              [this](PeerService service, std::unique_ptr<PeerConversation> conversation) {
                services.push_back(service);
                served.push_back(std::move(conversation));
              }) {}
    PeerTunnel tunnel;
    std::vector<PeerService> services;
    std::vector<std::unique_ptr<PeerConversation>> served;
  };

  void deliver() {
    while (!to_b.empty() || !to_a.empty()) {
      if (!to_b.empty()) pass(to_b, b);
      if (!to_a.empty()) pass(to_a, a);
    }
    while (loop.run_turn()) {
    }
  }
  static void pass(std::deque<Message>& from, End& to) {
    const Message message = std::move(from.front());
    from.pop_front();
    to.tunnel.receive(message);
  }

  static Task<> keep_line(PeerConversation& conversation, std::vector<std::string>& into) {
    auto line = co_await conversation.receive();
    into.push_back(line ? *line : "over: " + line.error().message);
  }
  std::string line_from(PeerConversation& conversation) {
    std::vector<std::string> lines;
    Scope scope(loop);
    scope.spawn(keep_line(conversation, lines));
    deliver();
    return lines.empty() ? "nothing" : lines.front();
  }

  Loop loop;
  test::VirtualClock clock;
  bool cut = false;
  std::deque<Message> to_a;
  std::deque<Message> to_b;
  End a{*this, to_b};
  End b{*this, to_a};
};

TEST_F(PeerTunnelTest, LinesPassBothWaysInOrder) {
  auto here = a.tunnel.open(PeerService::qmp);
  deliver();
  ASSERT_EQ(b.served.size(), 1U);
  EXPECT_EQ(b.services.front(), PeerService::qmp);
  EXPECT_TRUE((*here)->send_line("one"));
  EXPECT_TRUE((*here)->send_line("two"));
  EXPECT_EQ(line_from(*b.served.front()), "one");
  EXPECT_EQ(line_from(*b.served.front()), "two");
  EXPECT_TRUE(b.served.front()->send_line("answer"));
  EXPECT_EQ(line_from(**here), "answer");
}

TEST_F(PeerTunnelTest, ALineLongerThanAMessageArrivesWhole) {
  auto here = a.tunnel.open(PeerService::qmp);
  const std::string line(200'000, 'x');
  EXPECT_TRUE((*here)->send_line(line));
  for (const Message& message : to_b) EXPECT_LE(message.size(), 64U * 1024);
  deliver();
  EXPECT_EQ(line_from(*b.served.front()), line);
}

TEST_F(PeerTunnelTest, ConversationsOfBothSidesDoNotMix) {
  auto from_a = a.tunnel.open(PeerService::qmp);
  auto from_b = b.tunnel.open(PeerService::migrate);
  deliver();
  (*from_a)->send_line("of a");
  (*from_b)->send_line("of b");
  EXPECT_EQ(line_from(*b.served.front()), "of a");
  EXPECT_EQ(line_from(*a.served.front()), "of b");
}

TEST_F(PeerTunnelTest, TheReasonOfARefusalArrives) {
  auto here = a.tunnel.open(PeerService::qmp);
  deliver();
  b.served.front()->close_with("no QEMU there");
  EXPECT_EQ(line_from(**here), "over: no QEMU there");
  EXPECT_TRUE((*here)->over());
  EXPECT_FALSE((*here)->send_line("too late"));
}

TEST_F(PeerTunnelTest, WhatWasSentBeforeTheEndIsStillRead) {
  auto here = a.tunnel.open(PeerService::migrate);
  deliver();
  b.served.front()->send_line("result");
  b.served.front()->close();
  EXPECT_EQ(line_from(**here), "result");
  EXPECT_THAT(line_from(**here), testing::StartsWith("over: "));
}

TEST_F(PeerTunnelTest, AClosedEndEndsTheOther) {
  auto here = a.tunnel.open(PeerService::qmp);
  deliver();
  (*here)->close();
  EXPECT_THAT(line_from(*b.served.front()), testing::StartsWith("over: "));
}

TEST_F(PeerTunnelTest, AfterALostLinkTheEndThatWasLeftEndsToo) {
  auto here = a.tunnel.open(PeerService::qmp);
  deliver();
  cut = true;
  a.tunnel.close_all("the link was lost");  // b has not noticed
  cut = false;
  EXPECT_EQ(line_from(**here), "over: the link was lost");
  b.served.front()->send_line("anybody there?");
  EXPECT_EQ(line_from(*b.served.front()), "over: it is over here");
}

TEST_F(PeerTunnelTest, WithoutALinkNothingIsOpened) {
  cut = true;
  EXPECT_FALSE(a.tunnel.open(PeerService::qmp).has_value());
}

TEST_F(PeerTunnelTest, APeerThatSendsMoreThanIsReadLosesTheConversation) {
  auto here = a.tunnel.open(PeerService::qmp);
  deliver();
  const std::string line(1000, 'x');
  for (int i = 0; i < 5000 && !(*here)->over(); ++i) {
    (*here)->send_line(line);
    deliver();
  }
  EXPECT_TRUE((*here)->over());
  EXPECT_TRUE(b.served.front()->over());
}

TEST_F(PeerTunnelTest, APeerThatOpensTooMuchIsRefused) {
  std::vector<std::unique_ptr<PeerConversation>> opened;
  for (int i = 0; i < 40; ++i) opened.push_back(std::move(*a.tunnel.open(PeerService::qmp)));
  deliver();
  EXPECT_EQ(b.served.size(), 16U);
  EXPECT_THAT(line_from(*opened.back()), testing::HasSubstr("too many conversations"));
  EXPECT_FALSE(opened.front()->over());
}

TEST_F(PeerTunnelTest, GarbageAndUnknownServicesAreAnsweredAtMost) {
  b.tunnel.receive({});
  b.tunnel.receive(Message(5, std::byte{0xff}));
  b.tunnel.receive(Message(100, std::byte{0xff}));
  deliver();
  auto here = a.tunnel.open(static_cast<PeerService>(77));
  EXPECT_EQ(line_from(**here), "over: this batond does not know that");
  EXPECT_TRUE(b.served.empty());
}

}  // namespace
}  // namespace baton::control
