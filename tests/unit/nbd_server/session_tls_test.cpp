// Goal: a session on its way into TLS ends in time, in order, and never takes a stranger's word for
// something said inside. What happens inside TLS: tests/conformance/nbd_tls_must_test.py.
#include <gtest/gtest.h>

#include "tests/support/nbd_session_world.h"

namespace baton::nbd {
namespace {

using test::client_flags;
using test::option;
using test::SessionWorld;
using test::SessionWorldOptions;

class SessionTls : public testing::Test {
 protected:
  static SessionWorldOptions options() {
    SessionWorldOptions options;
    options.security.tls = TlsMode::selective;
    options.security.credentials =
        tls::Source::open([] { return tls::Credentials::for_secret("of nobody"); }).value();
    return options;
  }
  SessionTls() : world(options()) {
    world.send(client_flags());
    world.client->forget();
  }
  void start_tls() {
    world.send(option(Option::start_tls));
    ASSERT_EQ(test::Heard(world.client->heard()).option_answer().type, OptionReply::ack);
    ASSERT_FALSE(world.session_ended());
  }
  SessionWorld world;
};

TEST_F(SessionTls, a_client_that_does_not_go_on_is_ended_at_the_deadline_of_the_handshake) {
  start_tls();
  world.clock.advance(std::chrono::seconds(9));
  world.settle();
  EXPECT_FALSE(world.session_ended());
  world.clock.advance(std::chrono::seconds(2));
  world.settle();
  EXPECT_TRUE(world.session_ended());
  EXPECT_EQ(world.session->reason(), "its handshake took too long");
}

TEST_F(SessionTls, a_stop_ends_it_at_once) {
  start_tls();
  world.session->shut_down();
  world.settle();
  EXPECT_TRUE(world.session_ended());
  EXPECT_EQ(world.session->reason(), "the server is shutting down");
}

TEST_F(SessionTls, a_client_that_hangs_up_is_gone) {
  start_tls();
  world.client->hang_up();
  world.settle();
  EXPECT_TRUE(world.session_ended());
  EXPECT_EQ(world.session->reason(),
            "no TLS session: the connection was lost during the TLS handshake");
}

TEST_F(SessionTls, one_that_goes_on_without_tls_is_ended) {
  start_tls();
  world.send(option(Option::list));
  EXPECT_TRUE(world.session_ended());
  EXPECT_EQ(world.session->reason(), "no TLS session: it does not speak TLS");
}

TEST_F(SessionTls, what_comes_behind_the_option_in_one_piece_ends_it_before_any_answer) {
  world.send(test::Bytes().add(option(Option::start_tls)).add(option(Option::structured_reply)));
  EXPECT_TRUE(world.session_ended());
  EXPECT_EQ(world.session->reason(), "it went on after STARTTLS without waiting for the answer");
  EXPECT_TRUE(world.client->heard().empty());
}

}  // namespace
}  // namespace baton::nbd
