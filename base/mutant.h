// Switches for one-line defects, so that the simulator can prove it would notice them
// (issue "simulator": mutants). Placed where the naive code would be one line:
//
//   if (mutant("ack-before-peer")) co_return IoError::none;
//
// Only the preset `mutants` compiles them in; elsewhere the condition is a constant false and
// nothing of it is left in the program.
#pragma once

#include <string>
#include <string_view>

namespace baton {

#ifdef BATON_MUTANTS

// True while `name` is the chosen mutant. Also notes that the place was reached.
bool mutant(std::string_view name);
// At most one at a time; empty: none. Forgets which places were reached.
void choose_mutant(std::string name);
// Whether any run came past the chosen mutant: a misspelt name is never reached.
bool mutant_was_reached();
inline constexpr bool mutants_compiled_in = true;

#else

constexpr bool mutant(std::string_view /*name*/) {
  return false;
}
inline void choose_mutant(const std::string& /*name*/) {}
constexpr bool mutant_was_reached() {
  return false;
}
inline constexpr bool mutants_compiled_in = false;

#endif

}  // namespace baton
