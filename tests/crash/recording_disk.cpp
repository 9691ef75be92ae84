#include "tests/crash/recording_disk.h"

namespace baton::crash {

using blockdev::Op;
using blockdev::Request;

RecordingDisk::RecordingDisk(std::unique_ptr<blockdev::BlockDevice> file, Recorder& recorder,
                             sim::Process& process, Part part)
    : file_(std::move(file)),
      recorder_(recorder),
      process_(process),
      part_(part),
      random_(recorder.world.stream("disk", recorder.world.steps() * 4 +
                                                static_cast<std::uint64_t>(process.node()) * 2 +
                                                static_cast<std::uint64_t>(part))) {}

RecordingDisk::~RecordingDisk() = default;

void RecordingDisk::submit(Request& request) {
  Flight& flight = flights_.emplace_back(*this, request);
  flight.self = std::prev(flights_.end());
  if (recorder_.log != nullptr) record(flight);
  flight.passage.op = request.op;
  flight.passage.flags = request.flags;
  flight.passage.offset = request.offset;
  flight.passage.length = request.length;
  flight.passage.data = request.data;
  flight.passage.extents = request.extents;
  recorder_.bay.submit(*file_, flight.passage);
  recorder_.world.arm_after(flight.timer, latency(request.op));
}

void RecordingDisk::record(Flight& flight) {
  const Request& request = flight.request;
  const bool changes =
      request.op == Op::write || request.op == Op::write_zeroes || request.op == Op::discard;
  if (!changes && request.op != Op::flush) return;
  DiskRequest entry{.node = process_.node(),
                    .part = part_,
                    .op = request.op,
                    .fua = request.flags.fua,
                    .offset = request.offset,
                    .length = request.length};
  if (request.op == Op::write) entry.bytes.assign(request.data, request.data + request.length);
  if (recorder_.defect) recorder_.defect(entry);
  flight.logged = true;
  flight.index = recorder_.log->disk_submitted(std::move(entry));
}

// Now and then one is slow, so that requests overtake each other.
Duration RecordingDisk::latency(Op op) {
  using std::chrono::microseconds;
  if (op == Op::flush) return random_.duration(microseconds(50), microseconds(600));
  const bool slow = random_.percent(8);
  return random_.duration(microseconds(20), microseconds(slow ? 3000 : 250));
}

void RecordingDisk::Flight::land() {
  disk.recorder_.bay.wait_for(passage);
  disk.process_.loop().post(*this);
}

void RecordingDisk::Flight::answer() {
  if (logged) disk.recorder_.log->disk_completed(index);
  request.error = passage.error;
  request.reason = passage.reason;
  Request& answered = request;
  disk.flights_.erase(self);  // *this is gone
  answered.complete();
}

}  // namespace baton::crash
