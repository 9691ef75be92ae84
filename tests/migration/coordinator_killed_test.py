#!/usr/bin/python3
"""Goal: a batond that is killed in the middle of `batonctl migrate` leaves no guest behind that stands
still or writes twice: the next one finishes or undoes the move (docs/migration-coordinator.md "When
the coordinator dies"), and then the guest can be moved again.
Method: two real daemons, kill -9 of the one that carries the move out, at every step of it that can
be held; a guest in one sector whose QEMU waits for its disk to come back."""
import os
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import baton_test  # noqa: E402
from move_case import FAST, MoveCase  # noqa: E402

ENDED = "the migration to beta that an earlier batond has left ended as "


class CoordinatorKilled(MoveCase):
    # A daemon that is stopped for a while is not given up meanwhile.
    options = MoveCase.options + '\ntimeout = "30s"'

    def ready(self):
        return self.boot(reconnect_seconds=60), self.machine(self.beta, incoming=True,
                                                             reconnect_seconds=60)

    def killed(self, asked):
        self.end_by_sigkill(self.alpha)
        self.assertEqual(asked.wait(20), 1, asked.log())

    def recovered(self):
        """What the next batond has made of it."""
        self.alpha.start()
        return self.recovered_as()

    def recovered_as(self):
        return self.wait_log(self.alpha, ENDED + r"(\w+): ", timeout=60)[1]

    def moves_now(self, here, there, source):
        """The guest counts here, and goes there when it is told to."""
        self.counts_on()
        for machine in [each for each in self.machines if each is not source]:
            machine.kill()
            self.machines.remove(machine)
        self.machine(there, incoming=True)
        self.migrate(here)
        self.counts_on()
        self.assert_primary(there)
        self.end()

    def test_while_memory_is_copied(self):
        source, destination = self.ready()
        self.killed(self.begin_slowly(source))
        self.assertEqual(self.recovered(), "stayed")
        self.assertEqual(source.status(), "running")
        destination.wait_end()
        self.synced()
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": FAST})
        self.moves_now(self.alpha, self.beta, source)

    def hold_in_the_pause(self, source):
        """The storage cannot answer: beta's batond is stopped. The guest stands still."""
        asked = self.begin_slowly(source)
        mark = source.mark()
        os.kill(self.beta.daemon.pid, signal.SIGSTOP)
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": FAST})
        source.wait_event("STOP", since=mark)
        return asked

    def test_while_the_guest_stands_still(self):
        source, _ = self.ready()
        asked = self.hold_in_the_pause(source)
        self.killed(asked)
        os.kill(self.beta.daemon.pid, signal.SIGCONT)
        self.assertEqual(self.recovered(), "stayed")
        self.wait_for(lambda: source.status() == "running", "the guest to go on", 30)
        self.synced()
        self.moves_now(self.alpha, self.beta, source)

    def test_while_the_guest_stands_still_and_the_other_node_is_gone_too(self):
        source, _ = self.ready()
        asked = self.hold_in_the_pause(source)
        self.killed(asked)
        self.end_by_sigkill(self.beta)
        self.alpha.start()
        # Nobody but beta or an operator can say that beta has not gone on; its QEMU is asked no more.
        self.alpha.ctl("primary", "vm1", "--force", "--yes")
        self.assertEqual(self.recovered_as(), "stayed")
        self.wait_for(lambda: source.status() == "running", "the guest to go on", 30)
        self.counts_on()
        self.beta.start()
        self.synced()
        self.moves_now(self.alpha, self.beta, source)

    def hold_in_the_switch(self, source, destination):
        """The destination's QEMU does not read: the offer is open, neither guest runs."""
        asked = self.begin_slowly(source)
        mark = source.mark()
        os.kill(destination.process.pid, signal.SIGSTOP)
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": FAST})
        source.wait_event("MIGRATION", since=mark, status="device")
        return asked

    def test_in_the_switch(self):
        source, destination = self.ready()
        self.killed(self.hold_in_the_switch(source, destination))
        os.kill(destination.process.pid, signal.SIGCONT)
        # Its guest runs before anybody has granted it anything, or it was ended before that.
        outcome = self.recovered()
        self.assertIn(outcome, ("stayed", "moved"))
        self.synced()
        node = self.beta if outcome == "moved" else self.alpha
        self.assert_primary(node)
        self.moves_now(node, self.other(node), destination if outcome == "moved" else source)

    def test_when_the_guest_has_moved_and_its_source_is_still_there(self):
        source, destination = self.ready()
        asked = self.hold_in_the_switch(source, destination)
        mark = destination.mark()
        os.kill(destination.process.pid, signal.SIGCONT)
        destination.wait_event("RESUME", since=mark)
        self.wait_log(self.beta, "took the baton from alpha")
        self.end_by_sigkill(self.alpha)
        asked.wait(20)
        self.alpha.start()
        self.counts_on()
        self.assert_primary(self.beta)
        self.wait_for(lambda: source.process.poll() == 0, "the source's QEMU to be ended", 30)
        self.synced()
        self.moves_now(self.beta, self.alpha, destination)


if __name__ == "__main__":
    baton_test.main()
