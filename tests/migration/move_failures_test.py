#!/usr/bin/python3
"""Goal: whatever fails while a guest moves, one guest writes in the end, no acknowledged write is lost,
and both copies are equal (the table of docs/handover.md, with a real QEMU).
Method: two real daemons; a guest in one sector that counts on the volume and notices whoever else
writes there; QEMUs that are told by QMP what libvirt tells them, or what `batonctl migrate` does.
BATON_MOVES: how many moves follow one another (default 50)."""
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import baton_test  # noqa: E402
from move_case import FAST, SLOW, MoveCase  # noqa: E402

MOVES = int(os.environ.get("BATON_MOVES", "50"))


class ByFirstWrite(MoveCase):
    def test_the_source_is_continued_after_the_move_and_quits_late(self):
        source, destination = self.ready_to_move()
        self.move(source, destination)
        self.counts_on()
        self.assert_primary(self.beta)
        mark = source.mark()
        source.qmp.execute("cont")
        self.stopped_by_its_disk(source, mark)
        self.counts_on()
        source.qmp.execute("cont")  # once more
        self.assertEqual(source.quit(), 0)  # flushes, late
        self.counts_on()
        self.assertEqual(destination.status(), "running")
        self.end()

    def test_both_are_continued_before_either_has_written(self):
        source, destination = self.ready_to_move()
        self.to_the_switch(source, destination)
        self.go_on(source)
        source.wait_event("MIGRATION", status="completed")
        # QEMU says so before it takes a cont.
        self.wait_for(lambda: source.status() == "postmigrate", "the source's end of the migration", 10)
        source.qmp.execute("cont")  # what libvirt does when its reply is lost
        running = []

        def decided():
            running[:] = [machine for machine in (source, destination) if machine.status() == "running"]
            return len(running) == 1

        self.wait_for(decided, "one of the two to be paused", 30)
        self.counts_on()
        self.assertEqual([machine.status() for machine in self.machines].count("running"), 1)
        self.end()

    def test_the_destination_is_killed_in_the_pause(self):
        source, destination = self.ready_to_move()
        self.to_the_switch(source, destination)
        destination.kill()
        mark = source.mark()
        self.go_on(source)
        source.wait_event("RESUME", since=mark)
        self.counts_on()
        self.assert_primary(self.alpha)
        self.end()

    def test_the_migration_is_cancelled(self):
        source = self.boot()
        for when in ("memory is copied", "it has paused"):
            with self.subTest(when=when):
                self.allow(self.beta)
                destination = self.machine(self.beta, incoming=True)
                if when == "it has paused":
                    self.to_the_switch(source, destination)
                else:
                    self.begin_migration(source, destination, SLOW)
                source.qmp.execute("migrate_cancel")
                self.counts_on()
                self.assertEqual(source.status(), "running")
                self.assert_primary(self.alpha)
                destination.kill()
                self.alpha.ctl("handover", "vm1", "--deny")
        self.end()

    def test_the_destinations_daemon_is_killed_in_the_pause(self):
        source, destination = self.ready_to_move()
        self.to_the_switch(source, destination)
        self.end_by_sigkill(self.beta)
        self.go_on(source)
        source.wait_event("MIGRATION", status="completed")
        self.stopped_by_its_disk(destination, 0)  # it has none
        source.qmp.execute("cont")
        self.counts_on()
        self.beta.start()
        self.synced()
        self.assert_primary(self.alpha)
        self.end()

    def test_the_sources_daemon_is_killed_after_the_grant(self):
        source, destination = self.ready_to_move()
        self.move(source, destination)
        self.assert_primary(self.beta)
        self.end_by_sigkill(self.alpha)
        self.counts_on()
        self.alpha.start()
        self.synced()
        self.assert_primary(self.beta)
        self.counts_on()
        self.assertEqual(destination.status(), "running")
        self.end()

    def test_the_sources_daemon_is_killed_while_memory_is_copied_and_writes_are_replayed(self):
        source, destination = self.ready_to_move(reconnect_seconds=30)
        self.begin_migration(source, destination, SLOW)
        self.end_by_sigkill(self.alpha)
        self.alpha.start()
        self.synced()
        self.assert_primary(self.alpha)
        self.counts_on()
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": FAST})
        source.wait_event("MIGRATION", status="pre-switchover")
        self.go_on(source)
        destination.wait_event("RESUME")
        self.counts_on()
        self.assert_primary(self.beta)
        self.end()

    def test_the_link_is_cut_before_the_first_write_and_comes_back(self):
        self.use_bad_network()
        source, destination = self.ready_to_move()
        self.to_the_switch(source, destination)
        self.network.reset()
        self.go_on(source)
        destination.wait_event("RESUME")
        self.counts_on()
        self.assert_primary(self.beta)
        self.end()

    def test_a_window_that_was_left_open_closes_by_itself(self):
        source = self.boot()
        self.beta.ctl("handover", "vm1", "--allow", "--timeout", "1")
        destination = self.machine(self.beta, incoming=True)
        self.to_the_switch(source, destination)
        self.wait_log(self.beta, "the handover window is closed: nobody wrote in time")
        self.go_on(source)
        self.stopped_by_its_disk(destination, 0)
        source.wait_event("MIGRATION", status="completed")
        source.qmp.execute("cont")
        self.counts_on()
        self.assertEqual(destination.status(), "io-error")
        self.assert_primary(self.alpha)
        self.end()

    def test_a_guest_is_started_on_both_nodes(self):
        source = self.boot()
        again = self.machine(self.beta)  # no window: nobody has asked for it
        self.stopped_by_its_disk(again, 0)
        self.counts_on()
        self.assertEqual(source.status(), "running")
        self.end()


