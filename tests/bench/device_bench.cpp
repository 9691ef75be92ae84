// What the file device costs above the bare kernel: 4 KiB random reads and writes at several
// depths, interleaved with fio's io_uring engine on the same file. Prints a table, judges nothing.
//
//   device_bench FILE [SECONDS [REPEATS]]            FILE is overwritten; made where it is missing
//   device_bench --modes FILE [SECONDS [REPEATS]]    without fio: the modes of the ring side by
//   side
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "base/runtime/shard.h"
#include "blockdev/file_device.h"

namespace baton::blockdev {
namespace {

constexpr std::uint64_t file_bytes = 1U << 30U;
constexpr std::uint64_t block = 4096;

struct Figures {
  double iops = 0;
  double cpu_us = 0;  // of this process (fio: of the job) per request
};

double cpu_seconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// `depth` requests that start again as soon as they complete, until the time is over.
class Load {
 public:
  Load(Shard& shard, BlockDevice& device, Op op, std::size_t depth)
      : shard_(shard), device_(device), slots_(depth) {
    for (Slot& slot : slots_) {
      slot.buffer = shard.buffers().take(block);
      std::ranges::fill(slot.buffer.span(), std::byte{0x5A});
      slot.request.op = op;
      slot.request.length = block;
      slot.request.data = slot.buffer.data();
      slot.request.on_complete(&Load::again, this);
    }
  }

  Figures run(double seconds) {
    Timer end([](Timer& timer) { static_cast<Load*>(timer.context())->ending_ = true; }, this);
    const TimePoint begin = shard_.now();
    const double cpu = cpu_seconds();
    shard_.arm_after(end, Duration(static_cast<std::int64_t>(seconds * 1e9)));
    running_ = slots_.size();
    for (Slot& slot : slots_) start(slot.request);
    shard_.run();
    const double took = static_cast<double>((shard_.now() - begin).count()) * 1e-9;
    const auto done = static_cast<double>(done_);
    return {done / took, (cpu_seconds() - cpu) * 1e6 / done};
  }

 private:
  struct Slot {
    Request request;
    Buffer buffer;
  };
  void start(Request& request) {
    request.offset = random_() % (file_bytes / block) * block;
    device_.submit(request);
  }
  static void again(Operation& operation) {
    Load& self = *static_cast<Load*>(operation.context());
    auto& request = static_cast<Request&>(operation);
    if (request.error != IoError::none) {
      fmt::print(stderr, "a request failed: {}\n", name_of(request.error));
      std::exit(1);
    }
    ++self.done_;
    if (!self.ending_) return self.start(request);
    if (--self.running_ == 0) self.shard_.stop();
  }

