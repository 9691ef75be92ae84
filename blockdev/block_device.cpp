#include "blockdev/block_device.h"

namespace baton::blockdev {

const char* name_of(Op op) noexcept {
  switch (op) {
    case Op::read:
      return "read";
    case Op::write:
      return "write";
    case Op::flush:
      return "flush";
    case Op::discard:
      return "discard";
    case Op::write_zeroes:
      return "write zeroes";
    case Op::block_status:
      return "block status";
    case Op::sync_status:
      return "sync status";
    case Op::prefetch:
      return "prefetch";
  }
  return "unknown operation";
}

}  // namespace baton::blockdev
