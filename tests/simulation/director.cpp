#include "tests/simulation/director.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace baton::sim {

using replication::PromoteOptions;
using replication::Resource;
using replication::Role;

namespace {

// A word that nobody has heard, or about a split brain that there is not, is none.
Task<Result<>> resolve_or_take_back(Task<Result<>> verb, Rules& rules, int yields) {
  Result<> done = co_await std::move(verb);
  const auto says = [&](const char* words) {
    return !done && done.error().message.find(words) != std::string::npos;
  };
  if (says("has no split brain") || says("is not connected to")) rules.takes_back(yields);
  co_return done;
}

Task<Result<>> say(Resource& resource, replication::GuestWord word) {
  resource.guest_is(word);
  co_return Result<>{};
}

Node::MakeVerb verb_of(const Step& step, const std::string& peer) {
  const bool force = step.has_word("force");
  switch (step.what) {
    case Do::promote:
      return [force](Resource& r) { return r.promote(PromoteOptions{force, force}); };
    case Do::demote:
      return [force](Resource& r) { return r.demote(force); };
    case Do::handover:
      return [peer](Resource& r) { return r.handover(peer); };
    case Do::connect:
      return [discard = step.has_word("discard"), undo = !step.has_word("no-undo")](Resource& r) {
        return r.connect(discard, undo);
      };
    case Do::disconnect:
      return [](Resource& r) { return r.disconnect(); };
    case Do::attach:
      return [](Resource& r) { return r.attach(); };
    case Do::detach:
      return [](Resource& r) { return r.detach(); };
    case Do::resolve:
      return [keep = step.has_word("own") ? node_name(step.node) : peer,
              undo = !step.has_word("no-undo")](Resource& r) { return r.resolve(keep, undo); };
    case Do::resume_io:
      return [](Resource& r) { return r.resume_io(); };
    case Do::outdate:
      return [](Resource& r) { return r.outdate(); };
    case Do::offer:
      return [](Resource& r) { return r.offer(); };
    case Do::grant:
      return [](Resource& r) { return r.grant_offered(); };
    case Do::allow:
      return [time = std::chrono::seconds(step.number("seconds", 600))](Resource& r) {
        return r.allow_first_write(time);
      };
    case Do::deny:
      return [](Resource& r) { return r.deny_first_write(); };
    case Do::guest:
      return [word = step.has_word("stopped")
                         ? replication::GuestWord::stopped
                         : replication::GuestWord::running](Resource& r) { return say(r, word); };
    case Do::verify:
      return [options = replication::VerifyOptions{.repair = step.has_word("repair"),
                                                   .from_start = step.has_word("from-start"),
                                                   .stop = step.has_word("stop")}](Resource& r) {
        return r.verify(options);
      };
    case Do::invalidate_remote:
      return [](Resource& r) { return r.invalidate_remote(); };
    case Do::pause_sync:
      return [](Resource& r) { return r.pause_sync(); };
    case Do::resume_sync:
      return [](Resource& r) { return r.resume_sync(); };
    case Do::withdraw:
      return [](Resource& r) { return r.withdraw_offer(); };
    default:
      return [](Resource& r) { return r.invalidate(); };
  }
}

// The operators' ones come first.
bool is_verb(Do what) {
  return what <= Do::guest;
}

bool waits(const Step& step) {
  switch (step.what) {
    case Do::stop:
    case Do::wait_sync:
    case Do::wait_connected:
    case Do::wait_split_brain:
    case Do::wait_idle:
    case Do::wait_still:
    case Do::get_well:
      return true;
    case Do::promote:
      return !step.background || step.has_word("force");
    case Do::burst:
    case Do::write:
    case Do::read:
    case Do::flush:
      return !step.background;
    default:
      return is_verb(step.what) && !step.background;
  }
}

}  // namespace

Director::Strike::Strike(Director& owner, const Step& what)
    : director(owner),
      step(what),
      timer(
          [](Timer& fired) {
            Strike& self = *static_cast<Strike*>(fired.context());
            self.director.cluster_.world().at_step(0, [&self] { self.director.strike_now(self); });
          },
          this) {}

void Director::strike_or_wait(Strike& strike) {
  if (strike.step.after.count() == 0) return strike_now(strike);
  cluster_.world().arm_after(strike.timer, strike.step.after);
}

