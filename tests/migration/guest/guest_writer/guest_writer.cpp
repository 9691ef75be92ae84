// guest_writer: writes checksummed records inside the test guest, and proves later that they are
// all still there.
//
// What is proven. A record counts as acknowledged once fsync has returned for it, and only then is
// it reported (--acks), so that somebody outside of the guest can hold the guest to it. The file
// has two parts, because a storage that loses writes loses them in two ways:
//   - a log of records, appended, sequence 1, 2, 3 ...: a write that never arrived is a hole in it;
//   - 256 slots that are overwritten in place, each record also into slot_of(sequence): a write
//     that was taken back (a stale block of the other node) is a slot older than it must be.
// While it writes, every 16th record reads back a slot from the disk (O_DIRECT): a stale read right
// after a move is seen at once, and not only at the end.
//
// What is not proven here: times. A guest's clocks stand still while the hypervisor has stopped it,
// so the gaps measured in here leave out that part of a migration. The reader of --acks, outside,
// sees all of it.
//
// records.h has the layout, writer.h the writer, check.h the judge.
// One process writes one file. Exit: 0 good, 1 data wrong or lost, or the disk failed, 2 usage.

#include <getopt.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "check.h"
#include "stats.h"
#include "writer.h"

namespace {

using namespace guest_writer;

double ms(u64 ns) {
  return static_cast<double>(ns) / 1e6;
}

// Reports on stdout in any case, also where the file cannot be read at all.
int check(const std::string& path, std::optional<u64> acknowledged) {
  ScanResult result;
  bool direct = false;
  try {
    DiskReader reader(path);
    direct = reader.direct();
    result = scan(reader, acknowledged);
  } catch (const std::exception& error) {
    result.add(error.what());
  }
  std::ranges::replace_if(
      result.first_error, [](char c) { return c < ' ' || c == '"' || c == '\\'; }, '\'');
  const bool good = result.errors == 0;
  std::printf(
      "{\"check\":\"%s\",\"records\":%ju,\"acknowledged\":%ju,\"bytes\":%ju,\"slots\":%ju,"
      "\"in_flight\":%ju,\"errors\":%ju,\"first_error\":\"%s\",\"past_page_cache\":%s}\n",
      good ? "ok" : "failed", result.good, acknowledged.value_or(result.newest_good),
      result.file_bytes, slot_count, result.in_flight, result.errors, result.first_error.c_str(),
      direct ? "true" : "false");
  return good ? 0 : 1;
}

int show(const std::string& path) {
  const StatsPage* stats = open_stats(path);
  const u64 state = stats->state;
  std::printf(
      "{\"state\":\"%s\",\"records\":%ju,\"records_this_run\":%ju,\"log_bytes\":%ju,"
      "\"readbacks\":%ju,\"run_ms\":%.1f,\"gap_ms\":%.1f,\"gap_at_ms\":%.1f,"
      "\"gap_before_record\":%ju,\"error\":\"%s\"}\n",
      state_names.at(state), stats->records.load(), stats->records_this_run.load(),
      stats->log_bytes.load(), stats->readbacks.load(), ms(stats->run_ns), ms(stats->gap_ns),
      ms(stats->gap_at_ns), stats->gap_before_record.load(),
      state == StatsPage::failed ? stats->error.data() : "");
  return state == StatsPage::failed ? 1 : 0;
}

int usage() {
  std::fputs(
      "usage: guest_writer --write FILE [--name NAME] [--acks TTY] [--stats FILE]\n"
      "                    [--rate RECORDS_PER_SECOND] [--keep-free PERCENT]\n"
      "       guest_writer --check FILE [--acked SEQUENCE]\n"
      "       guest_writer --show STATS_FILE\n",
      stderr);
  return 2;
}

int run(int argc, char** argv) {
  const std::array<option, 10> options{{{"write", required_argument, nullptr, 'w'},
                                        {"check", required_argument, nullptr, 'c'},
                                        {"show", required_argument, nullptr, 's'},
                                        {"name", required_argument, nullptr, 'n'},
                                        {"acks", required_argument, nullptr, 'a'},
                                        {"stats", required_argument, nullptr, 't'},
                                        {"rate", required_argument, nullptr, 'r'},
                                        {"keep-free", required_argument, nullptr, 'k'},
                                        {"acked", required_argument, nullptr, 'A'},
                                        {nullptr, 0, nullptr, 0}}};
  WriteOptions writing;
  std::string target;
  std::optional<u64> acknowledged;
  int mode = 0;
  for (int c = 0; (c = getopt_long(argc, argv, "", options.data(), nullptr)) != -1;) {
    switch (c) {
      case 'w':
      case 'c':
      case 's':
        mode = c, target = optarg;
        break;
      case 'n':
        writing.name = optarg;
        break;
      case 'a':
        writing.acks = optarg;
        break;
      case 't':
        writing.stats = optarg;
        break;
      case 'r':
        writing.rate = std::stoull(optarg);
        break;
      case 'k':
        writing.keep_free_percent = std::stoull(optarg);
        break;
      case 'A':
        acknowledged = std::stoull(optarg);
        break;
      default:
        return usage();
    }
  }
  if (optind != argc) return usage();
  switch (mode) {
    case 'w':
      writing.path = target;
      Writer(std::move(writing)).run();
      return 0;
    case 'c':
      return check(target, acknowledged);
    case 's':
      return show(target);
    default:
      return usage();
  }
}

}  // namespace

int main(int argc, char** argv) {
  // No SA_RESTART: a stop also ends the pause between two records.
  struct sigaction action{};
  action.sa_handler = [](int) { stop_asked = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  try {
    return run(argc, argv);
  } catch (const std::invalid_argument&) {
    return usage();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "guest_writer: %s\n", error.what());
    return 1;
  }
}
