// Goal: a socket keeps the promises of base/stream.h, also when it takes less than it is offered.
#include "base/runtime/asio_stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <memory>
#include <utility>
#include <vector>

namespace baton {
namespace {

using Socket = boost::asio::generic::stream_protocol::socket;

class AsioStream : public testing::Test {
 protected:
  AsioStream() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    Socket socket(shard_.io());
    socket.assign(Socket::protocol_type(AF_UNIX, 0), ends[0]);
    stream_ = make_socket_stream(shard_, std::move(socket), "the test");
    other_ = ends[1];
    read_.buffer = chunk_;
    read_.on_complete([](Operation& self) { ++static_cast<AsioStream*>(self.context())->reads_; },
                      this);
    write_.on_complete([](Operation& self) { ++static_cast<AsioStream*>(self.context())->writes_; },
                       this);
  }
  ~AsioStream() override { ::close(other_); }

  // Whatever can happen without waiting.
  void settle() {
    for (int quiet = 0; quiet < 3;) {
      const bool ran = shard_.io().poll() > 0;
      while (!shard_.loop().idle()) shard_.loop().run_turn();
      quiet = ran ? 0 : quiet + 1;
    }
  }

  Shard shard_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> open_for_work_{
      shard_.io().get_executor()};
  std::unique_ptr<Stream> stream_;
  int other_ = -1;
  std::vector<std::byte> chunk_ = std::vector<std::byte>(1U << 16U);
  ReadOperation read_;
  WriteOperation write_;
  int reads_ = 0;
  int writes_ = 0;
};

TEST_F(AsioStream, a_gathered_write_larger_than_the_socket_arrives_whole_and_in_order) {
  constexpr std::size_t parts = 3000;  // more than one sendmsg takes
  constexpr std::size_t part_bytes = 1001;
  std::vector<std::byte> bytes(parts * part_bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte(i * 7 / 5 % 251);
  std::vector<iovec> list;
  for (std::size_t i = 0; i < parts; ++i)
    list.push_back({bytes.data() + i * part_bytes, i == 7 ? 0 : part_bytes});
  write_.buffers = list;
  stream_->write(write_);
  EXPECT_EQ(writes_, 0) << "never inside the call";
  settle();
  EXPECT_EQ(writes_, 0) << "the socket is full";

  std::vector<std::byte> expected(bytes.begin(), bytes.begin() + 7 * part_bytes);
  expected.insert(expected.end(), bytes.begin() + 8 * part_bytes, bytes.end());
  std::vector<std::byte> received(expected.size());
  for (std::size_t got = 0; got < received.size();) {
    const ssize_t count = ::recv(other_, received.data() + got, received.size() - got, 0);
    ASSERT_GT(count, 0);
    got += static_cast<std::size_t>(count);
    settle();
  }
  EXPECT_EQ(writes_, 1);
  EXPECT_EQ(write_.error, StreamError::none);
  EXPECT_EQ(received, expected);
}

TEST_F(AsioStream, reads_fill_the_second_buffer_after_the_first) {
  std::vector<std::byte> first(3);
  read_.buffer = first;
  read_.second_buffer = chunk_;
  stream_->read(read_);
  settle();
  EXPECT_EQ(reads_, 0);
  EXPECT_EQ(::send(other_, "abcdefgh", 8, 0), 8);
  settle();
  EXPECT_EQ(reads_, 1);
  EXPECT_EQ(read_.transferred, 8U);
  EXPECT_EQ(first[2], std::byte{'c'});
  EXPECT_EQ(chunk_[4], std::byte{'h'});
}

TEST_F(AsioStream, the_other_sides_end_is_told_apart_from_a_break) {
  stream_->read(read_);
  ::shutdown(other_, SHUT_WR);
  settle();
  EXPECT_EQ(read_.error, StreamError::end_of_stream);
  ::close(std::exchange(other_, ::dup(0)));
  char byte = 0;
  const iovec part{&byte, 1};
  write_.buffers = {&part, 1};
  stream_->write(write_);
  settle();
  EXPECT_EQ(writes_, 1);
  EXPECT_EQ(write_.error, StreamError::broken);
}

TEST_F(AsioStream, close_completes_what_is_in_progress_and_what_comes_later) {
  stream_->read(read_);
  settle();
  stream_->close();
  stream_->close();
  EXPECT_EQ(reads_, 0) << "never inside the call";
  settle();
  EXPECT_EQ(reads_, 1);
  EXPECT_EQ(read_.error, StreamError::closed);
  stream_->read(read_);
  char byte = 0;
  const iovec part{&byte, 1};
  write_.buffers = {&part, 1};
  stream_->write(write_);
  settle();
  EXPECT_EQ(read_.error, StreamError::closed);
  EXPECT_EQ(write_.error, StreamError::closed);
  EXPECT_EQ(reads_ + writes_, 3);
}

TEST_F(AsioStream, a_stream_that_is_destroyed_completes_nothing) {
  stream_->read(read_);
  std::vector<std::byte> much(4U << 20U);
  const iovec part{much.data(), much.size()};
  write_.buffers = {&part, 1};
  stream_->write(write_);
  settle();
  stream_.reset();
  settle();
  EXPECT_EQ(reads_ + writes_, 0);
}

}  // namespace
}  // namespace baton