void Director::strike_now(const Strike& strike) {
  if (strikes_over_) return;
  cluster_.world().trace().say(-1, "strike: " + to_text(strike.step));
  carry_out(strike.step);
}

void Director::play(const Script& script) {
  World& world = cluster_.world();
  marked_at_ = world.steps();
  for (const Step& step : script) {
    if (!step.strikes_at) continue;
    if (waits(step)) throw std::invalid_argument("waits, and cannot strike: " + to_text(step));
    stated_ = false;
    Strike& strike = strikes_.emplace_back(*this, step);
    world.at_step(*step.strikes_at, [this, &strike] { strike_or_wait(strike); });
  }
  for (const Step& step : script) {
    if (step.strikes_at) continue;
    world.run_for(step.after);
    world.run_steps(step.after_steps);
    if (world.violation()) return;
    world.trace().say(-1, "step: " + to_text(step));
    carry_out(step);
    if (world.violation()) return;
  }
}

void Director::carry_out(const Step& step) {
  if (is_verb(step.what)) return operate(step);
  switch (step.what) {
    case Do::stop:
      return stop_cleanly(step.node, step);
    case Do::start:
      return cluster_.node(step.node).start();
    case Do::burst:
      return start_burst(step);
    case Do::write:
    case Do::read:
    case Do::flush:
      return submit_one(step);
    case Do::stop_clients:
      for (auto& client : cluster_.clients()) {
        if (client->node().number() == step.node) client->stop();
      }
      return;
    case Do::drop_clients:
      for (auto& client : cluster_.clients()) {
        if (client->node().number() == step.node) client->drop_connection();
      }
      return;
    case Do::is:
      return state(step);
    case Do::wait_sync:
    case Do::wait_connected:
    case Do::wait_split_brain:
    case Do::wait_idle:
    case Do::wait_still:
      return wait_for(step);
    case Do::mark:
      marked_at_ = cluster_.world().steps();
      return;
    case Do::wait:
      return;
    case Do::get_well:
      if (!make_well() && stated_) cluster_.world().violated("liveness", why_not_well());
      return set_fencing(cluster_.settings().fencing);
    default:
      return hurt(step);
  }
}

void Director::set_fencing(Fencing mode) {
  for (int i = 0; i < static_cast<int>(cluster_.nodes()); ++i) {
    cluster_.node(i).fencing().be(mode);
  }
}

void Director::operate(const Step& step) {
  Node& node = cluster_.node(step.node);
  if (!node.running()) return;
  // `whole`: a copy that is half filled, or known to lack something, is not forced.
  const auto half = [](const auto& device) {
    return device.disk_state < replication::DiskState::consistent;
  };
  if (step.has_word("whole") && std::ranges::any_of(node.status().devices, half)) return;
  const std::string peer = node_name(other(step.node));
  const bool forced = step.what == Do::promote && step.has_word("force");
  if (step.what == Do::promote) wanted_ = step.node;
  if (step.what == Do::handover) wanted_ = other(step.node);
  const bool discards = step.what == Do::connect && step.has_word("discard");
  // Also where only this node knows of the split brain, or is about to: the word waits for that.
  const int yields = step.has_word("own") ? other(step.node) : step.node;
  const bool anew = !cluster_.rules().told(yields);
  if (discards || step.what == Do::resolve) {
    cluster_.rules().discards(yields, !step.has_word("no-undo"));
  }
  // Who has granted the baton away shows Primary until it hears that it was taken; who is served
  // does without it.
  const auto& status = node.status();
  const bool writes = status.role == Role::primary && !status.baton_in_flight &&
                      (status.baton_holder.empty() || status.baton_holder == node.name());
  if (forced && !writes) cluster_.rules().expect_force(step.node);
  const std::uint64_t began = cluster_.oracle().tick();
  const Node::MakeVerb what = verb_of(step, peer);
  const bool may_be_void = step.what == Do::resolve && anew;
  auto verb = node.operate(to_text(step), [this, what, yields, may_be_void](Resource& r) {
    return may_be_void ? resolve_or_take_back(what(r), cluster_.rules(), yields) : what(r);
  });
  if (step.background && !forced) return;
  finish(step, verb);
  const bool whole = step.what == Do::verify && step.has_word("from-start");
  if (whole && verb->ended && verb->result) cluster_.rules().verified(began);
  if (forced) cluster_.rules().expect_force(-1);
}

