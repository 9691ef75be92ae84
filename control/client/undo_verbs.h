// undo-list, undo-read and undo-export: what a copy that yielded had alone (docs/on-disk-format.md
// "The undo file"). They read the files themselves and need no daemon.
#pragma once

#include "base/result.h"
#include "control/client/arguments.h"

namespace baton::control {

Result<> undo_list(const Arguments& arguments);
// To the standard output: all of the range, or nothing where a part of it was not kept.
Result<> undo_read(const Arguments& arguments);
// Makes a sparse file as large as the volume in which every kept block stands in its place.
Result<> undo_export(const Arguments& arguments);

}  // namespace baton::control
