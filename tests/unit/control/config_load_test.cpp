// Goal: FILE and DIR are found, relative paths begin at the file, secrets are read where they sit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "control/config.h"

namespace baton::control {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ConfigLoad : public testing::Test {
 protected:
  ConfigLoad() {
    std::string name = (fs::temp_directory_path() / "baton-config-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder_ = fs::canonical(name);
  }
  ~ConfigLoad() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  std::string resource(const std::string& name) {
    return write(name + ".toml", "[resource]\nname = \"" + name +
                                     "\"\nsecret-file = \"key\"\n[[volume]]\n[node.solo]\n"
                                     "disks = [\"" +
                                     name + ".img\"]\n");
  }
  fs::path folder_;
};

TEST_F(ConfigLoad, a_file_is_one_resource_and_its_paths_begin_there) {
  const auto configuration = load_configuration(resource("vm1"));
  ASSERT_TRUE(configuration) << configuration.error().message;
  ASSERT_EQ(configuration->resources.size(), 1U);
  EXPECT_FALSE(configuration->directory);
  EXPECT_EQ(configuration->resources[0].nodes[0].disks[0], (folder_ / "vm1.img").string());
  EXPECT_NE(configuration->find("vm1"), nullptr);
  EXPECT_EQ(configuration->find("vm2"), nullptr);
}

TEST_F(ConfigLoad, a_directory_is_every_toml_file_in_it) {
  resource("vm2");
  resource("vm1");
  write("notes.txt", "not TOML");
  const auto configuration = load_configuration(folder_.string());
  ASSERT_TRUE(configuration) << configuration.error().message;
  EXPECT_TRUE(configuration->directory);
  ASSERT_EQ(configuration->resources.size(), 2U);
  EXPECT_EQ(configuration->resources[0].name, "vm1");
}

TEST_F(ConfigLoad, an_empty_directory_is_no_error) {
  const auto configuration = load_configuration(folder_.string());
  ASSERT_TRUE(configuration);
  EXPECT_TRUE(configuration->resources.empty());
}

TEST_F(ConfigLoad, two_files_are_checked_together) {
  resource("vm1");
  write("other.toml",
        "[resource]\nname = \"vm2\"\n[[volume]]\n[node.solo]\ndisks = [\"vm1.img\"]\n");
  const auto configuration = load_configuration(folder_.string());
  ASSERT_FALSE(configuration);
  EXPECT_EQ(configuration.error().exit_code, ExitCode::configuration);
  EXPECT_THAT(configuration.error().message, HasSubstr("vm1.toml:5: node solo uses "));
}

TEST_F(ConfigLoad, what_is_missing_is_named) {
  const auto configuration = load_configuration((folder_ / "none").string());
  ASSERT_FALSE(configuration);
  EXPECT_EQ(configuration.error().exit_code, ExitCode::configuration);
  EXPECT_THAT(configuration.error().message, HasSubstr("none: there is no such file"));
}

TEST_F(ConfigLoad, the_secret_file_is_read_without_its_last_newline) {
  const auto configuration = load_configuration(resource("vm1"));
  ASSERT_TRUE(configuration);
  EXPECT_FALSE(read_secret(configuration->resources[0])) << "the file is missing";
  write("key", "two words\n");
  const auto secret = read_secret(configuration->resources[0]);
  ASSERT_TRUE(secret) << secret.error().message;
  EXPECT_EQ(*secret, "two words");
  write("key", "\n");
  EXPECT_THAT(read_secret(configuration->resources[0]).error().message, HasSubstr("is empty"));
}

}  // namespace
}  // namespace baton::control
