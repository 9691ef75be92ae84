// Goal: somebody who loads certificates while they are renewed finds whole files, a new key before
// its certificate, and a CA that he knows.
#include "control/client/certificate_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/folder_events.h"

namespace baton::control {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

constexpr std::int64_t now = 1'800'000'000;

class CertificateFolder : public testing::Test {
 protected:
  CertificateFolder() {
    std::string name = (fs::temp_directory_path() / "baton-certs-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    order_ = {.folder = name,
              .now = now,
              .validity = {.from = now - 3600, .until = now + 86400},
              .renew = false};
  }
  ~CertificateFolder() override { fs::remove_all(order_.folder); }

  CertificateAuthority ca() {
    auto opened = open_ca(order_);
    if (!opened) throw opened.error();
    return std::move(opened->authority);
  }

  CertificateOrder order_;
  Party alpha_{.name = "alpha", .node = true, .addresses = {"10.0.0.1"}};
};

TEST_F(CertificateFolder, a_key_comes_before_its_certificate) {
  {
    FolderEvents events(order_.folder);
    ca();
    EXPECT_THAT(events.take(".new"), ElementsAre("replaced ca-key.pem", "replaced ca-cert.pem"));
  }
  fs::create_directory(order_.folder + "/alpha");
  FolderEvents events(order_.folder + "/alpha");
  ASSERT_TRUE(provide(order_, ca(), alpha_));
  EXPECT_THAT(
      events.take(".new"),
      ElementsAre("replaced ca-cert.pem", "replaced server-key.pem", "replaced server-cert.pem",
                  "replaced client-key.pem", "replaced client-cert.pem"));
  order_.renew = true;
  ASSERT_TRUE(provide(order_, ca(), alpha_));
  EXPECT_THAT(events.take(".new"),
              ElementsAre("replaced server-key.pem", "replaced server-cert.pem",
                          "replaced client-key.pem", "replaced client-cert.pem"));
}

TEST_F(CertificateFolder, what_was_made_is_told_and_what_is_there_is_not_touched) {
  const auto made = provide(order_, ca(), alpha_);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(made->made);
  EXPECT_EQ(made->until, now + 86400);
  FolderEvents events(order_.folder + "/alpha");
  const auto kept = provide(order_, ca(), alpha_);
  ASSERT_TRUE(kept);
  EXPECT_FALSE(kept->made);
  EXPECT_FALSE(kept->until);
  EXPECT_THAT(events.take(".new"), ElementsAre());
}

TEST_F(CertificateFolder, the_ca_lasts_ten_years) {
  EXPECT_EQ(ca().until(), now + 3650 * std::int64_t{86400});
}

}  // namespace
}  // namespace baton::control
