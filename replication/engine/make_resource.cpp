#include "replication/engine/resource.h"
#include "replication/engine/single_node.h"

namespace baton::replication {

std::unique_ptr<Resource> make_resource(Environment environment, ResourceConfig config) {
  return make_single_node(environment, std::move(config));
}

}  // namespace baton::replication
