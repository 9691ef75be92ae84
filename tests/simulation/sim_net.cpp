#include "tests/simulation/sim_net.h"

#include <algorithm>

#include "tests/simulation/connection.h"

namespace baton::sim {

using replication::Link;

// The listener's process takes the link in its next turn.
struct SimNet::Arrival : Runnable {
  Arrival(SimNet& owner, int where)
      : Runnable([](Runnable& self) { static_cast<Arrival&>(self).hand_over(); }),
        net(owner),
        node(where) {}
  void hand_over() {
    Host& host = net.hosts_[static_cast<std::size_t>(node)];
    Link taken = std::move(link);
    const Acceptor acceptor = host.acceptor;
    void* context = host.context;
    net.arrivals_.erase(self);  // *this is gone
    acceptor(context, std::move(taken));
  }
  SimNet& net;
  int node;
  Link link;
  std::list<Arrival>::iterator self;
};

SimNet::SimNet(World& world, std::size_t nodes, NetModel model)
    : world_(world),
      model_(model),
      random_(world.stream("net")),
      hosts_(nodes),
      paths_(nodes * nodes) {}

SimNet::~SimNet() = default;

Duration SimNet::delay() {
  if (world_.now() >= calm_until_ && random_.permille(model_.slow_permille)) {
    // Not one after the other: a link on which every second packet is late by 200 ms carries
    // nothing, and a resync over it tests nobody's patience but ours.
    calm_until_ = world_.now() + model_.slow_max * 5;
    return random_.duration(model_.delay_max, std::max(model_.delay_max, model_.slow_max));
  }
  return random_.duration(model_.delay_min, model_.delay_max);
}

void SimNet::listen(int node, Process& process, Acceptor acceptor, void* context) {
  Host& host = hosts_[static_cast<std::size_t>(node)];
  host.process = &process;
  host.acceptor = acceptor;
  host.context = context;
}

// Both ends dial, with a pause between two attempts (design §8).
void SimNet::count_dial(int from) {
  constexpr std::uint32_t most_in_a_second = 40;  // restarts in a loop dial at once each time
  Host& host = hosts_[static_cast<std::size_t>(from)];
  if (world_.now() - host.second_began >= std::chrono::seconds(1)) {
    host.second_began = world_.now();
    host.dials = 0;
  }
  if (++host.dials > most_in_a_second) {
    world_.violated("dials without a pause",
                    node_name(from) + " has dialled more than 40 times within a second");
  }
}

Task<Result<Link>> SimNet::dial(Process& self, int to, TimePoint deadline) {
  const int from = self.node();
  count_dial(from);
  const std::string who = node_name(to);
  while (true) {
    const Duration there_and_back = delay() + delay();
    const TimePoint answered = std::min(self.now() + there_and_back, deadline);
    co_await sleep_until(self, answered);
    const Host& host = hosts_[static_cast<std::size_t>(to)];
    const Path& there = paths_[index(from, to)];
    const Path& back = paths_[index(to, from)];
    if (there.refuses || back.refuses) {
      co_return failure("cannot reach " + who + ": no route to host");
    }
    if (host.powered && !there.down && !back.down) {
      if (host.process == nullptr) co_return failure("cannot reach " + who + ": refused");
      co_return connect(self, to);
    }
    if (self.now() >= deadline) co_return failure("cannot reach " + who + ": timed out");
    // TCP repeats its SYN after a second.
    const TimePoint again = std::min(self.now() + std::chrono::seconds(1), deadline);
    co_await sleep_until(self, again);
  }
}

Link SimNet::connect(Process& self, int to) {
  drop_finished();
  Host& host = hosts_[static_cast<std::size_t>(to)];
  Connection& connection =
      *connections_.emplace_back(std::make_unique<Connection>(*this, next_number_++, self, to));
  Arrival& arrival = arrivals_.emplace_back(*this, to);
  arrival.self = std::prev(arrivals_.end());
  arrival.link = connection.make_stream(1, *host.process);
  host.process->loop().post(arrival);
  return connection.make_stream(0, self);
}

void SimNet::drop_finished() {
  std::erase_if(connections_, [](const auto& connection) { return connection->finished(); });
}

void SimNet::cut(int a, int b, Cut how) {
  paths_[index(a, b)].down = true;
  if (how != Cut::one_way) paths_[index(b, a)].down = true;
  if (how == Cut::reset) {
    paths_[index(a, b)].refuses = paths_[index(b, a)].refuses = true;
    for (auto& connection : connections_) {
      if (connection->touches(a, b)) connection->reset_both();
    }
  }
  for (auto& connection : connections_) {
    if (connection->touches(a, b)) connection->path_changed();
  }
}

void SimNet::heal(int a, int b) {
  paths_[index(a, b)] = {};
  paths_[index(b, a)] = {};
  for (auto& connection : connections_) {
    if (connection->touches(a, b)) connection->path_changed(true);
  }
}

TimePoint SimNet::arrival(int from, int to, std::size_t bytes, TimePoint behind) {
  const PathFault& fault = paths_[index(from, to)].fault;
  const TimePoint unhindered = world_.now() + delay() + fault.delay;
  if (fault.bytes_per_second == 0) return std::max(unhindered, behind);
  const auto takes = std::chrono::nanoseconds(bytes * 1'000'000'000 / fault.bytes_per_second);
  return std::max(unhindered, std::max(behind, world_.now()) + takes);
}

void SimNet::half_open(int node, int other) {
  for (auto& connection : connections_) {
    if (connection->touches(node, other)) connection->break_at(node);
  }
}

void SimNet::process_killed(int node) {
  hosts_[static_cast<std::size_t>(node)].process = nullptr;
  for (auto& connection : connections_) connection->process_killed(node, random_);
  std::erase_if(arrivals_, [node](const Arrival& arrival) { return arrival.node == node; });
}

void SimNet::power_cut(int node) {
  hosts_[static_cast<std::size_t>(node)].powered = false;
  for (auto& connection : connections_) connection->power_cut(node, random_);
}

void SimNet::host_is_up(int node) {
  hosts_[static_cast<std::size_t>(node)].powered = true;
  for (auto& connection : connections_) connection->path_changed();
}

void SimNet::corrupt(int from) {
  for (auto& connection : connections_) connection->corrupt(from, random_);
}

const Connection* SimNet::busy_link() const {
  const auto busy = std::ranges::find_if(connections_, [](const auto& c) { return !c->quiet(); });
  return busy == connections_.end() ? nullptr : busy->get();
}

}  // namespace baton::sim
