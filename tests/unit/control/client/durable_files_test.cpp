// Goal: a file that others read is whole at any time, and what is private stays so.
#include "control/client/durable_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/folder_events.h"

namespace baton::control {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class DurableFiles : public testing::Test {
 protected:
  DurableFiles() {
    std::string name = (fs::temp_directory_path() / "baton-files-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~DurableFiles() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string content(const std::string& name) const {
    return read_if_there(path(name)).value_or("an error");
  }
  mode_t mode(const std::string& name) const {
    return static_cast<mode_t>(fs::status(path(name)).permissions());
  }

  std::string folder_;
};

TEST_F(DurableFiles, a_file_is_replaced_as_a_whole) {
  ASSERT_TRUE(replace_file(path("key"), "old", 0600));
  fs::create_hard_link(path("key"), path("open"));  // as somebody who reads it meanwhile has it
  FolderEvents events(folder_);
  ASSERT_TRUE(replace_file(path("key"), "new", 0600));
  EXPECT_THAT(events.take(".new"), testing::ElementsAre("replaced key"));
  EXPECT_EQ(content("key"), "new");
  EXPECT_EQ(content("open"), "old");
  EXPECT_FALSE(fs::exists(path("key.new")));
}

TEST_F(DurableFiles, its_mode_is_as_asked_whatever_the_umask_and_what_was_there) {
  const mode_t before = ::umask(0077);
  EXPECT_TRUE(replace_file(path("cert"), "1", 0644));
  ::umask(0);
  EXPECT_TRUE(replace_file(path("key"), "1", 0600));
  EXPECT_TRUE(replace_file(path("cert"), "2", 0600));
  ::umask(before);
  EXPECT_EQ(mode("key"), 0600U);
  EXPECT_EQ(mode("cert"), 0600U);
  EXPECT_TRUE(replace_file(path("cert"), "3", 0644));
  EXPECT_EQ(mode("cert"), 0644U);
}

TEST_F(DurableFiles, what_a_killed_one_left_is_not_in_the_way) {
  std::ofstream(path("key.new")) << "a half that is longer than the whole";
  fs::permissions(path("key.new"), fs::perms(0666));
  ASSERT_TRUE(replace_file(path("key"), "whole", 0600));
  EXPECT_EQ(content("key"), "whole");
  EXPECT_EQ(mode("key"), 0600U);
}

TEST_F(DurableFiles, one_that_cannot_be_written_is_named_and_the_old_one_stays) {
  const auto lost = replace_file(path("no/key"), "1", 0600);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().message, path("no/key") + " cannot be written: No such file or directory");
  fs::create_directory(path("folder"));
  const auto folder = replace_file(path("folder"), "1", 0600);
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("Is a directory"));
  EXPECT_FALSE(fs::exists(path("folder.new")));
}

TEST_F(DurableFiles, a_file_that_is_missing_is_no_error_and_one_that_cannot_be_read_is) {
  const auto missing = read_if_there(path("key"));
  ASSERT_TRUE(missing);
  EXPECT_EQ(*missing, "");
  const auto folder = read_if_there(folder_);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().message, folder_ + " cannot be read: Is a directory");
  const std::string large(2U << 20U, 'x');
  ASSERT_TRUE(replace_file(path("large"), large, 0600));
  EXPECT_FALSE(read_if_there(path("large")));
  ASSERT_TRUE(replace_file(path("some"), large.substr(0, 100'000), 0600));
  EXPECT_EQ(content("some"), large.substr(0, 100'000));
}

TEST_F(DurableFiles, a_folder_is_made_for_its_owner_alone_and_one_that_is_there_is_kept) {
  ASSERT_TRUE(make_folder(path("a/b")));
  EXPECT_EQ(mode("a/b"), 0700U);
  fs::permissions(path("a/b"), fs::perms(0750));
  ASSERT_TRUE(make_folder(path("a/b")));
  EXPECT_EQ(mode("a/b"), 0750U);
  ASSERT_TRUE(replace_file(path("file"), "", 0600));
  const auto refused = make_folder(path("file"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, path("file") + " cannot be made: File exists");
}

TEST_F(DurableFiles, a_folder_is_locked_by_one_at_a_time) {
  {
    const auto first = lock_folder(folder_, "another tls-init");
    ASSERT_TRUE(first) << first.error().message;
    const auto second = lock_folder(folder_, "another tls-init");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().message,
              "another tls-init works in " + folder_ + ": wait until it has ended");
  }
  EXPECT_TRUE(lock_folder(folder_, "another tls-init"));
}

}  // namespace
}  // namespace baton::control
