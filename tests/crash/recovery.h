// Two hosts come back after a crash: their files are made, production code opens them, the engines
// settle, and what is then there is held against what the client was told.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "tests/crash/crash_image.h"
#include "tests/crash/expectation.h"

namespace baton::crash {

// One crash: at a point, each host with its fate.
struct Case {
  std::uint64_t point = 0;
  std::array<Fate, node_count> fate{};
  std::array<Keep, node_count> keep{};
  std::uint64_t number = 0;  // of the random stream

  friend bool operator==(const Case&, const Case&) = default;
};

// Words that `parse_case` reads: "812:power-cut/torn:killed/subset:3".
std::string to_text(const Case& crash);
std::optional<Case> parse_case(const std::string& text);

using HostImages = std::array<HostImage, node_count>;
HostImages images_of(const Recording& recording, const Case& crash);

struct Finding {
  std::string rule;  // which of the promises
  std::string what;  // one sentence
  std::vector<std::string> journal;
};

// Nothing: everything is as it must be.
std::optional<Finding> recover(FileBay& bay, const Recording& recording, const Case& crash,
                               const HostImages& images);

}  // namespace baton::crash
