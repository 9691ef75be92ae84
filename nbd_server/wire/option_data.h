// Reads the data of one option, never past its end. Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/endian.h"
#include "nbd_server/wire/protocol.h"

namespace baton::nbd {

// After a read that did not fit, ok() is false for good and everything reads as empty.
class OptionData {
 public:
  explicit OptionData(std::span<const std::byte> data) : left_(data) {}

  bool ok() const { return ok_; }
  // Everything was read and everything fitted.
  bool complete() const { return ok_ && left_.empty(); }
  std::size_t left() const { return left_.size(); }

  std::uint16_t u16() { return number<be16>(); }
  std::uint32_t u32() { return number<be32>(); }

  // A length, then that many bytes. The length is compared, never added to anything
  // (CVE-2022-26495: an allocation of length + 1 with length 0xffffffff).
  std::string_view string() {
    const std::uint32_t length = u32();
    return bytes(length);
  }
  std::string_view bytes(std::size_t length) {
    if (!ok_ || length > left_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken(reinterpret_cast<const char*>(left_.data()), length);
    left_ = left_.subspan(length);
    return taken;
  }

 private:
  template <class Number>
  typename Number::value_type number() {
    Number value{};
    const std::string_view taken = bytes(sizeof value);
    if (!ok_) return 0;
    std::memcpy(&value, taken.data(), taken.size());
    return value;
  }

  std::span<const std::byte> left_;
  bool ok_ = true;
};

// "Strings" of the specification: no NUL, at most 4096 bytes.
inline bool legal_string(std::string_view text) {
  return text.size() <= string_limit_bytes && text.find('\0') == std::string_view::npos;
}

}  // namespace baton::nbd
