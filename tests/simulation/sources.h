// What the product's sources say, for tests that compare a list with them.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace baton::sim {

// The string literals that `function` is called with, sorted, each as often as it is there.
inline std::vector<std::string> calls_in_the_sources(const std::string& function) {
  const std::regex place("\\b" + function + "\\(\"([^\"]*)\"\\)");
  std::vector<std::string> names;
  for (const char* folder : {"base", "blockdev", "nbd_server", "replication", "control"}) {
    const auto root = std::filesystem::path(BATON_SOURCE_DIR) / folder;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (entry.path().extension() != ".cpp" && entry.path().extension() != ".h") continue;
      // Their examples.
      if (entry.path().filename() == "mutant.h" || entry.path().filename() == "mark.h") continue;
      std::stringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      const std::string source = text.str();
      for (auto at = std::sregex_iterator(source.begin(), source.end(), place);
           at != std::sregex_iterator(); ++at) {
        names.push_back((*at)[1]);
      }
    }
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace baton::sim
