// What batonctl says on a terminal: a progress line that is drawn over itself, and a question.
#pragma once

#include <string>
#include <string_view>

namespace baton::control {

// "[=======>            ] 43 %  vm1: 4.5 GiB to go"; without a known fraction only the text. Pure.
std::string progress_text(std::string_view text, double fraction);

// On stderr; silent where stderr is no terminal.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(std::string_view text, double fraction);
  void clear();

 private:
  bool terminal_;
  bool drawn_ = false;
};

// True when there is somebody to ask: stdin and stderr are a terminal.
bool can_ask();
// Shows `risk` and asks; true for "yes".
bool ask(std::string_view risk);

}  // namespace baton::control
