// What a copy may hold, cell by cell, by what the client was told before the crash.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/crash/log.h"
#include "tests/simulation/cells.h"
#include "tests/simulation/sparse_image.h"

namespace baton::crash {

// What must have survived.
enum class Floor : std::uint8_t {
  none,          // nothing; but whatever is there was written by somebody
  flushed,       // what a flush that was answered covers, and FUA
  acknowledged,  // every write that was answered
};

class Expectation {
 public:
  // What the client had submitted before `point`.
  Expectation(const std::vector<ClientRequest>& requests, std::uint64_t point);

  // One sentence about the first cell that holds what it must not.
  std::optional<std::string> violation(const sim::SparseImage& image, Floor floor) const;

 private:
  struct Write {
    std::uint64_t stamp;
    std::uint64_t submitted;
    std::uint64_t answered;
  };
  // One cell's writes, and from when on an answered one is older than what has to be there.
  struct History {
    std::vector<Write> writes;
    std::uint64_t flushed_after = 0;  // one above the newest `submitted`; 0: none
    std::uint64_t acknowledged_after = 0;
  };
  void add(const ClientRequest& request, std::uint64_t point, std::uint64_t last_flush);
  static bool allowed(const History& history, std::uint64_t stamp, Floor floor);
  std::optional<std::string> beyond_what_was_written(const sim::SparseImage& image) const;

  sim::Cells cells_;
  std::map<std::uint64_t, History> histories_;  // of the cells that were written
};

}  // namespace baton::crash
