#include "control/client/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace baton::control {

std::string progress_text(std::string_view text, double fraction) {
  if (fraction < 0) return std::string(text);
  constexpr int width = 24;
  const double bounded = std::min(fraction, 1.0);
  const int filled = static_cast<int>(bounded * width);
  std::string bar(static_cast<std::size_t>(filled), '=');
  if (filled < width) bar += '>';
  return fmt::format("[{:<{}}] {:>3} %  {}", bar, width, static_cast<int>(bounded * 100), text);
}

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) == 1) {}

void ProgressLine::show(std::string_view text, double fraction) {
  if (!terminal_) return;
  // \r and "erase to the end of the line" (ECMA-48 EL), so that a shorter text leaves nothing over.
  fmt::print(stderr, "\r\x1b[K{}", progress_text(text, fraction));
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressLine::clear() {
  if (!drawn_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  drawn_ = false;
}

bool can_ask() {
  return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

bool ask(std::string_view risk) {
  fmt::print(stderr, "{}\nGo on all the same? Type yes: ", risk);
  std::fflush(stderr);
  std::string answer;
  return std::getline(std::cin, answer) && answer == "yes";
}

}  // namespace baton::control
