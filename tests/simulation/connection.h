// One simulated TCP connection: two ends, a pipe each way. Used by sim_net.cpp only.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/stream.h"
#include "tests/simulation/sim_net.h"

namespace baton::sim {

class SimStream;

// Bytes on their way from one end to the other.
struct Pipe {
  struct Segment {
    TimePoint arrives;
    std::vector<std::byte> bytes;
    bool fin = false;
    bool reset = false;
  };
  std::deque<Segment> on_the_way;
  std::size_t bytes_on_the_way = 0;
  std::vector<std::byte> unread;
  std::size_t unread_from = 0;
  bool ended = false;  // FIN has arrived
  std::size_t unread_bytes() const { return unread.size() - unread_from; }
};

struct End {
  int node = -1;
  Process* process = nullptr;   // null: the process is gone
  SimStream* stream = nullptr;  // the handle, while it lives
  bool closed = false;          // by its own side
  bool broken = false;          // a reset has arrived
  TimePoint hears_at{};         // then: when its reader hears of it
  ReadOperation* read = nullptr;
  WriteOperation* write = nullptr;
  std::size_t written = 0;  // bytes of `write` that the transport has taken
};

class Connection {
 public:
  Connection(SimNet& net, std::uint64_t number, Process& a, int b);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  std::unique_ptr<SimStream> make_stream(int end, Process& process);

  void read(int end, ReadOperation& operation);
  void write(int end, WriteOperation& operation);
  void close(int end);

  void process_killed(int node, Prng& random);
  void power_cut(int node, Prng& random);
  void reset_both();
  void break_at(int node);
  // `mended`: what a slow path would have kept for long comes now.
  void path_changed(bool mended = false);
  void corrupt(int from_node, Prng& random);

  bool touches(int a, int b) const;
  bool finished() const;
  bool quiet() const;
  int node(int end) const { return ends_[static_cast<std::size_t>(end)].node; }
  std::uint64_t number() const { return number_; }

 private:
  friend class SimStream;
  // Completions are delivered from the loop of the process they belong to.
  struct Delivery : Runnable {
    Delivery() : Runnable([](Runnable& self) { static_cast<Delivery&>(self).deliver(); }) {}
    void deliver();
    Connection* connection = nullptr;
    int end = 0;
    bool reading = false;
    StreamError error = StreamError::none;
  };
  static void arrive(Timer& timer);
  static void hear_of_the_end(Timer& timer);

  End& at(int end) { return ends_[static_cast<std::size_t>(end)]; }
  Pipe& from(int end) { return pipes_[static_cast<std::size_t>(end)]; }
  Pipe& towards(int end) { return pipes_[static_cast<std::size_t>(1 - end)]; }
  bool carries(int end) const;
  std::size_t enqueue(int end, const std::byte* data, std::size_t length);
  void send_some(int end);
  void send_end(int end, bool reset);
  void arm(int end);
  void arrive_at(int end);
  void receive(int end, Pipe::Segment& segment);
  void try_read(int end);
  void break_end(int end);
  void complete_read(int end, StreamError error);
  void complete_write(int end, StreamError error);
  void truncate(Pipe& pipe, Prng& random);

  SimNet& net_;
  std::uint64_t number_;
  std::array<End, 2> ends_;
  std::array<Pipe, 2> pipes_;  // [0] carries from end 0
  std::array<Timer, 2> timers_;
  std::array<Timer, 2> hears_timers_;
  std::array<Delivery, 2> reads_;
  std::array<Delivery, 2> writes_;
};

// What a process holds. Destroying it closes, unless its process was killed.
class SimStream final : public Stream {
 public:
  SimStream(Connection& connection, int end) : connection_(&connection), end_(end) {}
  ~SimStream() override;
  void read(ReadOperation& operation) override { connection_->read(end_, operation); }
  void write(WriteOperation& operation) override { connection_->write(end_, operation); }
  void close() override;
  std::string peer_name() const override;
  void forget() { connection_ = nullptr; }

 private:
  Connection* connection_;
  int end_;
};

}  // namespace baton::sim
