// A folder that is there as long as the test.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <stdexcept>
#include <string>

namespace baton::test {

class TemporaryFolder {
 public:
  TemporaryFolder() : path_(testing::TempDir() + "/baton_XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no folder for a test");
  }
  ~TemporaryFolder() {
    std::error_code ignored;  // what is left lies among the temporary files of this host
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace baton::test
