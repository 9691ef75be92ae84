// Connections to one NBD export, each with a thread that keeps requests in flight on it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace baton {

using Seconds = std::chrono::duration<double>;

struct Piece {
  std::uint64_t offset = 0;
  std::size_t length = 0;
};

enum class Command : std::uint8_t { read, write };

// Known content: each word of it tells its place and the time it was written, so that nothing else
// can be taken for it.
enum class Generation : std::uint64_t { fill = 1, verify = 2 };

// What to ask for next, so long after the begin; nothing once the work is done.
using Source = std::function<std::optional<Piece>(Seconds passed)>;

struct Work {
  Command command = Command::read;
  std::size_t depth = 1;              // requests in flight on each connection
  std::size_t largest = 0;            // bytes of a request, a multiple of 8
  std::optional<Generation> content;  // what is written; what is read has to be it
};

// Of all connections.
struct Answers {
  std::vector<float> latencies_us;  // from submission to completion
  Seconds until_last{};             // since the begin
  double cpu_seconds = 0;           // of this process meanwhile
};

class Connection;

// Every error is thrown, as a std::runtime_error that says what failed: of libnbd, of a request, or
// content that is not what was expected.
class Connections {
 public:
  // `uri` as libnbd takes it. More than one connection is refused where the server does not promise
  // that they see each other's writes.
  Connections(const std::string& uri, std::size_t count);
  ~Connections();

  std::size_t count() const { return all_.size(); }
  std::uint64_t size() const;

  // Does what source_of(0), source_of(1), ... ask for side by side, each on a connection and a
  // thread of its own.
  Answers run(const Work& work, const std::function<Source(std::size_t)>& source_of);

  void flush();
  // After it the server has nothing more to do for these connections but to end them.
  void close();

 private:
  std::vector<std::unique_ptr<Connection>> all_;
};

// A number that has nothing to do with those of its neighbours.
std::uint64_t mixed(std::uint64_t value);

}  // namespace baton
