// A client that stamps what it writes: every cell of the volume says which request it comes from.
#pragma once

#include <memory>
#include <vector>

#include "tests/crash/host.h"
#include "tests/simulation/cells.h"

namespace baton::crash {

class Client {
 public:
  Client(Recorder& recorder, std::uint64_t seed);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  // Opens the volume on that host, where its requests go from now on. Nothing is in flight.
  void open(Host& host);
  void close();
  // So many requests, at most `depth` at a time, from the process's next turn on.
  void begin(int requests, int depth);
  bool idle() const { return to_do_ == 0 && in_flight_ == 0; }
  // Ends the burst at what is in flight.
  void stop() { to_do_ = 0; }
  std::uint64_t failed() const { return failed_; }

 private:
  struct Slot;
  void pump();
  void choose(Slot& slot);
  void choose_range(Slot& slot);
  static void answered(Operation& operation);

  Recorder& recorder_;
  sim::Prng random_;
  sim::Cells cells_;
  Host* host_ = nullptr;
  std::unique_ptr<blockdev::BlockDevice> device_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::uint64_t stamp_ = 0;
  int to_do_ = 0;
  int depth_ = 1;
  int in_flight_ = 0;
  std::uint64_t failed_ = 0;
};

}  // namespace baton::crash
