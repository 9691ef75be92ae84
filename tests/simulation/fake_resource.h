// A stand-in for the engine, for testing the world itself: replicates by calling the other fake,
// keeps no metadata, and lies on request. It is right enough to pass the rules when it does not
// lie, so that each lie shows what the rules catch.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "tests/simulation/node.h"

namespace baton::sim {

enum class Lie : std::uint8_t {
  none,
  ack_before_peer,  // acknowledges when the own disk has it; the peer's write comes later
  lose_at_peer,     // every eighth write never reaches the peer
  stale_read,       // the Secondary answers from what it read there last time
  two_writers,      // the Secondary writes too
  two_primaries,    // and says that it is Primary
  flush_nothing,    // flush is answered at once
  flush_only_here,  // the peer's disk is not flushed
  ignore_fua,
  mark_clean_early,    // claims UpToDate before the copy is complete
  forget_a_request,    // every fiftieth is never answered
  wrong_place,         // every fortieth write lands one sector further on the peer
  refuse_but_write,    // a Secondary says EPERM and writes all the same
  uninitialised_read,  // every thirtieth read leaves its buffer alone
  no_split_brain,      // whoever returns from a fork is overwritten
};

class FakeResource;

class FakeFactory final : public Factory {
 public:
  explicit FakeFactory(Lie lie = Lie::none) : lie_(lie) {}
  std::unique_ptr<replication::Resource> make(int node, replication::Environment environment,
                                              replication::ResourceConfig config) override;
  std::uint64_t metadata_bytes(std::uint64_t /*volume_size*/) override { return 65536; }
  Task<Result<>> create_metadata(Loop& loop, blockdev::BlockDevice& device,
                                 const replication::ResourceConfig& config,
                                 std::uint32_t volume) override;

 private:
  friend class FakeResource;
  Lie lie_;
  std::array<FakeResource*, 2> running_{};
  // What real nodes keep in their metadata.
  std::array<bool, 2> behind_{false, false};
  std::array<bool, 2> wrote_alone_{false, false};
  bool created_ = false;
  int holder_ = -1;
};

}  // namespace baton::sim
