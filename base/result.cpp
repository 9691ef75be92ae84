#include "base/result.h"

#include <cerrno>

namespace baton {

const char* name_of(IoError error) noexcept {
  switch (error) {
    case IoError::none:
      return "success";
    case IoError::not_permitted:
      return "EPERM";
    case IoError::io:
      return "EIO";
    case IoError::no_memory:
      return "ENOMEM";
    case IoError::invalid:
      return "EINVAL";
    case IoError::no_space:
      return "ENOSPC";
    case IoError::overflow:
      return "EOVERFLOW";
    case IoError::unsupported:
      return "ENOTSUP";
    case IoError::shutdown:
      return "ESHUTDOWN";
  }
  return "unknown error";
}

IoError io_error_from_errno(int error) noexcept {
  switch (error) {
    case 0:
      return IoError::none;
    case EPERM:
    case EROFS:
      return IoError::not_permitted;
    case ENOMEM:
      return IoError::no_memory;
    case EINVAL:
      return IoError::invalid;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return IoError::no_space;
    case EOVERFLOW:
      return IoError::overflow;
    case EOPNOTSUPP:
      return IoError::unsupported;
    case ESHUTDOWN:
      return IoError::shutdown;
    default:
      return IoError::io;
  }
}

}  // namespace baton
