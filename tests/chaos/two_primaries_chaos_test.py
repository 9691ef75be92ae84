#!/usr/bin/env python3
"""Two Primaries whose processes and link fail at random, round after round, under a client on each node
that stamps every block, in the same regions: nothing either was told is written is lost, whatever is
read anywhere is what its writer may have there, and both images end the same.

BATON_CHAOS_ROUNDS says how many rounds (15), BATON_CHAOS_SEED which (at random; it is printed)."""
import os
import pathlib
import random
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402
from stamping_client import StampingClient  # noqa: E402

ROUNDS = int(os.environ.get("BATON_CHAOS_ROUNDS", "15"))
SEED = int(os.environ.get("BATON_CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
# Places of a client are 64 KiB apart: alpha's are in 20 regions, beta's in 32. Where alpha does not
# write, beta has regions of its own.
PLACES = {"alpha": 320, "beta": 512}


class Chaos(PairCase):
    size = 64 * MIB
    options = ('secret = "of this test"\ntimeout = "1s"\nping-int = "250ms"\n'
               'allow-two-primaries = true\nfence-hold = "20s"')
    timeout_seconds = 120 + 30 * ROUNDS

    def setUp(self):
        super().setUp()
        self.use_bad_network()
        self.random = random.Random(SEED)
        self.clients = {node.name: StampingClient(PLACES[node.name], SEED + shift, shift)
                        for node, shift in zip(self.nodes, (0, 8))}

    def holder(self):
        """Of two connected nodes."""
        name = self.alpha.status()["baton"]["holder"]
        return self.alpha if name == "alpha" else self.beta

    def any_node(self):
        return self.random.choice(self.nodes)

    def go_on(self, *nodes):
        for node in nodes:
            client = self.clients[node.name]
            went_on = client.wait_answered(self.random.randrange(20, 400))
            self.assertIsNone(client.wrong)
            self.assertTrue(went_on, f"the client of {node.name} is served again within 45 s")

    # --- what happens ---

    def kill_one(self):
        """Restarted under its guest, it goes on by itself."""
        node = self.any_node()
        self.end_by_sigkill(node)
        node.start()

    def kill_one_for_a_while(self):
        other = self.other(self.holder())
        self.end_by_sigkill(other)
        self.go_on(self.other(other))

    def kill_both(self):
        for node in self.nodes:
            node.daemon.send_signal(signal.SIGKILL)
        for node in self.nodes:
            node.daemon.wait()
            node.spawn()
        for node in self.nodes:
            node.daemon.wait_for_line(r" ready: ", 20)

    def take_over(self):
        holder = self.holder()
        self.end_by_sigkill(holder)
        other = self.other(holder)
        self.wait_disconnected(other)
        if self.disk_state(other) == "Inconsistent":
            return  # it was just being filled: nobody would force that
        other.ctl("primary", "vm1", "--force", "--yes")
        self.go_on(other)

    def freeze_one(self):
        node = self.any_node()
        node.daemon.send_signal(signal.SIGSTOP)
        self.wait_disconnected(self.other(node))
        node.daemon.send_signal(signal.SIGCONT)

    def reset_link(self):
        self.network.reset()

    def lose_link(self, fault, *names):
        holder = self.holder()
        fault(*names)
        self.wait_disconnected(holder)
        self.go_on(holder)

    def silence(self):
        self.lose_link(self.network.silence, "alpha", "beta")

    def one_way(self):
        self.lose_link(self.network.silence, self.any_node().name)

    def half_open(self):
        self.lose_link(self.network.half_open, self.any_node().name)

    def stall(self):
        self.lose_link(self.network.stall, self.any_node().name)

    def one_gives_up(self):
        """Told to be Secondary and Primary again: the baton may go to the other one meanwhile."""
        node = self.any_node()
        self.assertTrue(self.clients[node.name].pause(), "the client's requests end")
        node.ctl("secondary", "vm1")
        self.go_on(self.other(node))
        node.ctl("primary", "vm1")

    def verify(self):
        self.any_node().ctl("verify", "vm1", timeout=60)

    def stop_both_and_compare(self):
        self.pause()
        self.stop_and_compare()
        self.start_both()
        self.connect_both()
        for node in self.nodes:
            node.ctl("primary", "vm1")

    EVENTS = (kill_one, kill_one_for_a_while, kill_both, take_over, freeze_one, reset_link, silence, one_way,
              half_open, stall, one_gives_up, verify, stop_both_and_compare)

    # --- between the rounds ---

    def pause(self):
        for client in self.clients.values():
            self.assertTrue(client.pause(), "the client's requests end")
            self.assertIsNone(client.wrong)

    def begin_round(self):
        for node in self.nodes:
            self.clients[node.name].go_to(self.uri(node))
        self.go_on(*self.nodes)

    def end_round(self):
        self.make_whole()
        for node in self.nodes:
            self.wait_primary(node)
        # The round's clients again, if they were not all the time.
        self.begin_round()
        self.pause()
        for name, client in self.clients.items():
            reader = self.any_node()
            client.read_all(self.uri(reader), f"of {name}'s, read on {reader.name}")
            self.assertIsNone(client.wrong)

    @baton_test.requires_programs("nbdsh")
    def test_nothing_that_was_acknowledged_is_lost_or_old(self):
        print(f"BATON_CHAOS_SEED={SEED} BATON_CHAOS_ROUNDS={ROUNDS}", flush=True)
        self.begin()
        self.beta.ctl("primary", "vm1")
        for client in self.clients.values():
            client.start()
            self.addCleanup(client.end)
        happened, moves = {}, 0
        for number in range(ROUNDS):
            event = self.random.choice(self.EVENTS)
            with self.subTest(round=number, event=event.__name__):
                happened[event.__name__] = happened.get(event.__name__, 0) + 1
                self.begin_round()
                event(self)
                self.end_round()
                moves += self.alpha.status()["devices"][0].get("regions", {}).get("moves", 0)
            if self.failed_so_far():
                break
        self.pause()
        self.stop_and_compare()
        for node in self.nodes:
            with open(self.image(node), "rb") as image:
                for client in self.clients.values():
                    for place in range(len(client.places)):
                        image.seek(client.offset(place))
                        client.check(place, image.read(4096), f"in {node.name}'s image")
        for client in self.clients.values():
            self.assertIsNone(client.wrong)
        self.assertGreater(moves, 0, "regions are lent")
        print(", ".join(f"{client.answered} requests on {name} ({client.open_fates} writes of open fate)"
                        for name, client in self.clients.items())
              + "; " + ", ".join(f"{count} {name}" for name, count in sorted(happened.items())), flush=True)


if __name__ == "__main__":
    baton_test.main()
