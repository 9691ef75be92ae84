#!/usr/bin/python3
"""Goal: a guest moves between two nodes with `batonctl migrate` while it writes, and whatever fails
on the way, it goes on on exactly one of them and no acknowledged write is lost.
Method: two real daemons, a real Linux guest; what it promised is heard from outside, and checked in
the guest, in both images from outside, and by comparing the images."""
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import baton_test  # noqa: E402
import guest_pair  # noqa: E402
from guest_pair import guest  # noqa: E402

PROGRAMS = ["qemu-system-x86_64", "debugfs", "e2fsck", "cpio", "busybox", "setpriv", "cmp"]
# The tests below stop a daemon for a while and do not want it to be given up meanwhile.
PATIENT = 'timeout = "60s"\n'


@baton_test.requires_programs(*PROGRAMS)
class Migrate(baton_test.TestCase):
    timeout_seconds = 300

    def setUp(self):
        super().setUp()
        baton_test.program("batond")  # skips where it is not built
        self.guest_dir = guest.build(baton_test.BUILD_DIR / "guest")
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def begin(self, options=""):
        """A pair in sync, and a guest that writes on alpha."""
        self.pair = self.stack.enter_context(
            guest_pair.Pair(self.folder, baton_test.BUILD_DIR, options=options))
        self.pair.begin()
        self.witness = self.stack.enter_context(guest.Witness())
        source = self.machine("alpha")
        source.wait_ready()
        self.witness.wait_more(50)
        return source

    def machine(self, name, **options):
        machine = self.stack.enter_context(self.pair.machine(name, self.guest_dir, shared_memory=True, **options))
        self.witness.watch(machine)
        return machine

    def assert_primary(self, name):
        other = next(each for each in guest_pair.NAMES if each != name)
        baton_test.wait_for(
            lambda: [self.pair.status(each)["role"] for each in (name, other)]
            == ["Primary", "Secondary"], f"{name} to be Primary and {other} Secondary")
        self.assertEqual(self.pair.status(name)["baton"]["holder"], name)

    def assert_nothing_lost(self, machine):
        """And ends guest and nodes."""
        written = guest_pair.judge_guest(machine, self.witness)
        machine.poweroff()
        self.pair.stop_nodes()
        self.pair.compare_images()
        for name in guest_pair.NAMES:
            verdict = self.pair.check_image(name, self.guest_dir, written["records"])
            self.assertEqual(verdict["records"], written["records"])

    def move(self, source, destination, asked, *words):
        figures = self.pair.migrate(asked, *words)
        source.wait_end()
        self.assertEqual((figures["source"], figures["destination"]),
                         (source.name, destination.name))
        self.assert_primary(destination.name)
        self.witness.wait_more(50)
        # QEMU stamps its events in microseconds, so the storage's part may not exceed the whole.
        self.assertGreater(figures["guest-pause-ms"], 0)
        self.assertLess(figures["storage-offer-ms"], figures["guest-pause-ms"])
        self.assertGreater(figures["ram-bytes"], 0)
        return figures

    def test_a_guest_moves_there_and_back_while_it_writes(self):
        first = self.begin()
        second = self.machine("beta", incoming=True)
        self.move(first, second, "alpha")
        third = self.machine("alpha", incoming=True)
        # Asked of the node that the guest comes to: the other one carries it out.
        self.move(second, third, "alpha", "--to", "alpha")
        fourth = self.machine("beta", incoming=True)
        self.move(third, fourth, "alpha", "--uri", f"unix:{self.folder / 'migration'}")
        self.assert_nothing_lost(fourth)

    def begin_and_hold_before_the_switch(self):
        """A migration whose source guest is stopped and whose storage cannot answer: beta's batond is
        stopped, so the last writes and the flush wait for it. Ends with it still stopped."""
        source = self.begin(PATIENT)
        destination = self.machine("beta", incoming=True)
        mark = len(source.qmp.events)
        self.asked = self.start(self.pair.command("alpha", "migrate", "vm1"), "batonctl")
        source.qmp.wait_event(
            lambda event: event.name == "MIGRATION" and event.data["status"] == "active", 60,
            "memory being copied", mark)
        os.kill(self.pair.daemon_pid("beta"), signal.SIGSTOP)
        source.qmp.wait_event(lambda event: event.name == "STOP", 60, "the source's STOP", mark)
        # The coordinator hears it by a connection of its own. What it does before it knows would be
        # what QEMU may lose (docs/migration-coordinator.md).
        baton_test.wait_for(
            lambda: "source_guest_stopped" in self.pair.log("alpha").read_text(),
            "the coordinator to have heard of the STOP", 60)
        return source, destination

    def go_on(self):
        os.kill(self.pair.daemon_pid("beta"), signal.SIGCONT)

    def assert_source_goes_on(self, source):
        self.witness.wait_more(50)
        self.assertTrue(source.running())
        self.assert_primary("alpha")
        self.assertEqual(self.pair.status("alpha")["baton"]["window"], False)
        self.assert_nothing_lost(source)

    def assert_refused(self, pattern):
        self.assertEqual(self.asked.wait(60), 1, self.asked.log())
        self.assertRegex(self.asked.log(), pattern)
        self.assertEqual(len(self.asked.log().strip().splitlines()), 1, self.asked.log())

    def test_a_destination_killed_before_the_switch_leaves_the_guest_where_it_is(self):
        source, destination = self.begin_and_hold_before_the_switch()
        destination.kill()
        self.go_on()
        self.assert_refused(r"vm1 was not migrated: The QEMU on beta .* goes on on alpha\.")
        self.assert_source_goes_on(source)

    def test_a_cancelled_migration_leaves_the_guest_where_it_is(self):
        source, destination = self.begin_and_hold_before_the_switch()
        mark = len(source.qmp.events)
        self.asked.send_signal(signal.SIGINT)
        self.assertEqual(self.asked.wait(), -signal.SIGINT)
        self.go_on()
        source.qmp.wait_event(lambda event: event.name == "RESUME", 60, "the source's RESUME", mark)
        destination.wait_end()  # it was told to quit
        self.assert_source_goes_on(source)

    def test_a_source_that_resumes_by_itself_voids_the_offer(self):
        source, destination = self.begin_and_hold_before_the_switch()
        os.kill(destination.pid, signal.SIGSTOP)
        self.go_on()
        baton_test.wait_for(lambda: self.pair.status("alpha")["baton"]["window"],
                            "the baton to be offered", 60)
        source.qmp.wait_event(
            lambda event: event.name == "MIGRATION" and event.data["status"] == "device", 60,
            "the source to switch")
        mark = len(source.qmp.events)
        destination.kill()
        source.qmp.wait_event(lambda event: event.name == "RESUME", 60, "the source's RESUME", mark)
        self.assert_refused(r"vm1 was not migrated: .* goes on on alpha\.")
        self.assertRegex(self.pair.log_tail("alpha"), "the offer is void: ")
        self.assertNotIn("took the baton", self.pair.log("beta").read_text())
        self.assert_source_goes_on(source)

    def refusal(self, asked, *words):
        done = subprocess.run(self.pair.command(asked, "migrate", "vm1", *words), text=True,
                              stderr=subprocess.PIPE, stdout=subprocess.PIPE, check=False)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        return done.returncode, done.stderr

    def assert_refuses(self, pattern, asked, *words, status=1):
        ended, sentence = self.refusal(asked, *words)
        self.assertRegex(sentence, pattern)
        self.assertEqual(ended, status, sentence)

    def test_what_cannot_be_migrated_is_refused_in_one_sentence_and_the_guest_goes_on(self):
        self.pair = self.stack.enter_context(guest_pair.Pair(self.folder, baton_test.BUILD_DIR))
        self.pair.begin()
        self.witness = self.stack.enter_context(guest.Witness())
        no_qemu = r"alpha\.qmp: cannot reach QEMU's QMP: .* start QEMU with -qmp unix:"
        self.assert_refuses(no_qemu, "alpha")
        self.assert_refuses(no_qemu, "beta")
        source = self.machine("alpha")
        source.wait_ready()
        self.assert_refuses(r"beta\.qmp: cannot reach QEMU's QMP", "alpha")
        self.assert_refuses(r"vm1 is Primary on alpha already", "beta", "--to", "alpha")
        self.assert_refuses(r"vm1 has no node gamma; it has alpha and beta", "alpha", "--to", "gamma")
        self.assert_refuses(r"exec:.* not a migration address; use tcp:HOST:PORT or unix:PATH",
                            "alpha", "--uri", "exec:true", status=2)
        with self.pair.machine("beta", self.guest_dir, writers=False) as running:
            running.qmp.execute("query-status")
            self.assert_refuses(r"The QEMU on beta is in state .*; start one with -incoming defer",
                                "alpha")
        self.pair.ctl("beta", "disconnect", "vm1")
        self.assert_refuses(r"not connected to beta", "alpha")
        self.pair.ctl("beta", "connect", "vm1")
        self.pair.ctl("alpha", "wait-sync", "vm1")
        self.assert_source_goes_on(source)


if __name__ == "__main__":
    baton_test.main()
