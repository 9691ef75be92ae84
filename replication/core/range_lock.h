// Which byte ranges of a volume are busy: overlapping writes go one after the other, in the order
// they came, on every copy. Pure and intrusive: a claim lives with its request.
//
// A claim waits for every earlier claim that it conflicts with (first in, first out, so nothing
// starves). Two claims conflict when they overlap and at least one is exclusive.
#pragma once

#include <boost/intrusive/list.hpp>
#include <cstdint>

namespace baton::replication {

class RangeClaim : public boost::intrusive::list_base_hook<
                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  // Called when a claim that had to wait is granted, from inside RangeLock::release().
  using Granted = void (*)(RangeClaim&);

  RangeClaim() = default;
  RangeClaim(std::uint64_t offset, std::uint64_t length, bool exclusive)
      : offset_(offset), length_(length), exclusive_(exclusive) {}
  RangeClaim(const RangeClaim&) = delete;
  RangeClaim& operator=(const RangeClaim&) = delete;

  std::uint64_t offset() const { return offset_; }
  std::uint64_t length() const { return length_; }
  bool exclusive() const { return exclusive_; }
  bool entered() const { return is_linked(); }
  void* context() const { return context_; }

 private:
  friend class RangeLock;
  bool conflicts_with(const RangeClaim& other) const {
    return (exclusive_ || other.exclusive_) && offset_ < other.offset_ + other.length_ &&
           other.offset_ < offset_ + length_;
  }
  std::uint64_t offset_ = 0;
  std::uint64_t length_ = 0;
  bool exclusive_ = true;
  std::uint32_t blockers_ = 0;  // earlier conflicting claims that are still there
  bool waiting_ = false;        // not granted
  Granted on_granted_ = nullptr;
  void* context_ = nullptr;
};

class RangeLock {
 public:
  // Gives `claim` its place, behind those that are there. True if granted at once. It stays in the
  // lock until release().
  bool enter(RangeClaim& claim);
  // True if `claim`, which has entered, is granted; else `granted` is called when it is, once.
  bool wait(RangeClaim& claim, RangeClaim::Granted granted, void* context);
  // Ends a claim, granted or waiting, and grants those that waited only for it.
  void release(RangeClaim& claim);

  // True if an exclusive claim (granted or waiting) overlaps the range.
  bool written_in(std::uint64_t offset, std::uint64_t length) const;
  bool empty() const { return claims_.empty(); }

 private:
  bool grant_next();

  // A handful to a few hundred claims: a linear look is cheaper than a tree (4 KiB at depth 32).
  boost::intrusive::list<RangeClaim, boost::intrusive::constant_time_size<false>> claims_;
};

}  // namespace baton::replication
