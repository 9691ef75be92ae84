#include "control/daemon/guest_migration.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/units.h"

namespace baton::control {
namespace {

using namespace migration;
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
  const std::string& host = destination.address->host;
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
  // The engine bounds a drain and a flush by its own timeout; ours is only the last resort.
  options.deadlines.offer = std::max(options.deadlines.offer, 4 * place_.spec.timeout);
  options.deadlines.grant = std::max(options.deadlines.grant, 4 * place_.spec.timeout);
  options.deadlines.take_back = std::max(options.deadlines.take_back, 4 * place_.spec.timeout);
  return options;
}

Task<Result<std::unique_ptr<QmpChannel>>> GuestMigration::reach_destination() {
  auto conversation = place_.tunnel.open(PeerService::qmp);
  if (!conversation) co_return std::unexpected(conversation.error());
  const TimePoint deadline = place_.shard.now() + reach_patience;
  const Result<> opened = co_await (*conversation)->opened(deadline);
  if (!opened) {
    (*conversation)->close();
    co_return failure(fmt::format("{} cannot be migrated to {}: {}", place_.spec.name,
                                  destination_.name, opened.error().message));
  }
  co_return std::unique_ptr<QmpChannel>(std::move(*conversation));
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

  ResourceStorage storage(place_.resource, place_.shard, place_.changed, place_.verbs,
                          place_.node.name, destination_.name);
  Coordinator coordinator(place_.shard.loop(), place_.shard, **source_qmp, **destination_qmp,
                          storage, *this, std::move(*how));
  place_.journal.line(LogLevel::notice, fmt::format("migration to {} begins", destination_.name));
  coordinator_ = &coordinator;
  if (wish_.cancelled()) cancel();
  const MigrationReport report = co_await coordinator.run();
  coordinator_ = nullptr;
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
    return failure(fmt::format("{} was not migrated: {}", place_.spec.name, report.sentence));
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
                         .bytes_replicated = after.bytes_replicated - replicated_before};
  place_.journal.line(LogLevel::notice, migration_text(result));
  return result;
}

void GuestMigration::migration_progress(const MigrationProgress& progress) {
  std::string text = fmt::format("{}: {}", place_.spec.name, progress.phase);
  double fraction = -1;
  if (progress.state == State::transferring && progress.ram.total_bytes > 0) {
    const auto total = static_cast<double>(progress.ram.total_bytes);
    const auto left = static_cast<double>(progress.ram.remaining_bytes);
    fraction = std::clamp(1 - left / total, 0.0, 1.0);
    text += fmt::format(", {} to go", size_text(progress.ram.remaining_bytes));
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
