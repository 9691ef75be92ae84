// What the files of a host could hold after a crash: the writes that must be there, and some of the
// others.
#pragma once

#include <array>
#include <string>

#include "tests/crash/recording.h"
#include "tests/simulation/prng.h"

namespace baton::crash {

// How the host comes to its end.
enum class Fate : std::uint8_t {
  absent,     // it is not there for the recovery; what it holds does not matter
  killed,     // its process: completed writes are there, the host runs on
  power_cut,  // completed writes that no completed flush covers may be gone, too
};

// Which of the writes that may be there or not are there. Data and metadata have one power supply
// and one policy.
enum class Keep : std::uint8_t {
  nothing,
  everything,
  only_data,      // all of the data, nothing of the metadata
  only_metadata,  // the other way round
  prefix,         // in the order in which they were submitted, up to one of them
  newest,         // from one of them on: later ones have overtaken earlier ones
  subset,         // each or not
  torn,           // each sector of each or not
};
inline constexpr std::array all_keeps = {
    Keep::nothing, Keep::everything, Keep::only_data, Keep::only_metadata,
    Keep::prefix,  Keep::newest,     Keep::subset,    Keep::torn,
};

const char* name_of(Fate fate);
const char* name_of(Keep keep);

struct HostImage {
  sim::SparseImage data{volume_bytes};
  sim::SparseImage metadata{0};
  std::uint64_t boot = 0;
  std::uint64_t uncertain = 0;  // writes that may be there or not
  std::uint64_t choice = 0;     // equal for equal images of the same host, fate and point
};

// At `point`; `random` is drawn from for the policies that are by chance.
HostImage image_at(const Recording& recording, int node, std::uint64_t point, Fate fate, Keep keep,
                   sim::Prng random);

}  // namespace baton::crash
