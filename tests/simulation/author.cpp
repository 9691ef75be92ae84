#include "tests/simulation/author.h"

namespace baton::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

Step& Author::add(Do what, int node, std::vector<std::string> words) {
  Step step;
  step.what = what;
  step.node = node;
  step.words = std::move(words);
  step.id = script_.size() + 1;
  step.after = gap();
  return script_.emplace_back(std::move(step));
}

// Mostly within the time of a few requests, now and then past a timeout.
Duration Author::gap() {
  const std::uint64_t kind = random_.below(10);
  const Duration most = kind < 5   ? Duration(milliseconds(1))
                        : kind < 8 ? Duration(milliseconds(50))
                        : kind < 9 ? Duration(seconds(2))
                                   : Duration(seconds(15));
  return microseconds(random_.below(static_cast<std::uint64_t>(most.count() / 1000)));
}

Step& Author::burst(int node) {
  Step& step = add(Do::burst, node);
  step.numbers = {{"requests", random_.between(1, 60)},
                  {"depth", random_.percent(30) ? 1 : random_.between(1, 32)},
                  {"reads", random_.below(60)},
                  {"flushes", random_.below(20)},
                  {"fua", random_.percent(50) ? 0 : random_.below(50)},
                  {"discards", random_.percent(70) ? 3 : random_.below(30)},
                  {"zeroes", random_.percent(70) ? 3 : random_.below(30)},
                  {"hot", random_.between(1, 64)},
                  {"max", 512U << random_.below(8)},
                  {"think", random_.percent(60) ? 0 : random_.below(2000)}};
  return step;
}

}  // namespace baton::sim
