#include "control/client/arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <sstream>
#include <vector>

#include "control/nearest.h"

namespace baton::control {
namespace {

constexpr std::array<VerbInfo, 31> all_verbs{{
    {"create-md", VerbPlace::here, false, "make metadata, and the disk where it is missing"},
    {"up", VerbPlace::daemon, false, "attach the disks, connect, open the exports"},
    {"down", VerbPlace::daemon, false, "stop cleanly"},
    {"primary", VerbPlace::daemon, false, "take the right to write"},
    {"secondary", VerbPlace::daemon, false, "give the right to write up"},
    {"connect", VerbPlace::daemon, false, "connect to the peer"},
    {"disconnect", VerbPlace::daemon, false, "disconnect from the peer and stay so"},
    {"attach", VerbPlace::daemon, false, "take the disks into use again"},
    {"detach", VerbPlace::daemon, false, "put the disks out of use"},
    {"invalidate", VerbPlace::daemon, false, "give up this node's copy: it is fetched anew"},
    {"invalidate-remote", VerbPlace::daemon, false,
     "give up the peer's copy: it is fetched anew from here"},
    {"verify", VerbPlace::daemon, false, "compare the copies while they are in use"},
    {"pause-sync", VerbPlace::daemon, false, "hold resynchronisation, from this node"},
    {"resume-sync", VerbPlace::daemon, false, "end pause-sync of this node"},
    {"wait-connect", VerbPlace::daemon, false, "wait until the peer is connected"},
    {"wait-sync", VerbPlace::daemon, false, "wait until every copy is UpToDate"},
    {"resize", VerbPlace::later, false, "take a new size of the disks into use"},
    {"adjust", VerbPlace::later, false, "take a changed configuration into use"},
    {"status", VerbPlace::daemon, true, "show roles, disks and connections"},
    {"events", VerbPlace::daemon, true, "show every change until stopped"},
    {"dump-md", VerbPlace::here, false, "print the metadata"},
    {"new-current-uuid", VerbPlace::later, false, "begin a new data generation"},
    {"handover", VerbPlace::daemon, false, "move the right to write between connected nodes"},
    {"migrate", VerbPlace::daemon, false, "live-migrate the guest and the right to write"},
    {"resolve", VerbPlace::daemon, false, "choose whose data stays after split brain"},
    {"resume-io", VerbPlace::daemon, false, "go on without a lost peer (on-peer-lost = suspend)"},
    {"outdate", VerbPlace::daemon, false, "this copy counts as Outdated (for fence-peer handlers)"},
    {"undo-list", VerbPlace::here, false, "list what was kept of copies that yielded"},
    {"undo-read", VerbPlace::here, true, "print bytes that were kept"},
    {"undo-export", VerbPlace::here, true, "write what was kept into a sparse image"},
    {"tls-init", VerbPlace::here, true, "make a private CA and certificates for the nodes", false},
}};

void add_tls_options(CLI::App& verb, TlsArguments& tls) {
  verb.add_option("--dir", tls.folder, "where the CA is, or is made, and the folders are made")
      ->type_name("DIR")
      ->required();
  verb.add_option("--client", tls.clients,
                  "also a folder for this client, which is no node; may be given more than once")
      ->type_name("NAME")
      ->allow_extra_args(false);
  verb.add_option("--days", tls.days,
                  "how long certificates of nodes and clients are valid; never longer than the CA, "
                  "which is made for 3650")
      ->type_name("N")
      ->check(CLI::Range(1, 36500))
      ->capture_default_str();
  verb.add_flag("--renew", tls.renew,
                "make all certificates of nodes and of the clients named anew, with the same CA");
  verb.footer(
      "Reads the names and addresses of all nodes from the configuration and makes, for each, a\n"
      "folder DIR/NODE to copy to that node. What is there is kept: repeat this when there is a "
      "new\n"
      "node. DIR/ca-key.pem is the key of the CA; no node needs it. docs/tls.md.");
}

void add_verb_options(CLI::App& verb, Arguments& arguments) {
  const std::string name = verb.get_name();
  VerbOptions& options = arguments.options;
  const auto is = [&name](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (is({"create-md"})) {
    verb.add_flag("--force", options.force, "replace existing metadata");
    verb.add_flag("--overwrite-end", arguments.overwrite_end,
                  "also where the disk holds data in the place of its internal metadata");
    verb.footer(
        "A disk that holds data is adopted as it is. The metadata lies in DISK.baton, or where "
        "meta\n"
        "in the configuration says: in a file or device of its own, or, with \"internal\", at the "
        "end\n"
        "of the disk. Data there is overwritten with --overwrite-end alone: shrink what is on the\n"
        "disk first, a filesystem for one.");
  }
  if (is({"down"})) verb.add_flag("--force", options.force, "end attached clients first");
  if (is({"primary"})) {
    verb.add_flag("--force", options.force, "also on a copy that is not known to be UpToDate");
    verb.add_flag("--yes", options.confirmed, "accept the risk without being asked");
  }
  if (is({"secondary"})) {
    verb.add_flag("--force", options.force, "even if a client wrote after its last flush");
  }
  if (is({"connect"})) {
    auto* discard =
        verb.add_flag("--discard-my-data", options.discard_my_data, "this node's copy yields");
    verb.add_flag("--no-undo", options.no_undo, "keep no copy of what is overwritten")
        ->needs(discard);
  }
  if (is({"wait-connect", "wait-sync"})) {
    verb.add_option("--timeout", options.timeout_seconds, "seconds")->type_name("SECONDS");
  }
  CLI::Option* to = nullptr;
  if (is({"handover", "migrate"})) {
    to = verb.add_option("--to", options.to, "the node that takes over")->type_name("NODE");
  }
  if (is({"handover"})) {
    auto* allow =
        verb.add_flag("--allow", options.allow, "let the first write here take over")->excludes(to);
    verb.add_option("--timeout", options.timeout_seconds,
                    "of --allow: it ends by itself (default: 600)")
        ->type_name("SECONDS")
        ->check(CLI::Range(1U, 604800U))
        ->needs(allow);
    auto* deny = verb.add_flag("--deny", options.deny, "end --allow, on whichever node it was said")
                     ->excludes(allow)
                     ->excludes(to);
    verb.add_option("--guest", options.guest,
                    "what the guest here does, from whoever watches it: running ends an --allow "
                    "of the other node")
        ->check(CLI::IsMember({"stopped", "running"}))
        ->excludes(allow)
        ->excludes(deny)
        ->excludes(to);
    verb.footer(
        "Without --allow at once: on the node that has the baton it gives it, on the other it "
        "takes "
        "it.\n--allow is for a guest that somebody else migrates here (virsh migrate --live): its "
        "first write\nis held until the guest on the other node is gone, or silent after its last "
        "flush; if that one\ngoes on, this one gets ENOSPC, which pauses it. "
        "docs/handover.md.");
  }
  if (is({"migrate"})) {
    verb.add_flag("--dry-run", options.dry_run, "check everything and change nothing");
    verb.add_flag("--postcopy", options.postcopy,
                  "let the guest run on the destination once its memory was copied once, and fetch "
                  "what has changed since: for a guest that writes to its memory faster than the "
                  "network copies it. If a host or the network fails meanwhile, the guest is lost "
                  "(its disk is not)");
    verb.add_option(
            "--uri", options.uri,
            "where the destination's QEMU listens for the guest's memory: tcp:HOST:PORT, or "
            "unix:PATH where both nodes are on one host (default: the destination's "
            "replication address, at a port that its QEMU chooses)")
        ->type_name("URI");
    verb.footer(
        "Before it: on the destination a QEMU like the one that runs, started with -incoming "
        "defer;\n"
        "on both nodes qmp = \"PATH\" in the configuration, the socket of that QEMU's own\n"
        "-qmp unix:PATH,server=on,wait=off. Either node's batond may be asked. Ctrl-C cancels "
        "while\n"
        "that is possible; whatever fails, exactly one guest goes on and no write is lost.");
  }
  if (is({"verify"})) {
    auto* repair = verb.add_flag("--repair", options.repair,
                                 "copy what differs from the node that holds the baton");
    auto* from_start = verb.add_flag("--from-start", options.from_start,
                                     "do not go on where the last one was cut off");
    verb.add_flag("--stop", options.stop, "end the one that is on")
        ->excludes(repair)
        ->excludes(from_start);
    verb.footer(
        "Either node's batond may be asked. Exit status 0: nothing differs, or all of it was "
        "repaired;\n1: something differs, and stderr says where. Ctrl-C leaves it running.");
  }
  if (is({"resolve"})) {
    verb.add_option("--keep", options.keep, "whose data stays")->type_name("NODE")->required();
    verb.add_flag("--no-undo", options.no_undo, "keep no copy of what is overwritten");
    verb.footer(
        "What the other node has alone is overwritten. Before that it is kept there, in\n"
        "DISK.baton.undo-GENERATION: undo-list, undo-read and undo-export show it.");
  }
  if (is({"undo-read", "undo-export"})) {
    verb.add_option("--file", arguments.undo.file, "as undo-list prints it")
        ->type_name("FILE")
        ->required();
  }
  if (is({"undo-read"})) {
    verb.add_option("--offset", arguments.undo.offset, "of the volume, in bytes")->required();
    verb.add_option("--length", arguments.undo.length, "bytes")->required();
  }
  if (is({"undo-export"})) {
    verb.add_option("--out", arguments.undo.out, "the image to make, as large as the volume")
        ->type_name("FILE")
        ->required();
  }
  if (is({"tls-init"})) add_tls_options(verb, arguments.tls);
}

void add_global_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--config", arguments.configuration, "file, or directory of *.toml files")
      ->capture_default_str();
  app.add_option("--node", arguments.node, "this node's name")->capture_default_str();
  app.add_option("--run-dir", arguments.run_directory, "where batond's control socket is")
      ->capture_default_str();
  app.add_flag("--json", arguments.json, "print JSON");
}

// CLI11 says "not expected" of a verb it does not know; a person wants to know which was meant.
std::string explain(const CLI::ParseError& error, const CLI::App& app) {
  if (!app.get_subcommands().empty()) return error.what();
  const std::vector<std::string> left = app.remaining();
  const auto word = std::find_if(left.begin(), left.end(),
                                 [](const std::string& each) { return !each.starts_with('-'); });
  if (word == left.end()) return fmt::format("{}; batonctl --help lists the verbs", error.what());
  std::array<std::string_view, all_verbs.size()> names;
  std::ranges::transform(all_verbs, names.begin(), &VerbInfo::name);
  return fmt::format("unknown verb \"{}\": {}", *word, suggestion(*word, names, "verb"));
}

}  // namespace

std::span<const VerbInfo> verbs() {
  return all_verbs;
}

const VerbInfo* find_verb(std::string_view name) {
  const auto found = std::find_if(all_verbs.begin(), all_verbs.end(),
                                  [&](const VerbInfo& verb) { return verb.name == name; });
  return found == all_verbs.end() ? nullptr : &*found;
}

Result<Arguments> parse_arguments(int count, const char* const* values) {
  Arguments arguments;
  CLI::App app("batonctl: drives batond, the keeper of replicated disks", "batonctl");
  app.fallthrough();  // global options may follow the verb
  app.require_subcommand(1);
  add_global_options(app, arguments);
  for (const VerbInfo& info : all_verbs) {
    CLI::App* verb = app.add_subcommand(std::string(info.name), std::string(info.help));
    if (info.takes_resource) {
      auto* resource = verb->add_option("resource", arguments.resource, "the resource's name");
      resource->type_name("RESOURCE");
      if (!info.resource_optional) resource->required();
    }
    add_verb_options(*verb, arguments);
  }
  try {
    app.parse(count, values);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    return failure(chosen.empty() ? app.help() : chosen.front()->help("batonctl"), ExitCode::done);
  } catch (const CLI::ParseError& error) {
    return failure(explain(error, app), ExitCode::usage);
  }
  arguments.verb = app.get_subcommands().front()->get_name();
  return arguments;
}

}  // namespace baton::control
