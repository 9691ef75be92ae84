// Metadata as JSON and as text, for dump-md.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "blockdev/metadata/metadata.h"

namespace baton::control {

// Not const: the bitmaps are reached through accessors for their owner. Nothing is changed.
boost::json::object metadata_json(blockdev::Metadata& metadata,
                                  const std::vector<std::string>& warnings);
// What metadata_json() made, one key a line; ends with a newline.
std::string metadata_text(const boost::json::object& dump);

}  // namespace baton::control
