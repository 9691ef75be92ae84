// A client that loads one NBD export, over as many connections as wished and over TLS too: for the
// comparison of plain exports (compare --plain), where fio cannot go, because its nbd engine does
// not allow libnbd to read the certificates that a URI names.
//
//   nbd_load URI write --block 4096 --depth 16 --connections 4 --seconds 4     prints JSON
//   nbd_load URI read --sequential ...                                         prints JSON
//   nbd_load URI fill                                  writes all of it, once
//   nbd_load URI verify --bytes N                      writes, reads back, compares; exits 1
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <random>
#include <stdexcept>
#include <utility>

#include "fio_jobs/nbd_connections.h"

namespace baton {
namespace {

constexpr std::size_t smallest_block = 4096;
constexpr std::size_t fill_block = 1U << 20U;
// Of verify, as fio_jobs/verify.fio has it.
constexpr std::size_t largest_verified_block = 256U << 10U;

struct Arguments {
  std::string uri;
  std::size_t block = smallest_block;
  std::size_t depth = 16;
  std::size_t connections = 1;
  double seconds = 4;
  bool sequential = false;
  std::uint64_t bytes = 64U << 20U;

  // The depth is shared out among the connections.
  std::size_t depth_of_one() const { return std::max<std::size_t>(depth / connections, 1); }
};

// --- what is asked for

Source random_for(Seconds time, std::uint64_t size, std::size_t block, std::uint64_t seed) {
  return [time, blocks = size / block, block, state = mixed(seed)](Seconds passed) mutable {
    return passed < time ? std::optional(Piece{mixed(state++) % blocks * block, block})
                         : std::nullopt;
  };
}

// Through `share` bytes from `begin` on, again and again.
Source sequential_for(Seconds time, std::uint64_t begin, std::uint64_t share, std::size_t block) {
  return [time, begin, share, block, at = std::uint64_t{0}](Seconds passed) mutable {
    const Piece piece{begin + at, block};
    at = (at + block) % share;
    return passed < time ? std::optional(piece) : std::nullopt;
  };
}

Source each_of(std::vector<Piece> pieces) {
  return [pieces = std::move(pieces), at = std::size_t{0}](Seconds) mutable {
    return at < pieces.size() ? std::optional(pieces[at++]) : std::nullopt;
  };
}

// --- fill and verify

// Of `smallest` to `largest`, covering `bytes` without a gap.
std::vector<Piece> pieces_of(std::uint64_t bytes, std::size_t smallest, std::size_t largest,
                             std::mt19937_64& random) {
  std::vector<Piece> pieces;
  const std::size_t choices = (largest - smallest) / smallest_block + 1;
  for (std::uint64_t at = 0; at < bytes; at += pieces.back().length) {
    const std::uint64_t wished = smallest + random() % choices * smallest_block;
    pieces.push_back({at, std::min(wished, bytes - at)});
  }
  return pieces;
}

void fill(const Arguments& arguments) {
  Connections connections(arguments.uri, 1);
  std::mt19937_64 random;
  const auto pieces = pieces_of(connections.size(), fill_block, fill_block, random);
  connections.run({Command::write, 8, fill_block, Generation::fill},
                  [&](std::size_t) { return each_of(pieces); });
  connections.flush();
  connections.close();
}

// Pieces of mixed sizes in mixed order; what one connection wrote another one reads.
void verify(const Arguments& arguments) {
  Connections connections(arguments.uri, arguments.connections);
  std::mt19937_64 random;
  auto pieces = pieces_of(std::min(arguments.bytes, connections.size()), smallest_block,
                          largest_verified_block, random);
  std::ranges::shuffle(pieces, random);
  std::vector<std::vector<Piece>> dealt(connections.count());
  for (std::size_t i = 0; i < pieces.size(); ++i) dealt[i % dealt.size()].push_back(pieces[i]);

  const auto pass = [&](Command command) {
    connections.run({command, arguments.depth_of_one(), largest_verified_block, Generation::verify},
                    [&](std::size_t i) { return each_of(dealt[i]); });
  };
  pass(Command::write);
  connections.flush();
  std::ranges::rotate(dealt, dealt.begin() + 1);
  pass(Command::read);
  connections.close();
}

// --- measure

void report(Answers answers) {
  auto& latencies = answers.latencies_us;
  if (latencies.empty()) throw std::runtime_error("no request was answered");
  const auto requests = static_cast<double>(latencies.size());
  const double mean = std::accumulate(latencies.begin(), latencies.end(), 0.0) / requests;
  const auto p99 = latencies.begin() + static_cast<std::ptrdiff_t>(latencies.size() * 99 / 100);
  std::ranges::nth_element(latencies, p99);
  fmt::print(
      R"({{"requests": {}, "iops": {:.1f}, "mean_us": {:.2f}, "p99_us": {:.2f}, "client_cpu_us": {:.2f}}})"
      "\n",
      latencies.size(), requests / answers.until_last.count(), mean, *p99,
      answers.cpu_seconds * 1e6 / requests);
}

void measure(Command command, const Arguments& arguments) {
  Connections connections(arguments.uri, arguments.connections);
  const std::uint64_t size = connections.size();
  const std::uint64_t share = size / connections.count() / arguments.block * arguments.block;
  if (share == 0) throw std::runtime_error("the disk is too small for such blocks");
  const Seconds time(arguments.seconds);
  const Work work{command, arguments.depth_of_one(), arguments.block, std::nullopt};
  Answers answers = connections.run(work, [&](std::size_t i) {
    return arguments.sequential ? sequential_for(time, i * share, share, arguments.block)
                                : random_for(time, size, arguments.block, i);
  });
  connections.close();
  report(std::move(answers));
}

int run(int argc, char** argv) {
  CLI::App app("Loads one NBD export: over one connection or many, with TLS or without.");
  Arguments arguments;
  app.add_option("uri", arguments.uri, "as libnbd takes it")->required();
  app.require_subcommand(1);
  const auto add = [&](const char* name, const char* help, std::function<void()> act) {
    CLI::App* const verb = app.add_subcommand(name, help);
    verb->callback(std::move(act));
    return verb;
  };
  add("fill", "writes all of the disk", [&] { fill(arguments); });
  CLI::App* const check = add("verify", "writes mixed pieces, reads them back and compares",
                              [&] { verify(arguments); });
  check->add_option("--bytes", arguments.bytes, "at most so much of the disk");
  for (const auto& [name, command] :
       {std::pair("read", Command::read), std::pair("write", Command::write)}) {
    CLI::App* const verb = add(name, "for some seconds; prints what came of it as JSON",
                               [&, command] { measure(command, arguments); });
    verb->add_option("--block", arguments.block, "bytes of a request")
        ->check(CLI::Range(smallest_block, std::size_t{32} << 20U));
    verb->add_option("--seconds", arguments.seconds)->check(CLI::PositiveNumber);
    verb->add_flag("--sequential", arguments.sequential, "not at random");
  }
  for (CLI::App* const verb : app.get_subcommands({})) {
    verb->add_option("--depth", arguments.depth, "requests in flight, on all connections together");
    verb->add_option("--connections", arguments.connections)->check(CLI::Range(1, 64));
  }
  CLI11_PARSE(app, argc, argv);
  return 0;
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  try {
    return baton::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "nbd_load: {}\n", error.what());
    return 1;
  }
}
