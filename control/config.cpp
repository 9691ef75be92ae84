#include "control/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

namespace baton::control {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> wrong(std::string message) {
  return failure(std::move(message), ExitCode::configuration);
}

Result<std::string> read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return wrong(fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  constexpr std::size_t bytes_max = 1U << 20U;  // a configuration is some kilobytes
  std::string text(bytes_max + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (in.bad()) return wrong(fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  if (text.size() > bytes_max) return wrong(fmt::format("{}: is larger than 1 MiB", path));
  return text;
}

Result<std::vector<std::string>> files_of(const std::string& path, bool directory) {
  if (!directory) return std::vector{path};
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".toml") files.push_back(entry->path().string());
  }
  if (error) return wrong(fmt::format("{}: cannot be listed: {}", path, error.message()));
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

const NodeSpec* ResourceSpec::node(std::string_view node_name) const {
  const auto found = std::find_if(nodes.begin(), nodes.end(),
                                  [&](const NodeSpec& node) { return node.name == node_name; });
  return found == nodes.end() ? nullptr : &*found;
}

const ResourceSpec* Configuration::find(std::string_view resource) const {
  const auto found = std::find_if(resources.begin(), resources.end(),
                                  [&](const ResourceSpec& spec) { return spec.name == resource; });
  return found == resources.end() ? nullptr : &*found;
}

Result<Configuration> load_configuration(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return wrong(
        fmt::format("{}: there is no such file or directory: create it, or name another "
                    "with --config",
                    path));
  }
  Configuration configuration{.path = path, .directory = fs::is_directory(status)};
  const auto files = files_of(path, configuration.directory);
  if (!files) return std::unexpected(files.error());
  for (const std::string& file : *files) {
    const auto text = read_text(file);
    if (!text) return std::unexpected(text.error());
    auto spec = parse_resource(*text, file, fs::absolute(file).parent_path().string());
    if (!spec) return std::unexpected(spec.error());
    configuration.resources.push_back(std::move(*spec));
  }
  if (auto good = check_together(configuration.resources); !good) {
    return std::unexpected(good.error());
  }
  std::sort(configuration.resources.begin(), configuration.resources.end(),
            [](const ResourceSpec& a, const ResourceSpec& b) { return a.name < b.name; });
  return configuration;
}

Result<std::string> read_secret(const ResourceSpec& resource) {
  if (resource.secret_file.empty()) return resource.secret;
  auto text = read_text(resource.secret_file);
  if (!text) return text;
  // Editors end a file with a newline; it is no part of the secret.
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
  if (text->empty()) {
    return wrong(fmt::format("{}: the secret-file of resource {} is empty", resource.secret_file,
                             resource.name));
  }
  return text;
}

}  // namespace baton::control
