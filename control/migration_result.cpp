#include "control/migration_result.h"

#include <fmt/format.h>

#include <boost/json/object.hpp>

#include "control/units.h"

namespace baton::control {
namespace {

namespace json = boost::json;
using Milliseconds = std::chrono::duration<double, std::milli>;

void put(json::object& out, std::string_view key, const std::optional<Duration>& value) {
  if (value) out[key] = Milliseconds(*value).count();
}

std::string text_at(const json::object& in, std::string_view key) {
  const json::value* value = in.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

std::optional<double> number_at(const json::object& in, std::string_view key) {
  const json::value* value = in.if_contains(key);
  if (value == nullptr) return std::nullopt;
  boost::system::error_code error;
  const double number = value->to_number<double>(error);
  if (error) return std::nullopt;
  return number;
}

std::optional<Duration> duration_at(const json::object& in, std::string_view key) {
  const auto number = number_at(in, key);
  if (!number) return std::nullopt;
  return std::chrono::duration_cast<Duration>(Milliseconds(*number));
}

// A pause of 0.4 ms is not "0 ms", and one of 41.3 ms needs no fraction.
std::string milliseconds_text(Duration duration) {
  const double value = Milliseconds(duration).count();
  return value < 10 ? fmt::format("{:.1f} ms", value) : fmt::format("{:.0f} ms", value);
}

}  // namespace

json::value to_json(const MigrationResult& result) {
  json::object out;
  if (result.only_checked) out["dry-run"] = true;
  out["resource"] = result.resource;
  out["source"] = result.source;
  out["destination"] = result.destination;
  out["sentence"] = result.sentence;
  put(out, "guest-pause-ms", result.guest_pause);
  put(out, "storage-offer-ms", result.storage_offer);
  put(out, "storage-grant-ms", result.storage_grant);
  put(out, "total-ms", result.total);
  out["ram-bytes"] = result.ram_bytes;
  out["bytes-replicated"] = result.bytes_replicated;
  out["disk-bytes-to-go"] = result.disk_bytes_to_go;
  return out;
}

Result<MigrationResult> migration_result_from_json(const json::value& value) {
  const json::object* in = value.if_object();
  if (in == nullptr) return failure("the daemon's answer is no migration result");
  MigrationResult result;
  result.only_checked = in->contains("dry-run");
  result.resource = text_at(*in, "resource");
  result.source = text_at(*in, "source");
  result.destination = text_at(*in, "destination");
  result.sentence = text_at(*in, "sentence");
  result.guest_pause = duration_at(*in, "guest-pause-ms");
  result.storage_offer = duration_at(*in, "storage-offer-ms");
  result.storage_grant = duration_at(*in, "storage-grant-ms");
  result.total = duration_at(*in, "total-ms").value_or(Duration(0));
  result.ram_bytes = static_cast<std::uint64_t>(number_at(*in, "ram-bytes").value_or(0));
  result.bytes_replicated =
      static_cast<std::uint64_t>(number_at(*in, "bytes-replicated").value_or(0));
  result.disk_bytes_to_go =
      static_cast<std::uint64_t>(number_at(*in, "disk-bytes-to-go").value_or(0));
  return result;
}

std::string migration_text(const MigrationResult& result) {
  if (result.only_checked) return result.sentence;
  const double seconds = std::chrono::duration<double>(result.total).count();
  std::string text = fmt::format("{} moved from {} to {} in {:.1f} s: ", result.resource,
                                 result.source, result.destination, seconds);
  if (result.guest_pause) {
    text += fmt::format("the guest paused for {}", milliseconds_text(*result.guest_pause));
    if (result.storage_offer) {
      text += fmt::format(", {} of that for the storage", milliseconds_text(*result.storage_offer));
    }
    text += "; ";
  }
  // Down to a tenth of a MiB: bytes tell a person nothing here.
  text += fmt::format("{:.1f} MiB of memory copied. {}",
                      static_cast<double>(result.ram_bytes) / (1U << 20U), result.sentence);
  if (result.disk_bytes_to_go > 0) {
    text += fmt::format(" {} of its disk are still to be copied there, and read from {} meanwhile.",
                        size_text(result.disk_bytes_to_go), result.source);
  }
  return text;
}

}  // namespace baton::control
