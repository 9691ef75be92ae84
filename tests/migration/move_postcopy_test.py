#!/usr/bin/python3
"""Goal: a guest that moves before all of it is there, its memory (postcopy) or its disk (a copy that
is being filled), goes on, and nobody ends a QEMU or a node that it still needs.
Method: two real daemons, `batonctl migrate`, a guest in one sector; QEMU's own limits keep memory
where it is until a test lets it go, and the resync is slowed down by its own option."""
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import baton_test  # noqa: E402
from baton_pair import MIB  # noqa: E402
from move_case import SLOW, MoveCase  # noqa: E402

CRAWL = 20_000  # bytes of memory a second, in postcopy


class ByPostcopy(MoveCase):
    def in_postcopy(self):
        """A `batonctl migrate --postcopy` whose guest runs on beta, and fetches its memory slowly. So
        that there is much left to fetch QEMU is told to switch in its first pass."""
        source = self.boot()
        destination = self.machine(self.beta, incoming=True)
        source.qmp.execute("migrate-set-parameters", {"max-postcopy-bandwidth": CRAWL})
        asked = self.begin_slowly(source, "--postcopy")
        source.qmp.execute("migrate-start-postcopy")
        destination.wait_event("RESUME")
        source.wait_event("MIGRATION", status="postcopy-active")
        return source, destination, asked

    def fetch_the_rest(self, source):
        source.qmp.execute("migrate-set-parameters", {"max-postcopy-bandwidth": 0})

    def test_the_guest_runs_there_before_its_memory_does_and_the_source_goes_last(self):
        source, destination, asked = self.in_postcopy()
        self.assert_primary(self.beta)
        self.counts_on()
        self.assertEqual(source.qmp.execute("query-migrate")["status"], "postcopy-active")
        self.assertIsNone(source.process.poll())
        asked.send_signal(signal.SIGINT)  # too late: it goes on without a listener
        asked.wait(20)
        self.counts_on()
        self.assertEqual(source.qmp.execute("query-migrate")["status"], "postcopy-active")
        self.fetch_the_rest(source)
        self.assertEqual(source.wait_end(), 0)
        self.counts_on()
        self.assertEqual(destination.status(), "running")
        self.wait_log(self.alpha, "vm1 moved from alpha to beta .* The guest runs on beta")
        self.end()

    def test_a_guest_that_writes_to_its_memory_moves_when_all_was_sent_once(self):
        source = self.boot()
        self.machine(self.beta, incoming=True)
        # So short a pause is never reached by copying.
        source.qmp.execute("migrate-set-parameters", {"downtime-limit": 1})
        asked = self.begin_slowly(source, "--postcopy")
        self.assertEqual(asked.wait(60), 0, asked.log())
        states = [event.data["status"] for event in source.qmp.events if event.name == "MIGRATION"]
        self.assertIn("postcopy-active", states)
        self.assertRegex(asked.log(), r"the guest paused for \S+ ms, \S+ ms of that for the storage")
        self.assertEqual(source.wait_end(), 0)
        self.counts_on()
        self.end()

    def test_a_path_that_is_lost_meanwhile_can_be_mended(self):
        source, destination, asked = self.in_postcopy()
        source.qmp.execute("yank", {"instances": [{"type": "migration"}]})
        self.assertEqual(asked.wait(60), 1, asked.log())
        self.assertRegex(asked.log(), "vm1 has not moved as a whole: .* do not end that one")
        self.assertIsNone(source.process.poll())
        self.assert_primary(self.beta)
        # As the sentence says; out of band, since QEMU's main loop may wait for a page that is missing.
        again = {"uri": f"unix:{self.folder / 'ram-again'}"}
        for machine in (source, destination):
            machine.wait_event("MIGRATION", status="postcopy-paused")
        destination.qmp.execute("migrate-recover", again, out_of_band=True)
        source.qmp.execute("migrate", {**again, "resume": True})
        self.fetch_the_rest(source)
        source.wait_event("MIGRATION", status="completed")
        self.counts_on()
        self.end()

    def test_a_destination_that_is_killed_then_leaves_no_second_writer(self):
        source, destination, asked = self.in_postcopy()
        self.counts_on()
        destination.kill()
        self.assertEqual(asked.wait(60), 1, asked.log())
        self.assertIsNone(source.process.poll())
        self.assertNotEqual(source.status(), "running")
        self.assert_primary(self.beta)
        self.end()


class ToACopyThatIsBeingFilled(MoveCase):
    options = MoveCase.options + '\nresync-rate = "4MiB"'
    size = 64 * MIB

    def filling(self):
        """A guest on alpha, and beta's copy begins anew: 64 MiB at 4 MiB/s."""
        source = self.boot()
        self.qemu_io(self.alpha, f"write -P 7 1M {self.size // MIB - 1}M", "flush")
        self.alpha.ctl("invalidate-remote", "vm1")
        self.wait_status(self.alpha,
                         lambda _, peer: peer["peer_devices"][0]["replication-state"] == "SyncSource",
                         "the resync")
        return source

    def there_with_the_role_alone(self):
        self.assertEqual(self.disk_state(self.beta), "Inconsistent")
        self.assertEqual(self.beta.status()["role"], "Primary")
        self.assertEqual(self.beta.status()["baton"]["holder"], "alpha")

    @baton_test.requires_programs("qemu-io")
    def test_the_guest_moves_there_and_the_baton_follows(self):
        source = self.filling()
        self.machine(self.beta, incoming=True)
        figures = self.migrate(self.alpha)
        self.there_with_the_role_alone()
        self.assertGreater(figures["disk-bytes-to-go"], 0)
        self.assertIn("The guest runs on beta.", figures["sentence"])
        self.assertEqual(source.wait_end(), 0)
        self.counts_on()
        self.synced()
        self.assert_primary(self.beta)
        self.counts_on()
        self.end()

    @baton_test.requires_programs("qemu-io")
    def test_and_back_while_it_is_still_being_filled(self):
        source = self.filling()
        there = self.machine(self.beta, incoming=True)
        self.migrate(self.alpha)
        source.wait_end()
        source.kill()
        self.machines.remove(source)
        self.there_with_the_role_alone()
        back = self.machine(self.alpha, incoming=True)
        figures = self.migrate(self.beta)
        self.assertEqual(figures["destination"], "alpha")
        self.assert_primary(self.alpha)
        self.assertEqual(there.wait_end(), 0)
        self.counts_on()
        self.assertEqual(back.status(), "running")
        self.synced()
        self.end()


if __name__ == "__main__":
    baton_test.main()
