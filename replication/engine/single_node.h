// A resource that has one node only: Primary at once, every request goes straight to the disk.
//
// Nothing is remembered in the metadata: there is no other copy that could differ. The metadata is
// opened and kept locked all the same, so that adding a second node later finds it there.
#pragma once

#include <memory>

#include "replication/engine/resource.h"

namespace baton::replication {

std::unique_ptr<Resource> make_single_node(Environment environment, ResourceConfig config);

}  // namespace baton::replication
