#include "tests/simulation/orders.h"

#include <fmt/format.h>

#include <array>
#include <vector>

namespace baton::sim {
namespace {

// What may happen, as steps of a script; those of one event follow each other at once.
struct Event {
  std::string_view name;
  std::string_view steps;
};
constexpr std::array events = std::to_array<Event>({
    {"w0", "write{} at=0 background\n"},
    {"w1", "write{} at=4194304 background\n"},  // another region of the activity log
    {"flush", "flush{} background\n"},
    // the link is lost, and back
    {"reset", "cut reset\nheal\n"},
    {"disconnect-A", "disconnect A background\n"},
    {"disconnect-B", "disconnect B background\n"},
    // a crash: a daemon that its supervisor restarts, or a host without power until the end
    {"crash-A", "kill A\nstart A\n"},
    {"crash-B", "kill B\nstart B\n"},
    {"power-A", "power A lose\n"},
    {"power-B", "power B lose\n"},
    {"promote-A", "promote A background\n"},
    {"promote-B", "promote B background\n"},
    {"force-A", "promote A force\n"},
    {"force-B", "promote B force\n"},
    {"demote-A", "demote A background\n"},
    {"demote-B", "demote B background\n"},
    {"handover-A", "handover A background\n"},
    {"handover-B", "handover B background\n"},
});
constexpr std::uint8_t w0 = 0, w1 = 1, flush = 2, first_operation = 3;
constexpr std::uint8_t events_end = events.size();

using Order = std::vector<std::uint8_t>;  // indices of events

// The first write names its block, so every sequence begins with w0.
std::vector<Order> data_orders() {
  std::vector<Order> all;
  for (const std::uint8_t second : {w0, w1}) {
    for (const std::uint8_t third : {w0, w1}) {
      for (std::ptrdiff_t at = 0; at <= 3; ++at) {
        Order& order = all.emplace_back(Order{w0, second, third});
        order.insert(order.begin() + at, flush);
      }
    }
  }
  return all;
}

Order with(Order order, std::size_t at, std::uint8_t event) {
  order.insert(order.begin() + static_cast<std::ptrdiff_t>(at), event);
  return order;
}

const std::vector<Order>& orders() {
  static const std::vector<Order> all = [] {
    std::vector<Order> out;
    for (const Order& data : data_orders()) {
      out.push_back(data);
      for (std::size_t at = 0; at <= data.size(); ++at) {
        for (std::uint8_t first = first_operation; first < events_end; ++first) {
          const Order one = with(data, at, first);
          out.push_back(one);
          // The second behind the first, so that no pair is met twice.
          for (std::size_t behind = at + 1; behind <= one.size(); ++behind) {
            for (std::uint8_t second = first_operation; second < events_end; ++second) {
              out.push_back(with(one, behind, second));
            }
          }
        }
      }
    }
    return out;
  }();
  return all;
}

// Longer than most of what a request sets off; the rest is met in the gaps that come after it.
constexpr std::uint64_t steps_max = 60;

std::string gap(Prng& random) {
  switch (random.below(4)) {
    case 0:
      return "";
    case 1:
      return "wait-still limit=1\n";
    default:
      return fmt::format("+{}steps wait\n", random.between(1, steps_max));
  }
}

}  // namespace

std::uint64_t orders_count() {
  return orders().size();
}

std::string order_name(std::uint64_t order) {
  std::string name;
  for (const std::uint8_t event : orders()[order]) {
    if (!name.empty()) name += ' ';
    name += events[event].name;
  }
  return name;
}

std::uint64_t order_seed(std::uint64_t order, std::uint64_t timing) {
  return order + timing * orders_count() + 1;
}

Plan order_plan(std::uint64_t order, std::uint64_t timing) {
  Plan plan;
  plan.settings.volume_bytes = {(4U << 20U) + 64 * 1024};
  Prng random(order, "timing", timing);
  const std::string_view guest = random.percent(50) ? "" : " A";
  std::string text = "primary A force\nwait-sync\nmark\n";
  for (const std::uint8_t event : orders()[order]) {
    const std::string_view steps = events[event].steps;
    text += gap(random);
    const auto place = steps.find("{}");
    text += steps.substr(0, place);
    if (place != std::string_view::npos) (text += guest) += steps.substr(place + 2);
  }
  plan.script = parse_script(text + gap(random));
  return plan;
}

}  // namespace baton::sim
