// Goal: a file device behaves as an array of bytes, whatever overlaps whatever. Method: rounds of
// random requests that are in flight together, crowded into a few blocks so that they collide; a
// byte may then hold what it held before only if no write covered it, and otherwise one of the
// values of the writes that did; a sector that the same writes cover throughout holds one of them
// whole. The model goes on from what was found.
#include <gtest/gtest.h>
// (gtest first: rapidcheck/gtest.h expects it)
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <ostream>
#include <set>

#include "tests/support/device_rig.h"

namespace baton::blockdev {
namespace {

constexpr std::uint64_t crowded_bytes = 24U << 10U;
constexpr std::uint64_t sector = 512;

struct Step {
  Op op = Op::read;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::size_t shift = 0;  // of the buffer from its alignment
  bool fua = false;
};

std::ostream& operator<<(std::ostream& out, const Step& step) {
  return out << name_of(step.op) << " " << step.offset << "+" << step.length << " shift "
             << step.shift << (step.fua ? " fua" : "");
}

// Offsets and lengths near block borders are as likely as any others.
rc::Gen<std::uint64_t> border(std::uint64_t max) {
  return rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, max + 1),
                        rc::gen::map(rc::gen::inRange<std::uint64_t>(0, max / sector + 1),
                                     [](std::uint64_t n) { return n * sector; }),
                        rc::gen::map(rc::gen::inRange<std::uint64_t>(0, max / 4096 + 1),
                                     [](std::uint64_t n) { return n * 4096; }));
}

rc::Gen<Step> any_step() {
  return rc::gen::apply(
      [](Op op, std::uint64_t offset, std::uint64_t length, std::size_t shift, bool fua) {
        const std::uint64_t begin = std::min(offset, crowded_bytes);
        return Step{op, begin, std::min(length, crowded_bytes - begin), shift, fua};
      },
      rc::gen::weightedElement<Op>({{6, Op::write},
                                    {2, Op::read},
                                    {1, Op::discard},
                                    {1, Op::write_zeroes},
                                    {1, Op::flush},
                                    {1, Op::block_status}}),
      border(crowded_bytes), border(8192),
      rc::gen::weightedElement<std::size_t>({{3, 0}, {1, 1}, {1, 512}}),
      rc::gen::weightedElement<bool>({{9, false}, {1, true}}));
}

struct InFlight {
  Step step;
  std::byte value{0};
  std::unique_ptr<AlignedBytes> data;
  std::vector<Extent> extents;
  Request request;

  bool mutates() const {
    return step.op == Op::write || step.op == Op::discard || step.op == Op::write_zeroes;
  }
  bool covers(std::uint64_t at) const {
    return step.offset <= at && at < step.offset + step.length;
  }
};

// A device that lives through all cases, and the bytes that it should hold.
class Modelled {
 public:
  Modelled(const std::string& folder, bool direct) : path_(folder) {
    if (!create_sparse_file(path_.str(), crowded_bytes)) throw std::runtime_error("no scratch");
    FileOptions options;
    options.direct = direct;
    auto opened = open_file_device(*rig_.ring, rig_.shard.buffers(), path_.str(), options);
    if (!opened) throw std::runtime_error(opened.error().message);
    device_ = std::move(*opened);
    model_.assign(crowded_bytes, std::byte{0});
  }

  void round(const std::vector<Step>& steps) {
    std::deque<InFlight> requests;
    for (const Step& step : steps) start(requests.emplace_back(), step);
    rig_.drain();
    AlignedBytes now(crowded_bytes);
    RC_ASSERT(rig_.read(*device_, 0, now.data(), now.size()) == IoError::none);
    for (const InFlight& one : requests) {
      RC_ASSERT(one.request.error == IoError::none);
      if (one.step.op == Op::read) check_read(one, requests);
      if (one.step.op == Op::block_status) check_extents(one);
    }
    check_content(now, requests);
    std::memcpy(model_.data(), now.data(), now.size());
  }

