// What the writers of random scripts share: steps with random times, bursts of random requests.
#pragma once

#include "tests/simulation/prng.h"
#include "tests/simulation/script.h"

namespace baton::sim {

class Author {
 public:
  Author(Prng random, Script& script) : random_(random), script_(script) {}

 protected:
  Step& add(Do what, int node = -1, std::vector<std::string> words = {});
  Step& burst(int node);
  int any_node() { return static_cast<int>(random_.below(2)); }

  Prng random_;
  Script& script_;

 private:
  Duration gap();
};

}  // namespace baton::sim
