#include "blockdev/memory_device.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

#include "blockdev/request_list.h"

namespace baton::blockdev {
namespace {

constexpr std::uint64_t page_size = 4096;
using Page = std::array<std::byte, page_size>;

// The part of a range that lies in one page.
struct Piece {
  std::uint64_t page;
  std::uint64_t begin;  // within the page
  std::uint64_t length;
  bool whole() const { return length == page_size; }
};

Piece piece_at(std::uint64_t at, std::uint64_t end) {
  const std::uint64_t begin = at % page_size;
  return {at / page_size, begin, std::min(page_size - begin, end - at)};
}

class MemoryDevice final : public BlockDevice {
 public:
  MemoryDevice(Loop& loop, std::uint64_t size) : loop_(loop), work_(*this) {
    limits_.size = size;
    limits_.discard = limits_.discard_zeroes = limits_.fast_zero = true;
  }

  const Limits& limits() const override { return limits_; }
  std::string name() const override { return "memory"; }

  void submit(Request& request) override {
    request.reason = nullptr;
    submitted_.push_back(request);
    loop_.post(work_);
  }

 private:
  struct Work final : Runnable {
    explicit Work(MemoryDevice& owner) : Runnable(&MemoryDevice::run), device(owner) {}
    MemoryDevice& device;
  };

  // What is submitted meanwhile waits for the next round, so that a client cannot starve others.
  static void run(Runnable& work) {
    MemoryDevice& device = static_cast<Work&>(work).device;
    RequestList batch;
    batch.swap(device.submitted_);
    while (!batch.empty()) {
      Request& request = batch.front();
      batch.pop_front();
      request.error = device.carry_out(request);
      request.complete();  // may destroy the device, if it was the last
    }
  }

  IoError carry_out(Request& request) {
    if (request.op == Op::flush || request.op == Op::prefetch) return IoError::none;
    if (request.offset > limits_.size || request.length > limits_.size - request.offset) {
      return IoError::invalid;
    }
    if (request.op == Op::block_status) return describe(request);
    if (request.op == Op::sync_status) return IoError::unsupported;
    const std::uint64_t end = request.offset + request.length;
    for (std::uint64_t at = request.offset; at < end;) {
      const Piece piece = piece_at(at, end);
      touch(request, piece, at - request.offset);
      at += piece.length;
    }
    return IoError::none;
  }

  void touch(const Request& request, const Piece& piece, std::uint64_t done) {
    if (request.op == Op::read) return read(piece, request.data + done);
    if (request.op == Op::write) {
      std::memcpy(make(piece.page).data() + piece.begin, request.data + done, piece.length);
      return;
    }
    const bool keep = request.op == Op::write_zeroes && request.flags.no_hole;
    zero(piece, keep);
  }

  void read(const Piece& piece, std::byte* to) const {
    const Page* page = find(piece.page);
    if (page == nullptr) {
      std::memset(to, 0, piece.length);
    } else {
      std::memcpy(to, page->data() + piece.begin, piece.length);
    }
  }

  void zero(const Piece& piece, bool keep_allocated) {
    if (piece.whole() && !keep_allocated) {
      pages_.erase(piece.page);
      return;
    }
    if (!keep_allocated && find(piece.page) == nullptr) return;
    std::memset(make(piece.page).data() + piece.begin, 0, piece.length);
  }

  IoError describe(const Request& request) const {
    const std::uint64_t end = request.offset + request.length;
    const std::size_t wanted = request.flags.req_one ? 1 : extent_limit;
    request.extents->clear();
    for (std::uint64_t at = request.offset; at < end;) {
      const Piece piece = piece_at(at, end);
      const bool hole = find(piece.page) == nullptr;
      const bool same = !request.extents->empty() && request.extents->back().hole == hole;
      if (same) {
        request.extents->back().length += piece.length;
      } else if (request.extents->size() == wanted) {
        break;
      } else {
        request.extents->push_back({piece.length, hole, hole});
      }
      at += piece.length;
    }
    return IoError::none;
  }

  const Page* find(std::uint64_t index) const {
    const auto found = pages_.find(index);
    return found == pages_.end() ? nullptr : found->second.get();
  }
  Page& make(std::uint64_t index) {
    auto& page = pages_[index];
    if (page == nullptr) page = std::make_unique<Page>();  // zeroed
    return *page;
  }

  Loop& loop_;
  Limits limits_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Page>> pages_;
  RequestList submitted_;
  Work work_;
};

}  // namespace

std::unique_ptr<BlockDevice> make_memory_device(Loop& loop, std::uint64_t size) {
  return std::make_unique<MemoryDevice>(loop, size);
}

}  // namespace baton::blockdev
