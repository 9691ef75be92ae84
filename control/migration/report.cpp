#include "control/migration/report.h"

#include <fmt/args.h>
#include <fmt/format.h>

#include <array>

namespace baton::control::migration {
namespace {

struct Sentence {
  std::string_view row;
  std::string_view text;  // a clause: no capital, no full stop
};

// For every row that fails or refuses a person (tested); `detail` is QEMU's or the storage's text.
constexpr auto reasons = std::to_array<Sentence>({
    {"storage_refuses", "the storage cannot hand {guest} over: {detail}"},
    {"source_unfit",
     "the QEMU on {source} is in state {detail}; a guest migrates when it is "
     "running or paused"},
    {"source_refuses", "the QEMU on {source} refuses: {detail}"},
    {"destination_in_use",
     "the QEMU on {destination} is in state {detail}; start one with "
     "-incoming defer"},
    {"destination_refuses", "the QEMU on {destination} refuses: {detail}"},
    {"destination_cannot_listen",
     "the QEMU on {destination} cannot listen for the guest: {detail}; "
     "start it anew with -incoming defer and choose another --uri"},
    {"port_unknown",
     "the QEMU on {destination} does not say at which port it listens: {detail}; "
     "name the port with --uri tcp:HOST:PORT"},
    {"source_cannot_migrate", "the QEMU on {source} cannot migrate: {detail}"},
    {"transfer_failed", "the migration failed before the switch: {detail}"},
    {"cancelled_in_time", "cancelled"},
    {"source_lost_before_the_switch", "the QMP of {source} was lost: {detail}"},
    {"destination_lost_before_the_switch", "the QEMU on {destination} is gone: {detail}"},
    {"no_answer",
     "a QEMU did not answer in time; is another program (libvirt, a monitor) connected "
     "to its QMP socket"},
    {"transfer_stalled", "no memory has moved for too long; is the path between the hosts up"},
    {"offer_failed", "the storage could not offer {guest} to {destination}: {detail}"},
    {"cancelled_after_the_offer", "cancelled"},
    {"destination_lost_in_the_pause",
     "the QEMU on {destination} was gone before the switch: {detail}"},
    {"source_left_the_pause", "the QEMU on {source} ended the migration by itself: {detail}"},
    {"source_will_not_go_on", "the QEMU on {source} refuses to go on: {detail}"},
    {"source_runs_again_by_itself",
     "the switch failed and the QEMU on {source} resumed its guest: "
     "{detail}"},
    {"destination_lost_in_the_switch",
     "the QEMU on {destination} was gone before its guest was "
     "heard to run: {detail}"},
    {"switch_overdue", "the switch was not over in time"},
    {"found_unfinished", "an earlier migration was left unfinished"},
    {"source_wrote_first",
     "the guest wrote on {source} before it was heard to run on {destination}"},
    {"grant_unanswered",
     "the connection between the nodes was lost while the right to write "
     "moved: {detail}"},
    {"destination_lost_after_the_grant",
     "the QEMU on {destination} was gone before its guest had "
     "written: {detail}"},
    {"destination_will_not_run", "the QEMU on {destination} would not run its guest: {detail}"},
    {"destination_paused", "the guest wrote on {destination} and is paused there"},
    {"destination_unconfirmed",
     "{destination} has the right to write, but its QEMU does not say that "
     "the guest runs: {detail}"},
    {"destination_wrote_and_is_gone",
     "the guest wrote on {destination} and its QEMU is gone: "
     "{detail}"},
    {"withdrawal_unanswered",
     "the connection between the nodes was lost while the right to write "
     "moved: {detail}"},
    {"source_cancelled_in_postcopy",
     "the migration was cancelled before the guest was heard to run on {destination}"},
    {"memory_path_lost", "the path between the QEMUs was lost while the guest fetched its memory"},
    {"memory_fetched_no_more", "no memory has moved for too long"},
    {"memory_may_be_at_the_source",
     "the QEMU on {source} does not say that it has sent all memory"},
    {"source_cannot_go_back",
     "the QEMU on {source} has begun postcopy, and the one on {destination} is gone"},
    {"source_lost_while_cancelling", "the QMP of {source} was lost: {detail}"},
    {"source_slow_to_cancel", "the QEMU on {source} is slow to cancel its migration"},
    {"source_will_not_run", "the QEMU on {source} would not run its guest: {detail}"},
    {"source_not_retired", "the QEMU on {source} would not quit: {detail}"},
    // To a person who asks to cancel.
    {"too_late_to_cancel",
     "too late to cancel: {guest} is switching to {destination} or being taken "
     "back already; wait for the outcome"},
    {"already_over", "the migration of {guest} is over"},
});

// What is left to say, by the outcome and by the row it ended with.
constexpr auto endings = std::to_array<Sentence>({
    {"moved", "The guest runs on {destination}."},
    {"checked", "{guest} can be migrated from {source} to {destination} now; nothing was changed."},
    {"source_not_retired",
     "The guest runs on {destination}. The QEMU on {source} has not quit; it "
     "cannot write any more: end it."},
    {"source_out_of_reach",
     "The guest runs on {destination}. The QEMU on {source} is out of reach; "
     "it cannot write any more: end it if it lives."},
    {"stayed", "The guest goes on on {source}."},
    {"nothing_to_recover", "No migration was left unfinished."},
    {"source_untouched", "The guest was not touched; it goes on on {source}."},
    {"source_was_paused_before", "The guest stays on {source}, paused as it was."},
    {"source_lost",
     "The guest belongs to {source}, whose QMP cannot be reached. If its QEMU lives "
     "and its guest is stopped, say migrate_cancel or cont to it."},
    {"source_slow_to_cancel",
     "The guest belongs to {source}. If it does not go on soon, say "
     "migrate_cancel or cont to its QEMU."},
    {"source_will_not_run", "The guest belongs to {source}: say cont to its QEMU."},
    {"source_cannot_go_back",
     "The guest belongs to {source}, and its QEMU cannot go on behind a broken postcopy: end it "
     "and "
     "start {guest} anew there; its disk is as after a power failure."},
    {"divided",
     "The guest runs on {destination}, and some of its memory is still with the QEMU on {source}: "
     "do "
     "not end that one. When the path is back, say migrate-recover (out of band) with a new "
     "address to the QEMU "
     "on "
     "{destination} and migrate with resume to the one on {source}. If either of the two is gone, "
     "end "
     "the other one and start {guest} anew on {destination}."},
    {"lost",
     "The disk of {guest} is at {destination} now, and newer than the memory on {source}: "
     "end the QEMU there, and start or continue the guest on {destination}."},
    {"undecided",
     "Neither QEMU was touched, and no write is lost: {source} holds the writes of its "
     "guest until both nodes have spoken again. If one of them does not come back, "
     "decide with batonctl primary {guest} on the other."},
});

template <class Table>
std::string_view text_of(const Table& table, std::string_view row) {
  for (const Sentence& sentence : table) {
    if (sentence.row == row) return sentence.text;
  }
  return {};
}

std::string fill_in(std::string_view text, const MigrationNames& names, std::string_view detail) {
  return fmt::format(fmt::runtime(text), fmt::arg("guest", names.guest),
                     fmt::arg("source", names.source), fmt::arg("destination", names.destination),
                     fmt::arg("detail", detail.empty() ? "no reason was given" : detail));
}

}  // namespace

std::string_view phase_of(State state) {
  switch (state) {
    case State::idle:
    case State::preparing:
    case State::checking_source:
    case State::checking_destination:
    case State::arming_source:
    case State::arming_destination:
    case State::listening:
    case State::locating:
    case State::starting:
      return "checking";
    case State::transferring:
    case State::postcopy_asked:
      return "copying memory";
    case State::offering:
      return "settling the storage";
    case State::continuing:
    case State::switching:
    case State::granting:
    case State::confirming:
    case State::starting_destination:
      return "switching";
    case State::postcopy:
      return "runs on the destination, fetching memory";
    case State::finishing:
    case State::retiring:
      return "ending the source";
    case State::withdrawing:
    case State::cancelling:
    case State::resuming:
      return "going back";
    case State::inquiring_source:
    case State::inquiring_guest:
    case State::inquiring_destination:
      return "looking at what was left";
    case State::moved:
      return "moved";
    case State::stayed:
      return "stayed";
    case State::lost:
      return "destination lost";
    case State::divided:
      return "divided";
    case State::undecided:
      return "undecided";
    case State::checked:
      return "checked";
  }
  return "";
}

std::string sentence_of(std::string_view row, const MigrationNames& names,
                        std::string_view detail) {
  return fill_in(text_of(reasons, row), names, detail);
}

std::string summary_of(State outcome, std::string_view reason, std::string_view last_row,
                       const MigrationNames& names, std::string_view detail) {
  std::string_view ending = text_of(endings, last_row);
  if (ending.empty()) ending = text_of(endings, name_of(outcome));
  std::string end = fill_in(ending, names, {});
  if (reason.empty()) return end;
  std::string why = sentence_of(reason, names, detail);
  if (!why.empty() && why.front() >= 'a' && why.front() <= 'z') why.front() -= 'a' - 'A';
  return fmt::format("{}. {}", why, end);
}

}  // namespace baton::control::migration
