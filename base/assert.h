// Always-on assertions: a broken belief of ours ends the process before it can touch data.
//
// Three classes of trouble are kept apart everywhere (design §9): a peer or client misbehaved
// (drop its connection), a disk misbehaved (detach it), we misbehaved (BATON_ASSERT). Never assert
// on anything that arrived over a wire or from a disk.
#pragma once

namespace baton {

// Prints the expression, the reason and the place on stderr, then aborts.
[[noreturn]] void assertion_failed(const char* expression, const char* reason, const char* file,
                                   int line) noexcept;

}  // namespace baton

// `reason` says why we believe the expression holds.
#define BATON_ASSERT(expression, reason) \
  (static_cast<bool>(expression)         \
       ? static_cast<void>(0)            \
       : ::baton::assertion_failed(#expression, reason, __FILE__, __LINE__))