  Shard& shard_;
  BlockDevice& device_;
  std::vector<Slot> slots_;
  std::minstd_rand random_;
  std::uint64_t done_ = 0;
  std::size_t running_ = 0;
  bool ending_ = false;
};

Figures ours(const std::string& path, RingMode mode, Op op, std::size_t depth, double seconds) {
  Shard shard;
  RingOptions options;
  options.mode = mode;
  auto ring = Ring::open(shard.loop(), options);
  if (!ring) throw std::runtime_error(ring.error().message);
  shard.wake_on((*ring)->event_fd());
  auto device = open_file_device(**ring, shard.buffers(), path);
  if (!device) throw std::runtime_error(device.error().message);
  return Load(shard, **device, op, depth).run(seconds);
}

Figures fio(const std::string& path, Op op, std::size_t depth, double seconds) {
  const std::string command = fmt::format(
      "fio --name=bare --filename={} --ioengine=io_uring --direct=1 --rw={} --bs=4k --size={} "
      "--iodepth={} --norandommap --randrepeat=0 --time_based --runtime={} --group_reporting "
      "--minimal 2>/dev/null",
      path, op == Op::read ? "randread" : "randwrite", file_bytes, depth, seconds);
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("fio cannot be started");
  std::vector<std::string> fields(1);
  for (int c = std::fgetc(pipe); c != EOF && c != '\n'; c = std::fgetc(pipe)) {
    if (c == ';') {
      fields.emplace_back();
    } else {
      fields.back().push_back(static_cast<char>(c));
    }
  }
  if (pclose(pipe) != 0 || fields.size() < 90) throw std::runtime_error("fio failed");
  // Terse format 3: the read block begins at field 5 (its IOPS at 7), the write block at 46; usr
  // and sys CPU, in percent, are fields 87 and 88.
  const double iops = std::stod(fields[op == Op::read ? 7 : 48]);
  const double cpu = std::stod(fields[87]) + std::stod(fields[88]);
  return {iops, cpu * 1e4 / iops};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Runs every contender in turn, `repeats` times, and gives each its medians.
template <class... Contender>
std::vector<Figures> interleave(int repeats, Contender... contender) {
  std::vector<std::vector<Figures>> seen(sizeof...(contender));
  for (int i = 0; i < repeats; ++i) {
    std::size_t index = 0;
    (seen[index++].push_back(contender()), ...);
  }
  std::vector<Figures> medians;
  for (const auto& figures : seen) {
    std::vector<double> iops, cpu;
    for (const Figures& one : figures) {
      iops.push_back(one.iops);
      cpu.push_back(one.cpu_us);
    }
    medians.push_back({median(iops), median(cpu)});
  }
  return medians;
}

struct Settings {
  std::string path;
  double seconds = 2;
  int repeats = 3;
};

void against_fio(const Settings& settings, Op op, std::size_t depth) {
  const auto [path, seconds, repeats] = settings;
  const auto figures = interleave(
      repeats, [&] { return fio(path, op, depth, seconds); },
      [&] { return ours(path, RingMode::deferred, op, depth, seconds); });
  fmt::print(
      "{:5} depth {:2}  fio {:7.0f}/s {:5.2f} us cpu   device {:7.0f}/s {:5.2f} us cpu"
      "   ratio {:.2f}\n",
      name_of(op), depth, figures[0].iops, figures[0].cpu_us, figures[1].iops, figures[1].cpu_us,
      figures[1].iops / figures[0].iops);
}

void among_modes(const Settings& settings, Op op, std::size_t depth) {
  const auto [path, seconds, repeats] = settings;
  const auto figures = interleave(
      repeats, [&] { return ours(path, RingMode::deferred, op, depth, seconds); },
      [&] { return ours(path, RingMode::cooperative, op, depth, seconds); },
      [&] { return ours(path, RingMode::plain, op, depth, seconds); });
  fmt::print("{:5} depth {:2}", name_of(op), depth);
  constexpr std::array names{"deferred", "cooperative", "plain"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    fmt::print("   {} {:7.0f}/s {:5.2f} us cpu", names[i], figures[i].iops, figures[i].cpu_us);
  }
  fmt::print("\n");
}

// Every block allocated and written once, so that no run pays for that.
void fill_if_missing(const std::string& path) {
  if (std::filesystem::exists(path)) return;
  if (auto made = create_sparse_file(path, file_bytes); !made) {
    throw std::runtime_error(made.error().message);
  }
  const std::string command = fmt::format(
      "fio --name=fill --filename={} --ioengine=io_uring --direct=1 --rw=write --bs=1m --size={} "
      "--iodepth=4 >/dev/null",
      path, file_bytes);
  if (std::system(command.c_str()) != 0) throw std::runtime_error("fio cannot fill the file");
}

int run(std::vector<std::string> arguments) {
  const bool modes = !arguments.empty() && arguments[0] == "--modes";
  if (modes) arguments.erase(arguments.begin());
  if (arguments.empty()) {
    fmt::print(stderr, "usage: device_bench [--modes] FILE [SECONDS [REPEATS]]\n");
    return 2;
  }
  Settings settings{arguments[0]};
  if (arguments.size() > 1) settings.seconds = std::stod(arguments[1]);
  if (arguments.size() > 2) settings.repeats = std::stoi(arguments[2]);
  fill_if_missing(settings.path);
  for (const Op op : {Op::read, Op::write}) {
    for (const std::size_t depth : {1U, 16U, 32U}) {
      modes ? among_modes(settings, op, depth) : against_fio(settings, op, depth);
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace
}  // namespace baton::blockdev

int main(int argc, char** argv) {
  try {
    return baton::blockdev::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "device_bench: " << error.what() << '\n';
    return 1;
  }
}
