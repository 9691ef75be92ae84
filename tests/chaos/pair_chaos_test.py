#!/usr/bin/env python3
"""Two real daemons whose processes and link fail at random, round after round, under a client that
stamps every block: nothing it was told is written is lost, whoever goes on, and both images end the
same.

BATON_CHAOS_ROUNDS says how many rounds (50), BATON_CHAOS_SEED which (at random; it is printed)."""
import os
import pathlib
import random
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402
from stamping_client import StampingClient  # noqa: E402

ROUNDS = int(os.environ.get("BATON_CHAOS_ROUNDS", "50"))
SEED = int(os.environ.get("BATON_CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
PLACES = 512


class Chaos(PairCase):
    size = 64 * MIB
    options = 'secret = "of this test"\ntimeout = "1s"\nping-int = "250ms"'
    timeout_seconds = 120 + 25 * ROUNDS

    def setUp(self):
        super().setUp()
        self.use_bad_network()
        self.random = random.Random(SEED)
        self.primary = self.alpha

    def secondary(self):
        return self.other(self.primary)

    # --- what happens ---

    def kill_secondary(self):
        self.end_by_sigkill(self.secondary())
        self.client_goes_on()

    def kill_primary(self):
        """Restarted under its guest, it goes on by itself."""
        self.end_by_sigkill(self.primary)
        self.primary.start()
        self.wait_primary(self.primary)
        self.client_goes_on()

    def fail_over(self):
        self.end_by_sigkill(self.primary)
        self.wait_disconnected(self.secondary())
        if self.disk_state(self.secondary()) == "Inconsistent":
            self.primary.start()  # the other one was just being filled: nobody would force that
            return self.client_goes_on()
        self.secondary().ctl("primary", "vm1", "--force", "--yes")
        self.primary = self.secondary()
        self.client.go_to(self.uri(self.primary))
        self.client_goes_on()

    def kill_both(self):
        order = self.random.sample(self.nodes, 2)
        for node in order:
            node.daemon.send_signal(signal.SIGKILL)
        for node in order:
            node.daemon.wait()
        for node in self.random.sample(self.nodes, 2):
            node.spawn()
        for node in self.nodes:
            node.daemon.wait_for_line(r" ready: ", 20)
        self.wait_primary(self.primary)
        self.client_goes_on()

    def freeze_secondary(self):
        self.secondary().daemon.send_signal(signal.SIGSTOP)
        self.wait_disconnected(self.primary)
        self.client_goes_on()
        self.secondary().daemon.send_signal(signal.SIGCONT)

    def freeze_primary(self):
        """Its timers are all late when it wakes, and it must not take that for the other's silence."""
        self.primary.daemon.send_signal(signal.SIGSTOP)
        self.wait_disconnected(self.secondary())
        self.primary.daemon.send_signal(signal.SIGCONT)
        self.client_goes_on()

    def reset_link(self):
        self.network.reset()
        self.client_goes_on()

    def lose_link(self, fault, *names):
        fault(*names)
        self.wait_disconnected(self.primary)
        self.client_goes_on()

    def silence(self):
        self.lose_link(self.network.silence, "alpha", "beta")

    def one_way(self):
        self.lose_link(self.network.silence, self.random.choice(self.nodes).name)

    def half_open(self):
        self.lose_link(self.network.half_open, self.random.choice(self.nodes).name)

    def stall(self):
        """Late, not lost: whoever times out first, what arrives then is of a session that is over."""
        self.lose_link(self.network.stall, self.random.choice(self.nodes).name)

    def fail_over_across_a_cut(self):
        """The old Primary is dead, and the link with it; it comes back before the link does. What it
        answers after the link has gone silent and before that is noticed would be lost."""
        self.network.silence("alpha", "beta")
        self.client.wait_answered(1000, patience=0.5)
        self.end_by_sigkill(self.primary)
        old = self.primary
        self.wait_disconnected(self.secondary())
        self.secondary().ctl("primary", "vm1", "--force", "--yes")
        self.primary = self.secondary()
        self.client.go_to(self.uri(self.primary))
        self.client_goes_on()
        old.start()
        self.assertEqual(old.status()["role"], "Secondary")

    def hand_over(self):
        goal = self.secondary()
        self.assertTrue(self.client.pause(), "the client's requests end")
        self.primary.ctl("handover", "vm1")
        self.primary = goal
        self.client.go_to(self.uri(goal))
        self.client_goes_on()

    def restart_secondary(self):
        self.secondary().stop()
        self.client_goes_on()

    def stop_both_and_compare(self):
        self.assertTrue(self.client.pause(), "the client's requests end")
        self.stop_and_compare()
        self.start_both()
        self.connect_both()
        self.primary.ctl("primary", "vm1")
        self.client.go_to(self.uri(self.primary))

    EVENTS = (kill_secondary, kill_primary, fail_over, kill_both, freeze_secondary, freeze_primary,
              reset_link, silence, one_way, half_open, stall, fail_over_across_a_cut, hand_over,
              restart_secondary, stop_both_and_compare)

    # --- between the rounds ---

    def client_goes_on(self):
        went_on = self.client.wait_answered(self.random.randrange(20, 400))
        self.assertIsNone(self.client.wrong)
        self.assertTrue(went_on, "the client is served again within 45 s")

    @baton_test.requires_programs("nbdsh")
    def test_nothing_that_was_acknowledged_is_lost(self):
        print(f"BATON_CHAOS_SEED={SEED} BATON_CHAOS_ROUNDS={ROUNDS}", flush=True)
        self.begin()
        self.client = StampingClient(PLACES, SEED)
        self.client.start()
        self.addCleanup(self.client.end)
        self.client.go_to(self.uri(self.primary))
        self.client_goes_on()
        happened = {}
        for number in range(ROUNDS):
            event = self.random.choice(self.EVENTS)
            with self.subTest(round=number, event=event.__name__):
                happened[event.__name__] = happened.get(event.__name__, 0) + 1
                event(self)
                self.all_well(self.primary)
                self.assertTrue(self.client.pause(), "the client's requests end")
                reader = self.random.choice(self.nodes)
                self.client.read_all(self.uri(reader), f"read on {reader.name}")
                self.assertIsNone(self.client.wrong)
                self.client.go_to(self.uri(self.primary))
            if self.client.wrong or self.failed_so_far():
                break
        self.assertTrue(self.client.pause(), "the client's requests end")
        self.stop_and_compare()
        for node in self.nodes:
            with open(self.image(node), "rb") as image:
                for place in range(PLACES):
                    image.seek(self.client.offset(place))
                    self.client.check(place, image.read(4096), f"in {node.name}'s image")
        self.assertIsNone(self.client.wrong)
        print(f"{self.client.answered} requests, {self.client.open_fates} writes of open fate; "
              + ", ".join(f"{count} {name}" for name, count in sorted(happened.items())), flush=True)


if __name__ == "__main__":
    baton_test.main()
