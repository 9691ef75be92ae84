// Marks on rare paths, so that the simulator can say which of them its worlds reach
// (docs/reliability.md "Coverage marks"). A mark stands on the path:
//
//   if (!durable) {
//     reached("generation-not-durable");
//
// Only the preset `mutants` compiles them in; elsewhere nothing of them is left in the program.
// They count per process and without a lock: for programs of one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>

namespace baton {

// How many times by name, of the marks that were reached at all.
using MarkCounts = std::map<std::string_view, std::uint64_t>;

#ifdef BATON_MUTANTS

// `name` is a literal: it is kept, not copied.
void reached(std::string_view name);
// Since the last call, which forgets them.
MarkCounts take_marks();
inline constexpr bool marks_compiled_in = true;

#else

constexpr void reached(std::string_view /*name*/) {}
inline MarkCounts take_marks() {
  return {};
}
inline constexpr bool marks_compiled_in = false;

#endif

}  // namespace baton
