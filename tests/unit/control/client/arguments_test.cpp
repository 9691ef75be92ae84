// Goal: the command line of design §8: global options anywhere, verbs with their own options.
#include "control/client/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace baton::control {
namespace {

using testing::HasSubstr;

Result<Arguments> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "batonctl");
  return parse_arguments(static_cast<int>(words.size()), words.data());
}

std::string usage_error(std::vector<const char*> words) {
  const auto arguments = parse(std::move(words));
  EXPECT_FALSE(arguments);
  if (arguments) return {};
  EXPECT_EQ(arguments.error().exit_code, ExitCode::usage);
  return arguments.error().message;
}

TEST(Arguments, have_the_defaults_of_the_design) {
  const auto arguments = parse({"status"});
  ASSERT_TRUE(arguments) << arguments.error().message;
  EXPECT_EQ(arguments->verb, "status");
  EXPECT_EQ(arguments->configuration, "/etc/baton");
  EXPECT_EQ(arguments->run_directory, "/run/baton");
  EXPECT_EQ(arguments->node, host_name());
  EXPECT_FALSE(arguments->json);
  EXPECT_EQ(arguments->resource, "");
  EXPECT_FALSE(arguments->options.timeout_seconds);
}

TEST(Arguments, global_options_stand_before_or_after_the_verb) {
  for (const auto& words : std::vector<std::vector<const char*>>{
           {"--config", "c", "--node", "n", "--run-dir", "r", "--json", "status", "vm1"},
           {"status", "vm1", "--config", "c", "--node", "n", "--run-dir", "r", "--json"},
           {"--node", "n", "status", "--json", "vm1", "--run-dir=r", "--config=c"}}) {
    const auto arguments = parse(words);
    ASSERT_TRUE(arguments) << arguments.error().message;
    EXPECT_EQ(arguments->configuration, "c");
    EXPECT_EQ(arguments->node, "n");
    EXPECT_EQ(arguments->run_directory, "r");
    EXPECT_TRUE(arguments->json);
    EXPECT_EQ(arguments->resource, "vm1");
  }
}

TEST(Arguments, every_verb_of_the_design_is_known) {
  const std::vector<std::string> all{"create-md",
                                     "up",
                                     "down",
                                     "primary",
                                     "secondary",
                                     "connect",
                                     "disconnect",
                                     "attach",
                                     "detach",
                                     "invalidate",
                                     "invalidate-remote",
                                     "verify",
                                     "pause-sync",
                                     "resume-sync",
                                     "wait-connect",
                                     "wait-sync",
                                     "resize",
                                     "adjust",
                                     "status",
                                     "events",
                                     "dump-md",
                                     "new-current-uuid",
                                     "handover",
                                     "migrate",
                                     "resolve",
                                     "resume-io",
                                     "outdate",
                                     "undo-list",
                                     "undo-read",
                                     "undo-export",
                                     "tls-init"};
  EXPECT_EQ(verbs().size(), all.size());
  for (const std::string& name : all) {
    std::vector<const char*> words{name.c_str(), "vm1"};
    if (name == "resolve") words.insert(words.end(), {"--keep", "alpha"});
    if (name.starts_with("undo-") && name != "undo-list") {
      words.insert(words.end(), {"--file", "f"});
    }
    if (name == "undo-read") words.insert(words.end(), {"--offset", "0", "--length", "1"});
    if (name == "undo-export") words.insert(words.end(), {"--out", "o"});
    if (name == "tls-init") words = {name.c_str(), "--dir", "d"};
    const auto arguments = parse(words);
    ASSERT_TRUE(arguments) << name << ": " << arguments.error().message;
    EXPECT_EQ(arguments->verb, name);
    EXPECT_EQ(arguments->resource, name == "tls-init" ? "" : "vm1");
  }
}

