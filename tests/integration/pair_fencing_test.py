#!/usr/bin/python3
"""Goal: the fence-peer handler is asked as DRBD asks it, its word counts as far as it proves
something, and nothing goes on without it. Method: two real daemons, the link through the tests' own
network, handlers that note their environment and answer what the test has written down."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402

HANDLER = """#!/bin/sh
env > {folder}/{name}.env.new
mv {folder}/{name}.env.new {folder}/{name}.env
[ -p {folder}/{name}.wait ] && cat {folder}/{name}.wait
[ -f {folder}/{name}.code ] || exit 0
exit $(cat {folder}/{name}.code)
"""


class FencingCase(PairCase):
    options = 'secret = "of this test"\ntimeout = "1s"\nping-int = "250ms"'

    def setUp(self):
        super().setUp()
        self.use_bad_network()
        for node in self.nodes:
            for event in ("fence-peer", "unfence-peer"):
                program = self.folder / f"{node.name}.{event}.sh"
                program.write_text(HANDLER.format(folder=self.folder, name=program.stem))
                program.chmod(0o755)
            node.config.write_text(node.config.read_text() + f"""
[handlers]
fence-peer = "{self.folder}/{node.name}.fence-peer.sh"
unfence-peer = "{self.folder}/{node.name}.unfence-peer.sh"
""")

    def answers(self, node, code):
        (self.folder / f"{node.name}.fence-peer.code").write_text(str(code))

    def called(self, node, event):
        """With which environment."""
        note = self.folder / f"{node.name}.{event}.env"
        baton_test.wait_for(note.exists, f"{event} on {node.name}", 30)
        return dict(line.split("=", 1) for line in note.read_text().splitlines() if "=" in line)

    def wait_suspended(self, node, with_reason):
        self.wait_status(node, lambda status, _: with_reason in status["suspended-reason"],
                         "its writes to stand still")


class FencePeer(FencingCase):
    @baton_test.requires_programs("qemu-io")
    def test_the_holder_goes_on_when_the_peer_is_switched_off_and_says_when_it_is_whole(self):
        self.answers(self.alpha, 7)
        self.begin()
        writer = self.start_writer(self.alpha, offset=0, blocks=64)
        writer.wait_written(20)
        self.end_by_sigkill(self.beta)
        environment = self.called(self.alpha, "fence-peer")
        self.assertEqual(environment["DRBD_RESOURCE"], "vm1")
        self.assertEqual(environment["DRBD_PEER"], "beta")
        self.assertEqual(environment["DRBD_PEER_ADDRESS"], "127.0.0.1")
        self.assertEqual(environment["DRBD_MY_AF"], "ipv4")
        self.assertEqual(environment["DRBD_BACKING_DEV_0"], str(self.image(self.alpha)))
        writer.wait_written(20)
        self.assertFalse(self.alpha.status()["suspended"])
        self.assertFalse((self.folder / "alpha.unfence-peer.env").exists())
        self.beta.start()
        self.connect_both()
        self.synced()
        self.called(self.alpha, "unfence-peer")
        writer.end()
        self.stop_and_compare()

    @baton_test.requires_programs("qemu-io")
    def test_a_holder_that_cannot_reach_the_peer_waits_for_it(self):
        self.answers(self.alpha, 5)
        self.answers(self.beta, 5)
        self.begin()
        self.network.silence("alpha", "beta")
        self.called(self.alpha, "fence-peer")
        self.wait_suspended(self.alpha, "resume-io")
        self.wait_disconnected(self.beta)
        refusal = self.beta.ctl("primary", "vm1", check=1).stderr
        self.assertIn("fence-peer says of alpha: it cannot be reached", refusal)
        self.assertIn("--force", refusal)
        self.network.heal()
        self.connect_both()
        self.qemu_io(self.alpha, "write -P 1 0 1M", "flush")
        self.stop_and_compare()

    @baton_test.requires_programs("qemu-io")
    def test_a_copy_that_lived_through_takes_over_without_force_when_the_peer_is_off(self):
        self.answers(self.beta, 7)
        self.begin()
        self.qemu_io(self.alpha, "write -P 1 0 4M", "flush")
        self.end_by_sigkill(self.alpha)
        self.wait_disconnected(self.beta)
        self.beta.ctl("primary", "vm1")
        self.called(self.beta, "fence-peer")
        self.qemu_io(self.beta, "read -P 1 0 4M", "write -P 2 1M 1M", "flush")
        self.alpha.start()
        self.connect_both()
        self.synced()
        self.assertEqual(self.alpha.status()["role"], "Secondary")
        self.stop_and_compare()

    @baton_test.requires_programs("qemu-io")
    def test_a_copy_that_was_restarted_has_nobody_shot(self):
        self.answers(self.alpha, 7)
        self.answers(self.beta, 7)
        self.begin()
        self.end_by_sigkill(self.beta)
        self.called(self.alpha, "fence-peer")
        self.qemu_io(self.alpha, "write -P 1 0 1M", "flush")
        self.network.silence("alpha", "beta")
        self.beta.start()
        refusal = self.beta.ctl("primary", "vm1", check=1).stderr
        self.assertIn("cannot become Primary", refusal)
        self.assertFalse((self.folder / "beta.fence-peer.env").exists())
        self.network.heal()
        self.connect_both()
        self.synced()
        self.stop_and_compare()

    def test_a_node_stops_while_its_handler_hangs(self):
        import os
        os.mkfifo(self.folder / "alpha.fence-peer.wait")
        self.begin()
        self.end_by_sigkill(self.beta)
        self.called(self.alpha, "fence-peer")
        self.wait_suspended(self.alpha, "fence-peer handler is asked")
        self.alpha.stop()
        (self.folder / "alpha.fence-peer.wait").write_text("")  # the program ends, too


class Outdate(FencingCase):
    def test_an_outdated_copy_is_promoted_by_force_only_and_stays_so_over_a_restart(self):
        self.begin()
        self.assertIn("holds the baton" if self.alpha.status()["role"] != "Primary" else "is Primary",
                      self.alpha.ctl("outdate", "vm1", check=1).stderr)
        self.assertIn("is connected to alpha", self.beta.ctl("outdate", "vm1", check=1).stderr)
        self.network.silence("alpha", "beta")
        self.wait_disconnected(self.beta)
        self.beta.ctl("outdate", "vm1")
        self.assertEqual(self.disk_state(self.beta), "Outdated")
        self.end_by_sigkill(self.beta)
        self.beta.start()
        self.assertEqual(self.disk_state(self.beta), "Outdated")
        self.beta.ctl("primary", "vm1", check=1)
        self.network.heal()
        self.connect_both()
        self.synced()
        self.stop_and_compare()


if __name__ == "__main__":
    baton_test.main()
