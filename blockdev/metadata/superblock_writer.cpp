#include "blockdev/metadata/superblock_writer.h"

#include "base/assert.h"
#include "base/mutant.h"

namespace baton::blockdev {

SuperblockWriter::SuperblockWriter(Loop& loop, BlockDevice& device, Fault& fault,
                                   DecodedSuperblock loaded, std::uint32_t newest)
    : device_(device),
      fault_(fault),
      geometry_(loaded.geometry),
      durable_(loaded.content),
      latest_(std::move(loaded.content)),
      sequence_(loaded.sequence),
      newest_(newest),
      rounds_(loop, fault, &SuperblockWriter::write, this) {}

Task<IoError> SuperblockWriter::commit(Superblock next) {
  BATON_ASSERT(check_encodable(next), "names and lineage are bounded where they come in");
  BATON_ASSERT(next.size == geometry_.volume_size, "a commit does not move the bitmaps");
  if (fault_) co_return fault_.error();
  latest_ = std::move(next);
  co_return co_await rounds_.next();
}

Task<IoError> SuperblockWriter::write() {
  const Superblock content = latest_;  // commits that come meanwhile wait for the next round
  ++sequence_;
  const bool in_place = mutant("superblock-in-place");
  const std::uint32_t older = in_place ? newest_ : 1 - newest_;
  IoError error = co_await write_copy(content, older);
  if (error != IoError::none) co_return error;
  if (!mutant("superblock-not-flushed")) error = co_await flush(device_);
  if (error != IoError::none) co_return error;
  durable_ = content;
  newest_ = older;
  if (in_place) co_return IoError::none;
  co_return co_await write_copy(content, 1 - newest_);
}

Task<IoError> SuperblockWriter::write_copy(const Superblock& content, std::uint32_t copy) {
  encode(*page_, content, geometry_, sequence_, copy);
  co_return co_await write_at(device_, geometry_.superblock_at(copy), bytes_of(*page_));
}

}  // namespace baton::blockdev