TEST(Arguments, verbs_have_their_options) {
  EXPECT_TRUE(parse({"create-md", "vm1", "--force"})->options.force);
  const auto primary = parse({"primary", "--force", "--yes", "vm1"});
  ASSERT_TRUE(primary);
  EXPECT_TRUE(primary->options.force);
  EXPECT_TRUE(primary->options.confirmed);
  EXPECT_TRUE(parse({"secondary", "vm1", "--force"})->options.force);
  EXPECT_TRUE(parse({"connect", "vm1", "--discard-my-data"})->options.discard_my_data);
  EXPECT_EQ(parse({"wait-sync", "vm1", "--timeout", "30"})->options.timeout_seconds, 30U);
  EXPECT_EQ(parse({"handover", "vm1", "--to", "beta"})->options.to, "beta");
  const auto allow = parse({"handover", "vm1", "--allow", "--timeout", "600"});
  ASSERT_TRUE(allow);
  EXPECT_TRUE(allow->options.allow);
  EXPECT_EQ(allow->options.timeout_seconds, 600U);
  const auto verify = parse({"verify", "vm1", "--repair", "--from-start"});
  ASSERT_TRUE(verify);
  EXPECT_TRUE(verify->options.repair && verify->options.from_start && !verify->options.stop);
  EXPECT_TRUE(parse({"verify", "vm1", "--stop"})->options.stop);
  EXPECT_EQ(parse({"migrate", "vm1", "--uri", "tcp:h:1"})->options.uri, "tcp:h:1");
  EXPECT_TRUE(parse({"connect", "vm1", "--discard-my-data", "--no-undo"})->options.no_undo);
  const auto undo = parse({"undo-read", "--file", "f", "--offset", "4096", "--length", "512"});
  ASSERT_TRUE(undo);
  EXPECT_EQ(undo->undo.file, "f");
  EXPECT_EQ(undo->undo.offset, 4096U);
  EXPECT_EQ(undo->undo.length, 512U);
  EXPECT_EQ(parse({"undo-export", "--file", "f", "--out", "o"})->undo.out, "o");
}

TEST(Arguments, of_tls_init) {
  const auto plain = parse({"tls-init", "--dir", "d"});
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->tls.folder, "d");
  EXPECT_THAT(plain->tls.clients, testing::ElementsAre());
  EXPECT_EQ(plain->tls.days, 3650);
  EXPECT_FALSE(plain->tls.renew);
  const auto all = parse({"tls-init", "--dir", "d", "--client", "gamma", "--days", "36500",
                          "--client", "delta", "--renew"});
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_THAT(all->tls.clients, testing::ElementsAre("gamma", "delta"));
  EXPECT_EQ(all->tls.days, 36500);
  EXPECT_TRUE(all->tls.renew);
}

TEST(Arguments, wrong_usage_is_exit_code_2_and_says_what_was_meant) {
  EXPECT_EQ(usage_error({"statsu"}), "unknown verb \"statsu\": did you mean \"status\"?");
  EXPECT_EQ(usage_error({"--json", "primry", "vm1"}),
            "unknown verb \"primry\": did you mean \"primary\"?");
  EXPECT_THAT(usage_error({}), HasSubstr("--help"));
  EXPECT_THAT(usage_error({"up"}), HasSubstr("resource"));
  EXPECT_THAT(usage_error({"status", "a", "b"}), HasSubstr("b"));
  EXPECT_THAT(usage_error({"status", "--force"}), HasSubstr("--force"));
  EXPECT_THAT(usage_error({"wait-sync", "vm1", "--timeout", "soon"}), HasSubstr("soon"));
  EXPECT_THAT(usage_error({"handover", "vm1", "--allow", "--deny"}), HasSubstr("--deny"));
  EXPECT_THAT(usage_error({"verify", "vm1", "--stop", "--repair"}), HasSubstr("--repair"));
  EXPECT_THAT(usage_error({"resolve", "vm1"}), HasSubstr("--keep"));
  EXPECT_THAT(usage_error({"connect", "vm1", "--no-undo"}), HasSubstr("--discard-my-data"));
  EXPECT_THAT(usage_error({"undo-read", "--file", "f"}), HasSubstr("--offset"));
  EXPECT_THAT(usage_error({"tls-init"}), HasSubstr("--dir"));
  EXPECT_THAT(usage_error({"tls-init", "--dir", "d", "vm1"}), HasSubstr("vm1"));
  EXPECT_THAT(usage_error({"tls-init", "--dir", "d", "--client", "a", "beta"}), HasSubstr("beta"));
  EXPECT_THAT(usage_error({"tls-init", "--dir", "d", "--days", "0"}), HasSubstr("--days"));
  EXPECT_THAT(usage_error({"tls-init", "--dir", "d", "--days", "36501"}), HasSubstr("--days"));
  EXPECT_THAT(usage_error({"--config"}), HasSubstr("--config"));
}

TEST(Arguments, help_is_no_error) {
  const auto all = parse({"--help"});
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().exit_code, ExitCode::done);
  EXPECT_THAT(all.error().message, HasSubstr("wait-connect"));
  const auto one = parse({"primary", "--help"});
  ASSERT_FALSE(one);
  EXPECT_EQ(one.error().exit_code, ExitCode::done);
  EXPECT_THAT(one.error().message, HasSubstr("--yes"));
  EXPECT_THAT(one.error().message, HasSubstr("batonctl primary"));
}

}  // namespace
}  // namespace baton::control
