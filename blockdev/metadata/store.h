// Metadata over a BlockDevice: the three writers (superblock, activity log, bitmaps) side by side.
//
// They share nothing but the device and its first error, after which none of them writes again.
#pragma once

#include <memory>
#include <vector>

#include "blockdev/metadata/activity_writer.h"
#include "blockdev/metadata/area_reader.h"
#include "blockdev/metadata/bitmap_writer.h"
#include "blockdev/metadata/superblock_writer.h"

namespace baton::blockdev {

class Store final : public Metadata {
 public:
  // As Metadata::open.
  static Task<Result<std::unique_ptr<Store>>> open(Loop& loop, BlockDevice& device,
                                                   std::vector<std::string>& warnings,
                                                   std::size_t active_regions_limit);

  Store(Loop& loop, BlockDevice& device, MetadataArea area, std::size_t active_regions_limit);

  const Superblock& superblock() const override { return superblock_.durable(); }
  const Superblock& latest() const override { return superblock_.latest(); }
  Task<IoError> commit(Superblock next) override { return superblock_.commit(std::move(next)); }

  const std::vector<std::uint64_t>& recovered_regions() const override {
    return activity_.recovered();
  }
  bool acquire_if_active(std::uint64_t offset, std::uint64_t length) override {
    return activity_.acquire_if_active(offset, length);
  }
  Task<IoError> acquire(std::uint64_t offset, std::uint64_t length) override {
    return activity_.acquire(offset, length);
  }
  void release(std::uint64_t offset, std::uint64_t length) override {
    activity_.release(offset, length);
  }
  std::uint64_t begin_interval() override { return activity_.begin_interval(); }
  void mark_clean(std::uint64_t interval) override { activity_.mark_clean(interval); }
  void set_pressure_handler(void (*handler)(void*), void* context) override {
    activity_.set_pressure_handler(handler, context);
  }
  void refuse_acquires() override { activity_.refuse_acquires(); }
  Task<IoError> empty_activity_log() override { return activity_.empty(); }
  std::size_t active_regions() const override { return activity_.log().size(); }
  std::size_t active_regions_max() const override { return activity_.log().limit(); }
  const ActivityCounters& activity_counters() const override { return activity_.counters(); }

  std::uint32_t slots() const override { return static_cast<std::uint32_t>(bitmaps_.size()); }
  Bitmap& bitmap(std::uint32_t slot) override { return bitmaps_[slot]->bitmap(); }
  Task<IoError> write_bitmap(std::uint32_t slot) override {
    return bitmaps_[slot]->write_changes();
  }

 private:
  Fault fault_;
  SuperblockWriter superblock_;
  ActivityWriter activity_;
  std::vector<std::unique_ptr<BitmapWriter>> bitmaps_;
};

}  // namespace baton::blockdev
