// The nearest known word to one that was probably mistyped. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace baton::control {

// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b);

// The known word with the smallest distance, the first of equals. `known` is not empty.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

// For the end of an error: `did you mean "protocol"?` when the nearest word is near, otherwise
// `the nearest known key is "name" (known here: name, protocol)`. `noun` says what the words are.
std::string suggestion(std::string_view word, std::span<const std::string_view> known,
                       std::string_view noun);

}  // namespace baton::control