void Director::finish(const Step& step, const std::shared_ptr<Verb>& verb) {
  World& world = cluster_.world();
  if (!world.run_while_waiting([&] { return verb->done; }, verb_limit)) {
    return world.violated("R11 a verb never ends", to_text(step));
  }
  if (step.expect == Expect::anything || !stated_) return;
  const bool done = verb->ended && verb->result.has_value();
  if (done == (step.expect == Expect::done)) return;
  const std::string got = !verb->ended ? "the process died"
                          : done       ? "it was done"
                                       : "refused: " + verb->result.error().message;
  world.violated("script", to_text(step) + ": " + got);
}

void Director::stop_cleanly(int number, const Step& step) {
  Node& node = cluster_.node(number);
  if (!node.running()) return;
  // A daemon hears its SIGTERM when it is up, or has said why it is not, unless it dies before.
  const auto heard = [&] { return node.up() || !node.refusal().empty() || !node.running(); };
  if (!cluster_.world().run_while_waiting(heard, verb_limit)) {
    return cluster_.world().violated("R11 a verb never ends", "up, before " + to_text(step));
  }
  if (!node.up()) return node.exit();
  for (auto& client : cluster_.clients()) {
    if (client->node().number() == number) client->disconnect();
  }
  World& world = cluster_.world();
  const auto closed = [&] {
    return std::ranges::none_of(cluster_.clients(), [&](const auto& client) {
      return client->node().number() == number && client->connected();
    });
  };
  if (!world.run_while_waiting(closed, verb_limit)) {
    return world.violated("R11 a request is never answered", "while " + to_text(step));
  }
  auto verb = node.operate("down", [](Resource& r) { return r.down(); });
  finish(step, verb);
  // Cleanly or not: a daemon that has stopped is gone.
  if (verb->ended && (verb->result || !node.fresh_status().up)) node.exit();
}

void Director::start_burst(const Step& step) {
  Burst burst;
  burst.requests = step.number("requests", burst.requests);
  burst.depth = step.number("depth", burst.depth);
  burst.reads = step.number("reads", burst.reads);
  burst.flushes = step.number("flushes", burst.flushes);
  burst.discards = step.number("discards", burst.discards);
  burst.zeroes = step.number("zeroes", burst.zeroes);
  burst.fua = step.number("fua", burst.fua);
  burst.hot_blocks = step.number("hot", burst.hot_blocks);
  burst.max_bytes = step.number("max", burst.max_bytes);
  burst.think_max = std::chrono::microseconds(step.number("think", 0));
  burst.stream = step.id;
  run_burst(step, burst, step.number("volume", UINT64_MAX));
}

// A guest that is moved along: without a node, its disk is where the Primary is.
void Director::submit_one(const Step& step) {
  Step placed = step;
  if (placed.node < 0) {
    const int primary = cluster_.rules().primary();
    if (primary >= 0) last_written_ = primary;
    placed.node = last_written_;
  }
  Burst burst{.requests = 1, .reads = 0, .discards = 0, .zeroes = 0, .fua = 0};
  burst.reads = step.what == Do::read ? 100 : 0;
  burst.flushes = step.what == Do::flush ? 100 : 0;
  burst.max_bytes = step.number("bytes", 4096);
  burst.at = step.number("at", 0);
  burst.stream = step.id;
  run_burst(placed, burst, step.number("volume", 0));
}

void Director::run_burst(const Step& step, const Burst& burst, std::uint64_t only) {
  for (std::uint32_t volume = 0; volume < cluster_.settings().volume_bytes.size(); ++volume) {
    if (only != UINT64_MAX && only != volume) continue;
    for (std::size_t i = 0; i < cluster_.settings().clients_per_node; ++i) {
      cluster_.client(step.node, volume, i).run(burst);
    }
  }
  if (!step.background) {
    const auto idle = [&] {
      return std::ranges::all_of(cluster_.clients(), [&](const auto& client) {
        return client->node().number() != step.node || client->idle();
      });
    };
    cluster_.world().run_while_waiting(idle, verb_limit);
  }
}

