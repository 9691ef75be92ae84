#include "control/migration/uri.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace baton::control::migration {
namespace {

constexpr std::string_view tcp = "tcp:";
constexpr std::string_view unix_socket = "unix:";

std::optional<std::uint16_t> port_of(const std::string& digits) {
  if (digits.empty()) return 0;
  std::uint16_t port = 0;
  const char* end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, port);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return port;
}

}  // namespace

Result<MigrationUri> MigrationUri::parse(std::string_view text) {
  MigrationUri uri;
  uri.text_ = text;
  if (text.starts_with(unix_socket) && text.size() > unix_socket.size()) return uri;
  const auto wrong = [text] {
    return failure(fmt::format("{}: not a migration address; use tcp:HOST:PORT or unix:PATH", text),
                   ExitCode::usage);
  };
  if (!text.starts_with(tcp)) return wrong();
  const std::string_view address = text.substr(tcp.size());
  const std::size_t host_end = address.starts_with('[') ? address.find(']') + 1 : 0;
  const std::size_t colon = address.find(':', host_end);
  uri.host_ = address.substr(0, colon);
  const auto port =
      port_of(colon == std::string_view::npos ? "" : std::string(address.substr(colon + 1)));
  if (uri.host_.empty() || !port) return wrong();
  uri.leaves_port_open_ = *port == 0;
  return uri.leaves_port_open_ ? uri.with_port(0) : uri;
}

MigrationUri MigrationUri::with_port(std::uint16_t port) const {
  MigrationUri uri = *this;
  uri.text_ = fmt::format("tcp:{}:{}", host_, port);
  uri.leaves_port_open_ = port == 0;
  return uri;
}

}  // namespace baton::control::migration