class ByBatonctl(MoveCase):
    timeout_seconds = 240 + 3 * MOVES

    def test_moves_one_after_the_other(self):
        here, there = self.alpha, self.beta
        source = self.boot()
        figures = []
        for _ in range(MOVES):
            destination = self.machine(there, incoming=True)
            figures.append(self.migrate(here))
            self.assertEqual(source.wait_end(), 0)
            source.kill()
            self.machines.remove(source)
            source, (here, there) = destination, (there, here)
        self.counts_on()
        self.assert_primary(here)
        for what in ("guest-pause-ms", "storage-offer-ms", "storage-grant-ms"):
            times = sorted(figure[what] for figure in figures)
            print(f"{len(times)} moves, {what}: median {times[len(times) // 2]:.1f}, "
                  f"worst {times[-1]:.1f}")
        self.end()

    def test_a_dry_run_changes_nothing(self):
        source = self.boot()
        self.assertIn("cannot reach QEMU's QMP", self.migrate(self.alpha, "--dry-run", status=1))
        destination = self.machine(self.beta, incoming=True)
        for node in self.nodes:
            done = node.ctl("migrate", "vm1", "--dry-run", "--to", "beta")
            self.assertIn("vm1 can be migrated from alpha to beta now; nothing was changed.", done.stdout)
        self.assertEqual((source.status(), destination.status()), ("running", "inmigrate"))
        self.assertEqual(source.qmp.execute("query-migrate"), {})
        self.counts_on()
        self.migrate(self.alpha)
        self.counts_on()
        self.assert_primary(self.beta)
        self.end()

    def test_a_copy_that_is_not_there_is_refused_before_the_guest_is_touched(self):
        source = self.boot()
        self.machine(self.beta, incoming=True)
        self.alpha.ctl("pause-sync", "vm1")
        self.alpha.ctl("invalidate-remote", "vm1")
        for words in (("--dry-run",), ()):
            self.assertIn("the copy on beta is not UpToDate", self.migrate(self.alpha, *words, status=1))
        self.alpha.ctl("resume-sync", "vm1")
        self.synced()
        self.beta.ctl("disconnect", "vm1")
        self.assertIn("not connected to beta", self.migrate(self.alpha, status=1))
        self.assertEqual(source.qmp.execute("query-migrate"), {})
        self.beta.ctl("connect", "vm1")
        self.synced()
        self.counts_on()
        self.end()

    def test_a_second_one_is_refused_while_one_runs(self):
        source = self.boot()
        self.machine(self.beta, incoming=True)
        asked = self.begin_slowly(source)
        for node in self.nodes:
            self.assertRegex(self.migrate(node, status=1), "already|under way|is being migrated")
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": FAST})
        self.assertEqual(asked.wait(60), 0, asked.log())
        self.counts_on()
        self.assert_primary(self.beta)
        self.end()

    def test_both_nodes_are_asked_at_once(self):
        self.boot()
        self.machine(self.beta, incoming=True)
        asked = [self.ask(node=node) for node in self.nodes]
        ended = sorted(each.wait(60) for each in asked)
        self.assertEqual(ended, [0, 1], [each.log() for each in asked])
        refused = next(each for each in asked if each.wait() == 1)
        self.assertRegex(refused.log(), "is being migrated already|not migrated|already under way")
        self.counts_on()
        self.assert_primary(self.beta)
        self.end()

    def test_the_destinations_daemon_is_killed_while_memory_is_copied(self):
        source = self.boot()
        self.machine(self.beta, incoming=True)
        asked = self.begin_slowly(source)
        self.end_by_sigkill(self.beta)
        self.assertEqual(asked.wait(60), 1, asked.log())
        self.assertRegex(asked.log(), "goes on on alpha|belongs to alpha")
        self.counts_on()
        self.assertEqual(source.status(), "running")
        self.beta.start()
        self.synced()
        self.end()

    def test_somebody_else_cancels_it(self):
        source = self.boot()
        self.machine(self.beta, incoming=True)
        asked = self.begin_slowly(source)
        source.qmp.execute("migrate_cancel")
        self.assertEqual(asked.wait(60), 1, asked.log())
        self.assertRegex(asked.log(), "goes on on alpha")
        self.counts_on()
        self.assertFalse(self.alpha.status()["baton"]["window"])
        self.end()


if __name__ == "__main__":
    baton_test.main()