void Director::hurt(const Step& step) {
  Cluster& c = cluster_;
  switch (step.what) {
    case Do::kill:
      return c.kill(step.node);
    case Do::power:
      return c.power_cut(step.node, step.has_word("keep")    ? PowerLoss::keep
                                    : step.has_word("tear")  ? PowerLoss::tear
                                    : step.has_word("shred") ? PowerLoss::shred
                                                             : PowerLoss::lose);
    case Do::fencing:
      return set_fencing(step.has_word("works")         ? Fencing::works
                         : step.has_word("unreachable") ? Fencing::unreachable
                         : step.has_word("primary")     ? Fencing::primary
                                                        : Fencing::broken);
    case Do::pause:
    case Do::resume:
      if (c.node(step.node).running()) c.node(step.node).process().pause(step.what == Do::pause);
      return;
    case Do::cut: {
      const int from = std::max(step.node, 0);
      c.oracle().failure();
      return c.net().cut(from, other(from),
                         step.has_word("reset")     ? Cut::reset
                         : step.has_word("one-way") ? Cut::one_way
                                                    : Cut::silence);
    }
    case Do::slow_link:
      return c.net().slow(step.node, other(step.node),
                          {.delay = std::chrono::milliseconds(step.number("ms", 0)),
                           .bytes_per_second = step.number("bytes", 0)});
    case Do::half_open:
      c.oracle().failure();
      return c.net().half_open(step.node, other(step.node));
    case Do::heal:
      return c.net().heal(0, 1);
    case Do::corrupt:
      return c.net().corrupt(step.node);
    case Do::jump:
      return c.node(step.node).process().jump(std::chrono::milliseconds(step.number("ms", 0)));
    case Do::version:
      return c.node(step.node).speak_another_version(step.has_word("other"));
    case Do::snapshot:
    case Do::restore:
    case Do::blank:
    case Do::create_md:
      return replace_disks(step);
    default:
      return hurt_disks(step);
  }
}

void Director::wait_for(const Step& step) {
  World& world = cluster_.world();
  Rules& rules = cluster_.rules();
  const auto holds = [&] {
    switch (step.what) {
      case Do::wait_sync:
        return rules.both_up_to_date();
      case Do::wait_connected:
        return rules.connected();
      case Do::wait_split_brain:
        return rules.split_brain();
      case Do::wait_still:
        return cluster_.still();
      default:
        return cluster_.clients_idle();
    }
  };
  const bool came = world.run_while_waiting(holds, std::chrono::seconds(step.number("limit", 60)));
  // Clients of a Secondary may wait for long, one held write after the other; R11 bounds each.
  const bool stated = stated_ && step.what != Do::wait_idle && step.what != Do::wait_still;
  if (!came && stated) {
    world.violated("script", to_text(step) + " does not come true");
  }
}

// `is A Primary UpToDate`: every word must be shown by status.
void Director::state(const Step& step) {
  if (!stated_) return;
  Node& node = cluster_.node(step.node);
  World& world = cluster_.world();
  if (!node.running()) return world.violated("script", to_text(step) + ": it is not running");
  const auto& status = node.fresh_status();
  std::vector<std::string> shown = {std::string(name_of(status.role))};
  for (const auto& device : status.devices) shown.emplace_back(name_of(device.disk_state));
  if (cluster_.rules().damage().cells_hurt() > 0) shown.emplace_back("damaged");
  for (const auto& connection : status.connections) {
    shown.emplace_back(name_of(connection.connection_state));
    for (const auto& volume : connection.peer_devices) {
      shown.emplace_back(name_of(volume.replication_state));
    }
    if (connection.split_brain) shown.emplace_back("split-brain");
  }
  if (!status.suspended.empty()) shown.emplace_back("suspended");
  for (const auto& device : status.devices) {
    if (device.regions_lent > 0) shown.emplace_back("lends");
  }
  if (status.window_open) shown.emplace_back("window");
  if (status.held_writes.count > 0) shown.emplace_back("held");
  if (status.held_reads.count > 0) shown.emplace_back("held-reads");
  if (cluster_.errors() > 0) shown.emplace_back("errors");  // of any client, so far
  for (const std::string& word : step.words) {
    const bool negated = word.starts_with("not-");
    const std::string name = negated ? word.substr(4) : word;
    if ((std::ranges::find(shown, name) == shown.end()) != negated) {
      world.violated("script", fmt::format("{}: it is {}", to_text(step), fmt::join(shown, " ")));
    }
  }
}

}  // namespace baton::sim
