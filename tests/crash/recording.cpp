#include "tests/crash/recording.h"

#include <fmt/format.h>

#include <stdexcept>

#include "tests/crash/client.h"

namespace baton::crash {
namespace {

using replication::Resource;
using std::chrono::seconds;

constexpr Duration patience = std::chrono::minutes(2);

class Pair {
 public:
  Pair(FileBay& bay, const Workload& workload, Log& log)
      : world_(workload.seed),
        net_(world_, node_count, {}),
        recorder_{.world = world_, .bay = bay, .log = &log, .defect = workload.defect},
        hosts_{std::make_unique<Host>(recorder_, net_, 0, files(bay, 0), boot(0)),
               std::make_unique<Host>(recorder_, net_, 1, files(bay, 1), boot(1))},
        client_(recorder_, workload.seed),
        scale_(workload.scale) {
    world_.after_every_step([this] { recorder_.log->turn_ended(a().counting() | b().counting()); });
  }

  static HostFiles files(const FileBay& bay, int node) {
    const std::string name = name_of_node(node);
    return {bay.path(name + ".img"), bay.path(name + ".img.baton")};
  }
  std::uint64_t boot(int node) const {
    return world_.stream("boot", static_cast<std::uint64_t>(node)).next() | 1U;
  }
  Host& a() { return *hosts_[0]; }
  Host& b() { return *hosts_[1]; }

  void work() {
    chapter("first sync");
    must("start A", a().start());
    must("start B", b().start());
    must("promote", a().promote({.force = true, .confirmed = true}));
    client_.open(a());
    burst(6, 3);
    wait_in_sync();

    chapter("replicated");
    burst(40, 4);

    chapter("peer lost");
    client_.begin(scale_ * 14, 3);
    world_.run_steps(120);
    net_.cut(0, 1, sim::Cut::silence);
    wait_idle();
    burst(8, 2);
    net_.heal(0, 1);
    chapter("resync");
    burst(10, 3);
    wait_in_sync();
    burst(6, 2);

    chapter("detached");
    client_.begin(scale_ * 10, 3);
    must("detach", a().perform("detach", [](Resource& node) { return node.detach(); }));
    wait_idle();
    burst(8, 3);
    chapter("attached");
    client_.begin(scale_ * 8, 3);
    must("attach", a().perform("attach", [](Resource& node) { return node.attach(); }));
    wait_idle();
    wait_in_sync();
    burst(6, 2);

    chapter("peer stopped");
    must("stop B", b().stop());
    burst(12, 3);
    must("start B", b().start());
    burst(8, 3);
    wait_in_sync();

    chapter("moved");
    must("handover", a().perform("handover", [](Resource& node) { return node.handover("B"); }));
    client_.close();
    client_.open(b());
    burst(12, 3);
    client_.close();

    chapter("stopped");
    must("stop A", a().stop());
    must("stop B", b().stop());
    chapter("started");
    must("start B", b().start());
    must("start A", a().start());
    must("promote", a().promote({}));
    client_.open(a());
    burst(12, 4);
    wait_in_sync();
    client_.close();
    must("stop B", b().stop());
    must("stop A", a().stop());
  }

 private:
  void chapter(const char* name) { recorder_.log->begin_chapter(name); }

  void must(const char* what, const Result<>& result) {
    if (!result) give_up(fmt::format("{}: {}", what, result.error().message));
  }
  void must_become(const char* what, const std::function<bool()>& done) {
    if (!world_.run_while_waiting(done, patience)) give_up(fmt::format("never: {}", what));
  }
  [[noreturn]] void give_up(std::string what) {
    recorder_.bay.drain();
    for (const std::string& line : world_.trace().last(40, true)) what += "\n  " + line;
    throw std::runtime_error(what);
  }

  void burst(int requests, int depth) {
    client_.begin(scale_ * requests, depth);
    wait_idle();
  }
  void wait_idle() {
    must_become("every request is answered", [this] { return client_.idle(); });
  }
  void wait_in_sync() {
    must_become("both copies are in sync", [this] { return a().in_sync() && b().in_sync(); });
  }

  sim::World world_;
  sim::SimNet net_;
  Recorder recorder_;
  std::array<std::unique_ptr<Host>, node_count> hosts_;
  Client client_;
  int scale_;
};

}  // namespace

Recording record(FileBay& bay, const Workload& workload) {
  Log log;
  Pair pair(bay, workload, log);
  pair.a().create_files();
  pair.b().create_files();
  Recording recording{
      .seed = workload.seed,
      .log = {},
      .data = {read_image(pair.a().files().data), read_image(pair.b().files().data)},
      .metadata = {read_image(pair.a().files().metadata), read_image(pair.b().files().metadata)},
      .boot = {pair.boot(0), pair.boot(1)}};
  pair.work();
  recording.log = std::move(log);
  return recording;
}

}  // namespace baton::crash
