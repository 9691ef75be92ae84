#include "control/client/undo_verbs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "blockdev/file_device.h"
#include "blockdev/undo/format.h"
#include "control/backing_disk.h"
#include "control/client/target.h"
#include "control/units.h"

namespace baton::control {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using blockdev::ReadUndo;
using blockdev::UndoInfo;
using blockdev::UndoPiece;

// A file that is open as long as this lives.
class File {
 public:
  File(const std::string& path, int flags)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC)), error_(errno) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  const char* why() const { return std::strerror(error_); }

  ReadUndo reader() const {
    return [fd = fd_](std::uint64_t offset, std::span<std::byte> into) {
      while (!into.empty()) {
        const ssize_t count = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return false;
        offset += static_cast<std::uint64_t>(count);
        into = into.subspan(static_cast<std::size_t>(count));
      }
      return true;
    };
  }

 private:
  int fd_;
  int error_;
};

std::unexpected<Error> wrong(const std::string& path, const Error& error) {
  return failure(fmt::format("{}: {}", path, error.message));
}

struct OpenUndo {
  explicit OpenUndo(const std::string& path) : file(path, O_RDONLY) {}
  File file;
  UndoInfo info;

  static Result<std::unique_ptr<OpenUndo>> open(const std::string& path) {
    auto opened = std::make_unique<OpenUndo>(path);
    if (!opened->file) {
      return failure(fmt::format("{} cannot be read: {}", path, opened->file.why()));
    }
    const auto info = blockdev::read_undo_header(opened->file.reader());
    if (!info) return wrong(path, info.error());
    opened->info = *info;
    return opened;
  }
};

std::vector<std::string> undo_files(const VolumeSite& site) {
  const fs::path paths(undo_path_begin(site));
  const std::string begin = paths.filename().string();
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator entry(paths.parent_path(), error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename().string().starts_with(begin)) {
      found.push_back(entry->path().string());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

json::string id_json(std::uint64_t id) {
  return json::string(fmt::format("{:016x}", id));
}

json::object to_json(const std::string& path, const UndoInfo& info) {
  return {{"file", path},
          {"resource", info.resource},
          {"node", info.node},
          {"volume", info.volume},
          {"generation", id_json(info.generation)},
          {"common-generation", id_json(info.common)},
          {"kept-node", info.peer},
          {"kept-generation", id_json(info.kept)},
          {"volume-bytes", info.volume_bytes},
          {"ranges", info.ranges},
          {"data-bytes", info.data_bytes},
          {"zero-bytes", info.zero_bytes}};
}

std::string text_of(const std::string& path, const UndoInfo& info) {
  return fmt::format(
      "{}\n  volume {} of {} on {}, generation {:016x}, overwritten by that of {}\n"
      "  {} ranges: {} of data, {} of zeroes\n",
      path, info.volume, info.resource, info.node, info.generation, info.peer, info.ranges,
      size_text(info.data_bytes), size_text(info.zero_bytes));
}

Result<> write_whole(int fd, std::span<const std::byte> bytes, std::uint64_t offset, bool seekable,
                     const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t count = seekable
                              ? ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset))
                              : ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failure(fmt::format("{} cannot be written: {}", name, strerror(errno)));
    offset += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

}  // namespace

Result<> undo_list(const Arguments& arguments) {
  const auto target = find_target(arguments);
  if (!target) return std::unexpected(target.error());
  json::array list;
  std::string text;
  for (std::size_t volume = 0; volume < target->resource->volumes.size(); ++volume) {
    for (const std::string& path : undo_files({*target->resource, *target->node, volume})) {
      const auto undo = OpenUndo::open(path);
      if (undo) {
        list.push_back(to_json(path, (*undo)->info));
        text += text_of(path, (*undo)->info);
      } else {
        list.push_back(json::object{{"file", path}, {"error", undo.error().message}});
        text += undo.error().message + "\n";
      }
    }
  }
  if (arguments.json) {
    fmt::print("{}\n", json::serialize(list));
  } else {
    fmt::print("{}", text.empty() ? "nothing was kept\n" : text);
  }
  return {};
}

Result<> undo_read(const Arguments& arguments) {
  const UndoArguments& wanted = arguments.undo;
  const auto undo = OpenUndo::open(wanted.file);
  if (!undo) return std::unexpected(undo.error());
  const UndoInfo& info = (*undo)->info;
  if (wanted.offset > info.volume_bytes || wanted.length > info.volume_bytes - wanted.offset) {
    return failure(fmt::format("{}+{} lies beyond the volume, which has {} bytes", wanted.offset,
                               wanted.length, info.volume_bytes));
  }
  const ReadUndo read = (*undo)->file.reader();
  // First whether all of it is there, so that nothing is printed where a part is not.
  const std::uint64_t end = wanted.offset + wanted.length;
  std::uint64_t missing = wanted.offset;
  std::vector<UndoPiece> pieces;
  const auto look = [&](const UndoPiece& piece) {
    if (piece.offset + piece.length > wanted.offset && piece.offset <= missing) {
      pieces.push_back(piece);
      missing = piece.offset + piece.length;
    }
    return piece.offset < end;
  };
  if (auto good = blockdev::read_undo_ranges(read, info, look); !good) {
    return wrong(wanted.file, good.error());
  }
  if (missing < end) {
    return failure(
        fmt::format("{}: byte {} of the volume was not kept: both copies had the same there",
                    wanted.file, missing));
  }
  std::vector<std::byte> data;
  for (const UndoPiece& piece : pieces) {
    // A long range of zeroes is printed in parts.
    for (std::uint64_t at = 0; at < piece.length;) {
      const std::uint64_t bytes = std::min(piece.length - at, blockdev::undo_data_bytes_max);
      data.resize(bytes);
      if (auto good = blockdev::read_undo_data(read, piece, data); !good) {
        return wrong(wanted.file, good.error());
      }
      const std::uint64_t place = piece.offset + at;
      at += bytes;
      const std::uint64_t first = std::max(place, wanted.offset);
      const std::uint64_t last = std::min(place + bytes, end);
      if (first >= last) continue;
      const auto part = std::span<const std::byte>(data).subspan(first - place, last - first);
      if (auto good = write_whole(STDOUT_FILENO, part, 0, false, "the standard output"); !good) {
        return good;
      }
    }
  }
  return {};
}

Result<> undo_export(const Arguments& arguments) {
  const UndoArguments& wanted = arguments.undo;
  const auto undo = OpenUndo::open(wanted.file);
  if (!undo) return std::unexpected(undo.error());
  const UndoInfo& info = (*undo)->info;
  if (auto made = blockdev::create_sparse_file(wanted.out, info.volume_bytes); !made) return made;
  const File out(wanted.out, O_WRONLY);
  if (!out) return failure(fmt::format("{} cannot be written: {}", wanted.out, out.why()));
  const ReadUndo read = (*undo)->file.reader();
  std::vector<std::byte> data;
  Result<> good;
  const auto write = [&](const UndoPiece& piece) {
    if (piece.zeroes) return true;  // the new file has a hole there
    data.resize(piece.length);
    good = blockdev::read_undo_data(read, piece, data);
    if (!good) good = wrong(wanted.file, good.error());
    if (good) good = write_whole(out.fd(), data, piece.offset, true, wanted.out);
    return good.has_value();
  };
  const Result<> walked = blockdev::read_undo_ranges(read, info, write);
  if (!walked) return wrong(wanted.file, walked.error());
  if (good && ::fsync(out.fd()) != 0) {
    return failure(fmt::format("{} cannot be written: {}", wanted.out, std::strerror(errno)));
  }
  return good;
}

}  // namespace baton::control
