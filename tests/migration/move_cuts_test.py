#!/usr/bin/python3
"""Goal: where the nodes or their disks fail each other in the very moment in which the right to write
moves, one guest goes on and nothing is lost; and what cannot move is refused before the guest is touched.
Method: two real daemons, a link whose directions a test holds and cuts, a disk that fails when told to,
`batonctl migrate`, a guest in one sector. QEMU is stopped by SIGSTOP where the move is to be held."""
import os
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import baton_test  # noqa: E402
from baton_pair import MIB  # noqa: E402
from failing_file import FailingFile  # noqa: E402
from move_case import FAST, MoveCase  # noqa: E402


class LinkCut(MoveCase):
    # Only the tests cut, not a clock.
    options = MoveCase.options + '\ntimeout = "60s"\nping-int = "30s"'

    def setUp(self):
        super().setUp()
        self.use_bad_network()

    def offered(self):
        """The offer is open, both QEMUs finish, and the destination's does not read yet."""
        source = self.boot()
        destination = self.machine(self.beta, incoming=True)
        asked = self.begin_slowly(source)
        mark = source.mark()
        os.kill(destination.process.pid, signal.SIGSTOP)
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": FAST})
        source.wait_event("MIGRATION", since=mark, status="device")
        self.assertTrue(self.alpha.status()["baton"]["window"])
        return source, destination, asked

    def granted_and_not_heard(self):
        """The destination's guest runs, alpha has sent the GRANT, and the network keeps it."""
        source, destination, asked = self.offered()
        mark = destination.mark()
        self.network.stall("alpha")
        os.kill(destination.process.pid, signal.SIGCONT)
        destination.wait_event("RESUME", since=mark)
        self.wait_status(self.alpha, lambda status, _: not status["baton"]["window"], "the GRANT")
        return source, destination, asked

    def one_goes_on(self):
        """One guest, on the node that is Primary, and it can be moved to the other one."""
        self.network.heal()
        self.connect_both()
        self.synced()
        self.counts_on()
        here = next(node for node in self.nodes if node.status()["role"] == "Primary")
        running = [each for each in self.machines
                   if each.process.poll() is None and each.status() == "running"]
        self.assertEqual([each.name for each in running], [here.name])
        for machine in [each for each in self.machines if each not in running]:
            machine.kill()
            self.machines.remove(machine)
        self.machine(self.other(here), incoming=True)
        self.migrate(here)
        self.counts_on()
        self.assert_primary(self.other(here))
        self.end()

    def test_while_memory_is_copied(self):
        source = self.boot()
        self.machine(self.beta, incoming=True)
        asked = self.begin_slowly(source)
        self.network.reset()
        self.assertEqual(asked.wait(60), 1, asked.log())
        self.assertRegex(asked.log(), "goes on on alpha")
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": FAST})
        self.assert_primary(self.alpha)
        self.one_goes_on()

    def test_while_the_offer_is_open(self):
        _, destination, asked = self.offered()
        self.network.reset()
        os.kill(destination.process.pid, signal.SIGCONT)
        self.assertEqual(asked.wait(60), 1, asked.log())
        self.one_goes_on()

    def test_the_grant_is_lost(self):
        _, _, asked = self.granted_and_not_heard()
        self.network.reset()
        self.network.heal()
        self.assertEqual(asked.wait(60), 1, asked.log())
        self.one_goes_on()

    def test_the_answer_to_the_grant_is_lost(self):
        _, destination, asked = self.granted_and_not_heard()
        self.network.stall("beta")  # and alpha's bytes are let go
        self.wait_primary(self.beta)
        self.assertEqual(self.alpha.status()["role"], "Primary")
        self.network.reset()
        self.network.heal()
        asked.wait(60)
        self.assertEqual(destination.status(), "running")
        self.one_goes_on()

    def test_after_the_grant(self):
        source = self.boot()
        self.machine(self.beta, incoming=True)
        self.migrate(self.alpha)
        self.network.reset()
        self.assertEqual(source.wait_end(), 0)
        self.one_goes_on()


