// What happens to the names in a folder, in order: what somebody who reads there meanwhile may see.
#pragma once

#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

namespace baton {

class FolderEvents {
 public:
  explicit FolderEvents(const std::string& folder) : fd_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    EXPECT_GE(inotify_add_watch(fd_, folder.c_str(), IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVE),
              0);
  }
  FolderEvents(const FolderEvents&) = delete;
  FolderEvents& operator=(const FolderEvents&) = delete;
  ~FolderEvents() { ::close(fd_); }

  // "replaced NAME" for a file that came by rename, "touched NAME" for all else, since the last
  // call. Names that end in `ignored` are left out.
  std::vector<std::string> take(const std::string& ignored) {
    std::vector<std::string> events;
    alignas(inotify_event) std::array<char, 16384> bytes{};
    for (ssize_t count = 0; (count = ::read(fd_, bytes.data(), bytes.size())) > 0;) {
      for (const char* at = bytes.data(); at < bytes.data() + count;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        const std::string name(event->name);
        const bool replaced = (event->mask & IN_MOVED_TO) != 0;
        if (!name.ends_with(ignored))
          events.push_back((replaced ? "replaced " : "touched ") + name);
        at += sizeof(inotify_event) + event->len;
      }
    }
    return events;
  }

 private:
  int fd_;
};

}  // namespace baton
