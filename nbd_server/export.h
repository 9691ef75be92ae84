// What the server knows of an export, and the table a listener offers. No knowledge of what stands
// behind it: a file, memory, a replicated volume.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "blockdev/block_device.h"
#include "nbd_server/access.h"
#include "nbd_server/wire/exports.h"

namespace baton::nbd {

// One name under which a block device is offered. Lives on one shard, as its devices do.
//
// MULTI_CONN is always announced, so every device that open() gives is a door to the same store: a
// flush through one covers what was completed through another (blockdev/block_device.h says so).
class Export {
 public:
  virtual ~Export() = default;

  // At most 4096 bytes, no NUL; anything else is ordinary ("vm1/1").
  virtual std::string name() const = 0;
  // For people, shown by `nbdinfo`; may be empty.
  virtual std::string description() const { return {}; }
  // Known before anything is opened, and equal to the limits of what open() gives.
  virtual const blockdev::Limits& limits() const = 0;

  // Who is let in; the same for the life of the export.
  virtual const Access& access() const {
    static const Access everybody;
    return everybody;
  }

  // A door for one client, opened as the last step of its handshake and destroyed when its
  // connection has ended and none of its requests is in flight. Opening is no permission to write
  // (design §3, rule 3). A refusal is answered to the client with its sentence.
  virtual std::expected<std::unique_ptr<blockdev::BlockDevice>, ExportRefusal> open(
      const std::string& client_name) = 0;
};

// What is announced about `offered`.
ExportFacts facts_of(const Export& offered);

// The exports of one listener, in the order they were added. Holds references: remove an export
// before it is destroyed. Connections that were opened through it live on.
class ExportTable {
 public:
  enum class Default : bool { no, yes };

  // `as_default`: whether a client that asks for "" may mean this one.
  void add(Export& offered, Default as_default = Default::yes);
  void remove(Export& offered);

  // "" finds the export of that name, else the one default export; with several it names them.
  // Refused, too, where `client` may not have it.
  std::expected<Export*, ExportRefusal> find(std::string_view name, const Client& client) const;
  // Those that `client` may have.
  std::vector<ExportFacts> list(const Client& client) const;

 private:
  struct Entry {
    Export* offered;
    Default as_default;
  };
  std::expected<Export*, ExportRefusal> find_any(std::string_view name, const Client& client) const;
  std::string names(const Client& client) const;
  std::vector<Entry> entries_;
};

}  // namespace baton::nbd