class TwoVolumes(MoveCase):
    """Both move together; beta's disk of the second one fails when it is told to."""

    def config_text(self, **changes):
        text = super().config_text(**changes)
        text = text.replace("[node.alpha]", f'[[volume]]\nsize = "{4 * MIB // MIB}MiB"\n\n[node.alpha]')
        text = text.replace('disks = ["alpha.img"]', 'disks = ["alpha.img", "alpha-1.img"]')
        return text.replace('disks = ["beta.img"]',
                            'disks = ["beta.img", "dev/beta-1.img"]\n'
                            'meta  = ["beta.img.baton", "beta-1.img.baton"]')

    def setUp(self):
        super().setUp()
        backing = self.path("beta-1.img")
        with open(backing, "wb") as disk:
            disk.truncate(4 * MIB)
        self.disk = FailingFile(self, self.path("dev/beta-1.img"), backing)

    def write_to_the_second(self, node, pattern):
        baton_test.run(["qemu-io", "-f", "raw", self.uri(node, "vm1/1"), "-c",
                        f"write -P {pattern} 0 1M", "-c", "flush"], timeout=60)

    def fails_there(self):
        self.disk.fail()
        self.write_to_the_second(self.alpha, 1)
        self.wait_status(self.alpha,
                         lambda _, peer: peer["peer_devices"][1]["peer-disk-state"] in ("Failed", "Diskless"),
                         "the failure of beta's disk")

    def moves_when_it_is_mended(self, source):
        self.disk.mend()
        self.beta.ctl("attach", "vm1")
        self.synced()
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": FAST})
        self.machine(self.beta, incoming=True)
        self.migrate(self.alpha)
        self.counts_on()
        self.write_to_the_second(self.beta, 2)
        self.assert_primary(self.beta)
        self.end_machines()
        self.stop_and_compare()
        baton_test.run(["cmp", self.path("alpha-1.img"), self.path("beta-1.img")])

    @baton_test.requires_programs("nbdkit", "nbdfuse", "qemu-io")
    def test_the_destinations_disk_of_one_fails_before(self):
        source = self.boot()
        waiting = self.machine(self.beta, incoming=True)
        self.fails_there()
        self.assertIn("the copy on beta is not UpToDate", self.migrate(self.alpha, status=1))
        self.assertEqual(source.qmp.execute("query-migrate"), {})
        self.counts_on()
        waiting.kill()
        self.machines.remove(waiting)
        self.moves_when_it_is_mended(source)

    @baton_test.requires_programs("nbdkit", "nbdfuse", "qemu-io")
    def test_the_destinations_disk_of_one_fails_while_memory_is_copied(self):
        source = self.boot()
        waiting = self.machine(self.beta, incoming=True)
        asked = self.begin_slowly(source)
        self.fails_there()
        source.qmp.execute("migrate-set-parameters", {"max-bandwidth": FAST})
        self.assertEqual(asked.wait(60), 1, asked.log())
        self.assertRegex(asked.log(), "goes on on alpha")
        self.counts_on()
        self.assert_primary(self.alpha)
        waiting.kill()
        self.machines.remove(waiting)
        self.moves_when_it_is_mended(source)


class WrongDestination(MoveCase):
    def beta_again(self, **changes):
        """beta's daemon is started with another configuration."""
        self.end_by_sigkill(self.beta)
        self.beta.config = self.write_config("beta.toml", **changes)
        self.beta.start()

    def refused_and_untouched(self, source, *parts):
        self.wait_status(self.alpha, lambda _, peer: "last-error" in peer and
                         parts[0] in peer["last-error"], parts[0])
        for words in (("--dry-run",), ()):
            sentence = self.migrate(self.alpha, *words, status=1)
            for part in parts:
                self.assertIn(part, sentence)
        self.assertEqual(source.qmp.execute("query-migrate"), {})
        self.counts_on()

    def test_another_secret(self):
        source = self.boot()
        self.machine(self.beta, incoming=True, reconnect_seconds=60)
        self.beta_again(options='secret = "another"')
        self.refused_and_untouched(source, "secret", "not connected to beta")
        self.beta_again()
        self.synced()
        self.migrate(self.alpha)
        self.counts_on()
        self.end()

    def test_another_size(self):
        source = self.boot()
        self.machine(self.beta, incoming=True)
        self.end_by_sigkill(self.beta)
        for name in ("beta.img", "beta.img.baton"):
            self.path(name).unlink()
        self.beta.config = self.write_config("beta.toml", size="32MiB")
        self.beta.ctl("create-md", "vm1")
        self.beta.start()
        self.refused_and_untouched(source, "size", "not connected to beta")
        self.end_machines()


if __name__ == "__main__":
    baton_test.main()
