// What a pair did while it was recorded, in one order: every write and flush of every file, when it
// was submitted and when it was completed, and what its client was told.
//
// Each of these takes one number. A crash at point p comes before event p: what has a lower number
// has happened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "blockdev/block_device.h"

namespace baton::crash {

inline constexpr std::uint64_t never = UINT64_MAX;
inline constexpr int node_count = 2;

enum class Part : std::uint8_t { data, metadata };

// A write, zeroing, discard or flush that the engine has given to one of its disks.
struct DiskRequest {
  int node = 0;
  Part part = Part::data;
  blockdev::Op op = blockdev::Op::write;
  bool fua = false;
  // The disk has answered and done nothing: a disk that lies, or an engine without this request.
  bool forgotten = false;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::vector<std::byte> bytes;  // of a write
  std::uint64_t submitted = 0;
  std::uint64_t completed = never;
};

struct ClientRequest {
  blockdev::Op op = blockdev::Op::write;
  bool fua = false;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t stamp = 0;  // of a write; what it zeroes has the stamp 0
  std::uint64_t submitted = 0;
  std::uint64_t answered = never;
  bool done = false;  // the answer was no error
};

class Log {
 public:
  std::size_t disk_submitted(DiskRequest request);
  void disk_completed(std::size_t index);
  std::size_t client_submitted(ClientRequest request);
  void client_answered(std::size_t index, bool done);
  // A turn of a process is over: the copies (one bit each) that count, by the holder's word.
  void turn_ended(unsigned counting);
  // What follows is about this; for a reader.
  void begin_chapter(std::string name) { chapters_.emplace_back(events(), std::move(name)); }

  std::uint64_t events() const { return events_.size(); }
  const std::vector<DiskRequest>& disk() const { return disk_; }
  const std::vector<ClientRequest>& client() const { return client_; }
  // Copies that counted before the turn in which the crash falls, and after it.
  unsigned counting_at(std::uint64_t point) const;
  // "event 812 (peer lost): A data write 4096 at 8192 completed"
  std::string describe(std::uint64_t event) const;
  // Of all of it: equal for equal runs.
  std::uint64_t hash() const;

 private:
  struct Event {
    bool of_client = false;
    bool begins = false;
    std::size_t index = 0;
  };
  struct Turn {
    std::uint64_t events = 0;  // that had happened at its end
    unsigned counting = 0;
  };
  const std::string& chapter_of(std::uint64_t event) const;

  std::vector<Event> events_;
  std::vector<DiskRequest> disk_;
  std::vector<ClientRequest> client_;
  std::vector<Turn> turns_;
  std::vector<std::pair<std::uint64_t, std::string>> chapters_;
};

const char* name_of(Part part);
std::string name_of_node(int node);

}  // namespace baton::crash
