#include "base/mutant.h"

#include <utility>

namespace baton {

#ifdef BATON_MUTANTS
namespace {
std::string chosen;
bool reached = false;
}  // namespace

bool mutant(std::string_view name) {
  if (chosen.empty() || name != chosen) return false;
  reached = true;
  return true;
}

void choose_mutant(std::string name) {
  chosen = std::move(name);
  reached = false;
}

bool mutant_was_reached() {
  return reached;
}
#endif

}  // namespace baton