 private:
  void start(InFlight& one, const Step& step) {
    one.step = step;
    one.data = std::make_unique<AlignedBytes>(step.length, step.shift);
    // Values repeat after 255 writes, far more than a round and the content before it can hold.
    if (step.op == Op::write) one.value = static_cast<std::byte>(next_value_++ % 255 + 1);
    std::memset(one.data->data(), static_cast<int>(one.value), step.length);
    one.request.op = step.op;
    one.request.offset = step.offset;
    one.request.length = step.length;
    one.request.flags.fua = step.fua;
    one.request.data = one.data->data();
    one.request.extents = &one.extents;
    rig_.submit(*device_, one.request);
  }

  using Writers = std::vector<const InFlight*>;
  static Writers writers_of(std::uint64_t at, const std::deque<InFlight>& requests) {
    Writers writers;
    for (const InFlight& one : requests) {
      if (one.mutates() && one.covers(at)) writers.push_back(&one);
    }
    return writers;
  }
  static bool wrote(const Writers& writers, std::byte value) {
    return std::ranges::any_of(writers, [value](const InFlight* w) { return w->value == value; });
  }

  // Borders between which the same requests cover every byte, and no sector ends.
  static std::set<std::uint64_t> pieces(const std::deque<InFlight>& requests) {
    std::set<std::uint64_t> borders;
    for (std::uint64_t at = 0; at <= crowded_bytes; at += sector) borders.insert(at);
    for (const InFlight& one : requests) {
      borders.insert(one.step.offset);
      borders.insert(one.step.offset + one.step.length);
    }
    return borders;
  }

  void check_content(AlignedBytes& now, const std::deque<InFlight>& requests) const {
    const auto borders = pieces(requests);
    for (auto next = std::next(borders.begin()); next != borders.end(); ++next) {
      const std::uint64_t begin = *std::prev(next);
      const auto piece = now.span().subspan(begin, *next - begin);
      const Writers writers = writers_of(begin, requests);
      if (writers.empty()) {
        RC_ASSERT(std::memcmp(piece.data(), &model_[begin], piece.size()) == 0);
      } else {
        RC_ASSERT(wrote(writers, piece[0]));
        RC_ASSERT(std::ranges::count(piece, piece[0]) == std::ssize(piece));  // one of them, whole
      }
    }
  }

  void check_read(const InFlight& read, const std::deque<InFlight>& requests) const {
    const auto borders = pieces(requests);
    for (std::uint64_t at = read.step.offset; read.covers(at);) {
      const std::uint64_t border = *borders.upper_bound(at);
      const Writers writers = writers_of(at, requests);
      bool possible = true;
      for (; at < border && read.covers(at); ++at) {
        const std::byte value = read.data->data()[at - read.step.offset];
        possible = possible && (value == model_[at] || wrote(writers, value));
      }
      RC_ASSERT(possible);
    }
  }

  static void check_extents(const InFlight& status) {
    std::uint64_t covered = 0;
    for (const Extent& extent : status.extents) {
      RC_ASSERT(extent.length > 0U);
      covered += extent.length;
    }
    RC_ASSERT(covered <= status.step.length);
    const bool moves_on = covered > 0 || status.step.length == 0;
    RC_ASSERT(moves_on);
  }

  Rig rig_;
  ScratchPath path_;
  std::unique_ptr<BlockDevice> device_;
  std::vector<std::byte> model_;
  unsigned next_value_ = 0;
};

void behaves_as_bytes(Modelled& device) {
  const auto rounds =
      *rc::gen::scale(0.2, rc::gen::container<std::vector<std::vector<Step>>>(rc::gen::resize(
                               12, rc::gen::container<std::vector<Step>>(any_step()))));
  for (const auto& steps : rounds) device.round(steps);
}

RC_GTEST_PROP(FileDevice, on_a_disk_is_an_array_of_bytes, ()) {
  static Modelled device(testing::TempDir(), true);
  behaves_as_bytes(device);
}
RC_GTEST_PROP(FileDevice, through_the_page_cache_is_an_array_of_bytes, ()) {
  static Modelled device(testing::TempDir(), false);
  behaves_as_bytes(device);
}
RC_GTEST_PROP(FileDevice, on_tmpfs_is_an_array_of_bytes, ()) {
  static Modelled device("/dev/shm", true);
  behaves_as_bytes(device);
}

}  // namespace
}  // namespace baton::blockdev
