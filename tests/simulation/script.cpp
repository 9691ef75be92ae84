#include "tests/simulation/script.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>
#include <stdexcept>

namespace baton::sim {
namespace {

constexpr std::array<std::pair<std::string_view, Do>, 63> words = {{
    {"promote", Do::promote},
    {"demote", Do::demote},
    {"handover", Do::handover},
    {"connect", Do::connect},
    {"disconnect", Do::disconnect},
    {"attach", Do::attach},
    {"detach", Do::detach},
    {"invalidate", Do::invalidate},
    {"invalidate-remote", Do::invalidate_remote},
    {"pause-sync", Do::pause_sync},
    {"resume-sync", Do::resume_sync},
    {"offer", Do::offer},
    {"resolve", Do::resolve},
    {"resume-io", Do::resume_io},
    {"outdate", Do::outdate},
    {"withdraw", Do::withdraw},
    {"verify", Do::verify},
    {"grant", Do::grant},
    {"allow", Do::allow},
    {"deny", Do::deny},
    {"guest", Do::guest},
    {"stop", Do::stop},
    {"start", Do::start},
    {"burst", Do::burst},
    {"write", Do::write},
    {"read", Do::read},
    {"flush", Do::flush},
    {"stop-clients", Do::stop_clients},
    {"drop-clients", Do::drop_clients},
    {"kill", Do::kill},
    {"power", Do::power},
    {"pause", Do::pause},
    {"resume", Do::resume},
    {"cut", Do::cut},
    {"slow-link", Do::slow_link},
    {"half-open", Do::half_open},
    {"heal", Do::heal},
    {"corrupt", Do::corrupt},
    {"jump", Do::jump},
    {"version", Do::version},
    {"fail", Do::fail},
    {"hang", Do::hang},
    {"mend", Do::mend},
    {"fencing", Do::fencing},
    {"undo-room", Do::undo_room},
    {"slow-disk", Do::slow_disk},
    {"rot", Do::rot},
    {"lose-writes", Do::lose_writes},
    {"misdirect", Do::misdirect},
    {"snapshot", Do::snapshot},
    {"restore", Do::restore},
    {"blank", Do::blank},
    {"create-md", Do::create_md},
    {"wait-sync", Do::wait_sync},
    {"wait-connected", Do::wait_connected},
    {"wait-split-brain", Do::wait_split_brain},
    {"wait-idle", Do::wait_idle},
    {"wait-still", Do::wait_still},
    {"get-well", Do::get_well},
    {"wait", Do::wait},
    {"mark", Do::mark},
    {"is", Do::is},
    {"primary", Do::promote},  // as batonctl spells it
}};

struct Unit {
  std::string_view name;
  std::int64_t nanoseconds;
};
constexpr std::array<Unit, 3> units = {{{"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}}};

std::uint64_t number_in(std::string_view text, std::string_view& rest) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) throw std::invalid_argument("not a number: " + std::string(text));
  rest = text.substr(static_cast<std::size_t>(end - text.data()));
  return value;
}

// "20ms", "40steps"
void take_delay(Step& step, std::string_view text) {
  std::string_view rest;
  const std::uint64_t value = number_in(text, rest);
  if (rest == "steps") {
    step.after_steps = value;
    return;
  }
  for (const Unit& unit : units) {
    if (rest != unit.name) continue;
    step.after = Duration(static_cast<std::int64_t>(value) * unit.nanoseconds);
    return;
  }
  throw std::invalid_argument("not a duration: " + std::string(text));
}

std::string duration_text(Duration duration) {
  for (std::size_t i = units.size(); i-- > 1;) {
    if (duration.count() % units[i].nanoseconds == 0) {
      return fmt::format("{}{}", duration.count() / units[i].nanoseconds, units[i].name);
    }
  }
  return fmt::format("{}us", duration.count() / units[0].nanoseconds);
}

void take_word(Step& step, const std::string& word) {
  const bool is_node = word.size() == 1 && word[0] >= 'A' && word[0] <= 'H';
  if (is_node && step.node < 0) {
    step.node = word[0] - 'A';
  } else if (word == "background") {
    step.background = true;
  } else if (word.starts_with("expect=")) {
    const std::string what = word.substr(7);
    if (what != "done" && what != "refused") throw std::invalid_argument("expect=done|refused");
    step.expect = what == "done" ? Expect::done : Expect::refused;
  } else if (const auto equals = word.find('='); equals != std::string::npos) {
    std::string_view rest;
    const std::uint64_t value = number_in(std::string_view(word).substr(equals + 1), rest);
    step.numbers.emplace_back(word.substr(0, equals), value);
  } else {
    step.words.push_back(word);
  }
}

}  // namespace

bool Step::has_word(std::string_view word) const {
  return std::ranges::find(words, word) != words.end();
}

std::uint64_t Step::number(std::string_view key, std::uint64_t otherwise) const {
  for (const auto& [name, value] : numbers) {
    if (name == key) return value;
  }
  return otherwise;
}

Script parse_script(std::string_view text) {
  Script script;
  std::istringstream lines{std::string(text)};
  std::string line;
  while (std::getline(lines, line)) {
    line.resize(std::min(line.find('#'), line.size()));
    std::istringstream tokens(line);
    std::string token;
    Step step;
    bool verb = false;
    while (tokens >> token) {
      if (token[0] == '+') {
        take_delay(step, std::string_view(token).substr(1));
      } else if (token[0] == '@') {
        std::string_view rest;
        step.strikes_at = number_in(std::string_view(token).substr(1), rest);
      } else if (token.starts_with("id=")) {
        std::string_view rest;
        step.id = number_in(std::string_view(token).substr(3), rest);
      } else if (!verb) {
        const auto found = std::ranges::find(words, token, &std::pair<std::string_view, Do>::first);
        if (found == words.end()) throw std::invalid_argument("unknown step: " + line);
        step.what = found->second;
        verb = true;
      } else {
        take_word(step, token);
      }
    }
    if (!verb) continue;
    if (step.id == 0) step.id = script.size() + 1;
    script.push_back(std::move(step));
  }
  return script;
}

std::string to_text(const Step& step) {
  std::string out;
  if (step.strikes_at) out += fmt::format("@{} ", *step.strikes_at);
  if (step.after.count() > 0) out += "+" + duration_text(step.after) + " ";
  if (step.after_steps > 0) out += fmt::format("+{}steps ", step.after_steps);
  out += std::ranges::find(words, step.what, &std::pair<std::string_view, Do>::second)->first;
  if (step.node >= 0) out += fmt::format(" {}", static_cast<char>('A' + step.node));
  for (const std::string& word : step.words) out += " " + word;
  for (const auto& [key, value] : step.numbers) out += fmt::format(" {}={}", key, value);
  if (step.expect != Expect::anything) {
    out += step.expect == Expect::done ? " expect=done" : " expect=refused";
  }
  if (step.background) out += " background";
  return out + fmt::format(" id={}", step.id);
}

std::string to_text(const Script& script) {
  std::string out;
  for (const Step& step : script) out += to_text(step) + "\n";
  return out;
}

}  // namespace baton::sim
