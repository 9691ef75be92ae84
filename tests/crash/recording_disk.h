// A file of a host, as the engine sees it: requests go to the kernel at once, are answered when as
// much of the world's time has passed as a disk takes, and are written into the log.
#pragma once

#include <functional>
#include <list>
#include <memory>

#include "tests/crash/file_bay.h"
#include "tests/crash/log.h"
#include "tests/simulation/world.h"

namespace baton::crash {

// What a disk (or an engine that forgets a request) leaves undone of what is logged: called with
// each request before it is. The defects that the explorer has to notice.
using Defect = std::function<void(DiskRequest&)>;

// What the disks of a world share.
struct Recorder {
  sim::World& world;
  FileBay& bay;
  Log* log = nullptr;  // null: nothing is recorded
  Defect defect;       // empty: none
};

class RecordingDisk final : public blockdev::BlockDevice {
 public:
  RecordingDisk(std::unique_ptr<blockdev::BlockDevice> file, Recorder& recorder,
                sim::Process& process, Part part);
  RecordingDisk(const RecordingDisk&) = delete;
  RecordingDisk& operator=(const RecordingDisk&) = delete;
  // Whoever throws a process away drains the bay first.
  ~RecordingDisk() override;

  const blockdev::Limits& limits() const override { return file_->limits(); }
  std::string name() const override { return file_->name(); }
  void submit(blockdev::Request& request) override;

 private:
  struct Flight : Runnable {
    Flight(RecordingDisk& its_disk, blockdev::Request& its_request)
        : Runnable([](Runnable& self) { static_cast<Flight&>(self).answer(); }),
          disk(its_disk),
          request(its_request),
          timer([](Timer& fired) { static_cast<Flight*>(fired.context())->land(); }, this) {}
    void land();
    void answer();
    RecordingDisk& disk;
    blockdev::Request& request;
    FileBay::Passage passage;
    Timer timer;
    bool logged = false;
    std::size_t index = 0;  // in the log
    std::list<Flight>::iterator self;
  };
  void record(Flight& flight);
  Duration latency(blockdev::Op op);

  std::unique_ptr<blockdev::BlockDevice> file_;
  Recorder& recorder_;
  sim::Process& process_;
  Part part_;
  sim::Prng random_;
  std::list<Flight> flights_;
};

}  // namespace baton::crash
