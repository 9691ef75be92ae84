// Commits of the superblock: both copies, one after the other, with one flush between them.
//
// The flush makes the first copy durable; the second is written behind it and needs no flush of its
// own, because the next commit begins with that copy again. So a torn write never touches the only
// good copy, and once a commit is through, both copies say the same: one of them may rot without
// taking the node back to an older generation, epoch or mark (schedule 19, stale-behind-mark).
#pragma once

#include "blockdev/metadata/rounds.h"
#include "blockdev/metadata/superblock.h"

namespace baton::blockdev {

class SuperblockWriter {
 public:
  // `newest` is the copy that must survive until another one is durable.
  SuperblockWriter(Loop& loop, BlockDevice& device, Fault& fault, DecodedSuperblock loaded,
                   std::uint32_t newest);

  const Superblock& durable() const { return durable_; }
  const Superblock& latest() const { return latest_; }
  Task<IoError> commit(Superblock next);

 private:
  static Task<IoError> write(void* self) { return static_cast<SuperblockWriter*>(self)->write(); }
  Task<IoError> write();
  Task<IoError> write_copy(const Superblock& content, std::uint32_t copy);

  BlockDevice& device_;
  Fault& fault_;
  const Geometry geometry_;
  Superblock durable_;
  Superblock latest_;
  std::uint64_t sequence_;
  std::uint32_t newest_;
  std::unique_ptr<SuperblockPage> page_ = std::make_unique<SuperblockPage>();
  Rounds rounds_;  // last: it uses the rest
};

}  // namespace baton::blockdev
