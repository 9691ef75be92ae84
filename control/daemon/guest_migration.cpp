#include "control/daemon/guest_migration.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/units.h"

namespace baton::control {
namespace {

using namespace migration;
using replication::ConnectionStatus;
using replication::DiskState;
using replication::PeerVolumeStatus;
using LogLevel = replication::Journal::Level;

constexpr Duration reach_patience = std::chrono::seconds(10);

std::string no_qmp(const ResourceSpec& spec, const NodeSpec& node) {
  return fmt::format(
      "{} cannot be migrated: node {} has no qmp in {}; name there the socket of its "
      "QEMU's -qmp unix:PATH,server=on,wait=off, and restart batond",
      spec.name, node.name, spec.file);
}

// Where the other host reaches the destination: at its replication address; QEMU chooses the port.
std::string default_uri(const NodeSpec& destination) {
  const std::string host = destination.address ? destination.address->host : "";
  const bool needs_brackets = host.find(':') != std::string::npos;
  return fmt::format("tcp:{}:0", needs_brackets ? fmt::format("[{}]", host) : host);
}

}  // namespace

GuestMigration::GuestMigration(const MigrationPlace& place, const NodeSpec& destination,
                               MigrationWish& wish)
    : place_(place), destination_(destination), wish_(wish) {}

Result<MigrationOptions> GuestMigration::options() const {
  const std::string& asked = wish_.options().uri;
  auto uri = MigrationUri::parse(asked.empty() ? default_uri(destination_) : asked);
  if (!uri) return std::unexpected(uri.error());
  MigrationOptions options{.names = {place_.spec.name, place_.node.name, destination_.name},
                           .uri = std::move(*uri)};
  options.only_check = wish_.options().dry_run;
  options.postcopy = wish_.options().postcopy;
  // The engine bounds a drain and a flush by its own timeout; ours is only the last resort.
  options.deadlines.offer = std::max(options.deadlines.offer, 4 * place_.spec.timeout);
  options.deadlines.grant = std::max(options.deadlines.grant, 4 * place_.spec.timeout);
  options.deadlines.take_back = std::max(options.deadlines.take_back, 4 * place_.spec.timeout);
  return options;
}

Task<Result<GuestMigration::Channel>> GuestMigration::reach_destination() {
  auto conversation = place_.tunnel.open(PeerService::qmp);
  if (!conversation) co_return std::unexpected(conversation.error());
  const TimePoint deadline = place_.shard.now() + reach_patience;
  const Result<> opened = co_await (*conversation)->opened(deadline);
  if (!opened) {
    (*conversation)->close();
    co_return failure(fmt::format("{} cannot be migrated to {}: {}", place_.spec.name,
                                  destination_.name, opened.error().message));
  }
  co_return Channel(std::move(*conversation));
}

Task<MigrationReport> GuestMigration::coordinate(Channel source, Channel destination,
                                                 MigrationOptions options, bool recover) {
  ResourceStorage storage(place_.resource, place_.shard, place_.changed, place_.verbs,
                          place_.node.name, destination_.name);
  Coordinator coordinator(place_.shard.loop(), place_.shard, *source, *destination, storage, *this,
                          std::move(options));
  coordinator_ = &coordinator;
  if (wish_.cancelled()) cancel();
  Task<MigrationReport> work = recover ? coordinator.recover() : coordinator.run();
  MigrationReport report = co_await std::move(work);
  coordinator_ = nullptr;
  outcome_ = report.outcome;
  co_return report;
}

Task<State> GuestMigration::recover() {
  auto how = options();
  if (!how) {
    place_.journal.line(LogLevel::error,
                        fmt::format("the migration to {} that an earlier batond has left cannot be "
                                    "finished: {}",
                                    destination_.name, how.error().message));
    co_return State::idle;
  }
  Channel source;
  if (auto dialled = dial_qmp(place_.shard, place_.node.qmp)) {
    source = std::move(*dialled);
  } else {
    source = std::make_unique<LostQmpChannel>(dialled.error().message);
  }
  Channel destination;
  if (auto reached = co_await reach_destination(); reached) {
    destination = std::move(*reached);
  } else {
    destination = std::make_unique<LostQmpChannel>(reached.error().message);
  }
  const MigrationReport report =
      co_await coordinate(std::move(source), std::move(destination), std::move(*how), true);
  place_.journal.line(LogLevel::notice,
                      fmt::format("the migration to {} that an earlier batond has left ended as "
                                  "{}: {}",
                                  destination_.name, name_of(report.outcome), report.sentence));
  co_return report.outcome;
}

Task<Result<MigrationResult>> GuestMigration::run() {
  for (const NodeSpec* each : {&place_.node, &destination_}) {
    if (each->qmp.empty()) co_return failure(no_qmp(place_.spec, *each));
  }
  auto how = options();
  if (!how) co_return std::unexpected(how.error());
  const auto before = place_.resource.status();
  // The coordinator asks this too; but without a link, QMP could not even be asked for.
  if (auto ready = can_hand_over(before, place_.node.name, destination_.name); !ready) {
    co_return failure(
        fmt::format("{} cannot be migrated: {}", place_.spec.name, ready.error().message));
  }
  auto source_qmp = dial_qmp(place_.shard, place_.node.qmp);
  if (!source_qmp) {
    co_return failure(fmt::format("{} cannot be migrated from {}: {}", place_.spec.name,
                                  place_.node.name, source_qmp.error().message));
  }
  auto destination_qmp = co_await reach_destination();
  if (!destination_qmp) co_return std::unexpected(destination_qmp.error());

  place_.journal.line(LogLevel::notice, fmt::format("migration to {} begins", destination_.name));
  const MigrationReport report = co_await coordinate(
      std::move(*source_qmp), std::move(*destination_qmp), std::move(*how), false);
  co_return result_of(report, before.bytes_replicated);
}

void GuestMigration::cancel() {
  if (coordinator_ == nullptr) return;
  if (const auto heeded = coordinator_->cancel(); !heeded) {
    place_.journal.line(LogLevel::notice, heeded.error().message);
  }
}

Result<MigrationResult> GuestMigration::result_of(const MigrationReport& report,
                                                  std::uint64_t replicated_before) {
  const bool only_checked = report.outcome == State::checked;
  if (report.outcome != State::moved && !only_checked) {
    place_.journal.line(LogLevel::warning,
                        fmt::format("migration to {} ended as {}: {}", destination_.name,
                                    name_of(report.outcome), report.sentence));
    const std::string_view what =
        report.outcome == State::divided ? "has not moved as a whole" : "was not migrated";
    return failure(fmt::format("{} {}: {}", place_.spec.name, what, report.sentence));
  }
  const auto after = place_.resource.status();
  MigrationResult result{.only_checked = only_checked,
                         .resource = place_.spec.name,
                         .source = place_.node.name,
                         .destination = destination_.name,
                         .sentence = report.sentence,
                         .guest_pause = report.guest_pause,
                         .storage_offer = report.storage_offer,
                         .storage_grant = report.storage_grant,
                         .total = report.total,
                         .ram_bytes = report.ram.transferred_bytes,
                         .bytes_replicated = after.bytes_replicated - replicated_before,
                         .disk_bytes_to_go = disk_to_go()};
  place_.journal.line(LogLevel::notice, migration_text(result));
  return result;
}

// What the destination's copy lacks.
std::uint64_t GuestMigration::disk_to_go() const {
  std::uint64_t bytes = 0;
  for (const ConnectionStatus& connection : place_.resource.status().connections) {
    for (const PeerVolumeStatus& peer : connection.peer_devices) {
      if (peer.peer_disk_state != DiskState::up_to_date) bytes += peer.out_of_sync_bytes;
    }
  }
  return bytes;
}

void GuestMigration::migration_progress(const MigrationProgress& progress) {
  std::string text = fmt::format("{}: {}", place_.spec.name, progress.phase);
  double fraction = -1;
  const bool memory_moves = patience_of(progress.state) == Patience::stall;
  if (memory_moves && progress.ram.total_bytes > 0) {
    const auto total = static_cast<double>(progress.ram.total_bytes);
    const auto left = static_cast<double>(progress.ram.remaining_bytes);
    fraction = std::clamp(1 - left / total, 0.0, 1.0);
    text += fmt::format(", {} to go", size_text(progress.ram.remaining_bytes));
  }
  if (const std::uint64_t disk = disk_to_go(); disk > 0) {
    text += fmt::format("; of its disk {} to go", size_text(disk));
  }
  wish_.progress(std::move(text), fraction);
}

void GuestMigration::migration_step(const Step& step, EventKind event, std::string_view detail) {
  if (step.row == "memory_moves") return;  // several times a second
  place_.journal.line(
      LogLevel::debug,
      fmt::format("migration: {} in {}: {}, {}{}{}", name_of(event), name_of(step.from), step.row,
                  name_of(step.to), detail.empty() ? "" : ": ", detail));
}

}  // namespace baton::control
