#include "nbd_server/socket_access.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

namespace baton::nbd {
namespace {

static_assert(sizeof(uid_t) == sizeof(gid_t), "both are read by number_in()");

std::optional<uid_t> number_in(const std::string& text) {
  uid_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || number == SocketIds::unchanged) return std::nullopt;
  return number;
}

// getpwnam_r(3) or getgrnam_r(3)
template <class Entry>
using Database = int (*)(const char*, Entry*, char*, std::size_t, Entry**);

// The numbers of the entry stay; its texts do not.
template <class Entry>
Result<Entry> entry_of(Database<Entry> ask, const char* kind, const std::string& name) {
  constexpr std::size_t room_limit = 1U << 20U;  // a group may have many members
  std::vector<char> room(1024);
  Entry entry{};
  Entry* found = nullptr;
  int error = ask(name.c_str(), &entry, room.data(), room.size(), &found);
  while (error == ERANGE && room.size() < room_limit) {
    room.resize(room.size() * 2);
    error = ask(name.c_str(), &entry, room.data(), room.size(), &found);
  }
  if (found != nullptr) return entry;
  if (error == 0) {
    return failure(fmt::format("this host has no {} \"{}\"", kind, name), ExitCode::configuration);
  }
  return failure(fmt::format("{} \"{}\" cannot be looked up: {}", kind, name, std::strerror(error)),
                 ExitCode::configuration);
}

Result<uid_t> user_of(const std::string& name) {
  if (name.empty()) return SocketIds::unchanged;
  if (const auto number = number_in(name)) return *number;
  const auto entry = entry_of<passwd>(&::getpwnam_r, "user", name);
  if (!entry) return std::unexpected(entry.error());
  return entry->pw_uid;
}

Result<gid_t> group_of(const std::string& name) {
  if (name.empty()) return SocketIds::unchanged;
  if (const auto number = number_in(name)) return *number;
  const auto entry = entry_of<group>(&::getgrnam_r, "group", name);
  if (!entry) return std::unexpected(entry.error());
  return entry->gr_gid;
}

}  // namespace

Result<SocketIds> look_up(const SocketAccess& access) {
  const auto owner = user_of(access.owner);
  if (!owner) return std::unexpected(owner.error());
  const auto group = group_of(access.group);
  if (!group) return std::unexpected(group.error());
  return SocketIds{.owner = *owner, .group = *group, .mode = access.mode};
}

Result<> set_access(const std::string& path, const SocketIds& ids) {
  const auto refused = [](const char* what) {
    return failure(
        fmt::format("the {} of its socket file cannot be set: {}", what, std::strerror(errno)),
        ExitCode::configuration);
  };
  // The mode first: who has given the file away may not set it any more.
  if (ids.mode && ::fchmodat(AT_FDCWD, path.c_str(), *ids.mode, AT_SYMLINK_NOFOLLOW) != 0) {
    return refused("mode");
  }
  const bool given_away = ids.owner != SocketIds::unchanged || ids.group != SocketIds::unchanged;
  if (given_away && ::lchown(path.c_str(), ids.owner, ids.group) != 0) {
    return refused("owner or group");
  }
  return {};
}

}  // namespace baton::nbd
