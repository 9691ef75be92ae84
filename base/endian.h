// Integers with a fixed byte order and alignment 1, for wire and disk structs.
#pragma once

#include <boost/endian/arithmetic.hpp>

namespace baton {

// NBD is big-endian; Baton's own wire and disk formats are little-endian (design §7).
using be16 = boost::endian::big_uint16_t;
using be32 = boost::endian::big_uint32_t;
using be64 = boost::endian::big_uint64_t;
using le16 = boost::endian::little_uint16_t;
using le32 = boost::endian::little_uint32_t;
using le64 = boost::endian::little_uint64_t;

}  // namespace baton
