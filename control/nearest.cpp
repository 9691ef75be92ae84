#include "control/nearest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "base/assert.h"

namespace baton::control {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Optimal string alignment: rows i-2, i-1 and i of the usual matrix.
  std::vector<std::size_t> before_last(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::swap(before_last, last);
    std::swap(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
  BATON_ASSERT(!known.empty(), "lists of known words are constants of the program");
  return *std::min_element(known.begin(), known.end(), [word](auto a, auto b) {
    return edit_distance(word, a) < edit_distance(word, b);
  });
}

std::string suggestion(std::string_view word, std::span<const std::string_view> known,
                       std::string_view noun) {
  const std::string_view best = nearest(word, known);
  // A third of the word wrong still reads as a slip; two letters always do.
  const std::size_t near = std::max<std::size_t>(2, word.size() / 3);
  if (edit_distance(word, best) <= near) return fmt::format("did you mean \"{}\"?", best);
  return fmt::format("the nearest known {} is \"{}\" (known here: {})", noun, best,
                     fmt::join(known, ", "));
}

}  // namespace baton::control
