#!/usr/bin/python3
"""Goal: on-peer-lost does what it says when a node is killed, cut off, stopped in order, or replaced.
Method: two real daemons, the link through the tests' own network, a writer that notes what it was
answered."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402


class LostPeerCase(PairCase):
    policy = "suspend"

    @property
    def options(self):
        return ('secret = "of this test"\ntimeout = "1s"\nping-int = "250ms"\n'
                f'on-peer-lost = "{self.policy}"')

    def setUp(self):
        super().setUp()
        self.use_bad_network()

    def wait_suspended(self, node):
        self.wait_status(node, lambda status, _: status["suspended"], "its writes to stand still")
        self.assertIn("on-peer-lost", node.status()["suspended-reason"])

    def wait_held(self, node):
        self.wait_status(node, lambda status, _: status["held-writes"]["count"] > 0,
                         "a write to be held")


class Suspend(LostPeerCase):
    @baton_test.requires_programs("nbdsh")
    def test_writes_wait_for_the_peer_and_go_on_when_it_is_back(self):
        self.begin()
        writer = self.start_writer(self.alpha, offset=0, blocks=64)
        writer.wait_written(20)
        self.network.silence("alpha", "beta")
        self.wait_suspended(self.alpha)
        self.wait_held(self.alpha)
        self.assertIn("writes stand still", self.alpha.ctl("status", "vm1").stdout)
        # Not qemu-io: it flushes when it closes, and a flush waits like the writes that it covers.
        self.nbdsh(f"h.connect_uri({self.uri(self.alpha)!r}); h.pread({MIB}, {8 * MIB})")
        self.network.heal()
        self.connect_both()
        writer.wait_written(20)
        self.assertFalse(self.alpha.status()["suspended"])
        writer.end()
        self.synced()
        self.stop_and_compare()
        writer.assert_written_in(self.image(self.beta))

    @baton_test.requires_programs("qemu-io")
    def test_resume_io_goes_on_without_the_peer(self):
        self.begin()
        writer = self.start_writer(self.alpha, offset=0, blocks=64)
        writer.wait_written(20)
        self.end_by_sigkill(self.beta)
        self.wait_held(self.alpha)
        self.alpha.ctl("resume-io", "vm1")
        writer.wait_written(20)
        self.assertFalse(self.alpha.status()["suspended"])
        self.beta.start()
        self.connect_both()
        self.synced()
        writer.wait_written(20)
        writer.end()
        self.stop_and_compare()
        writer.assert_written_in(self.image(self.beta))

    @baton_test.requires_programs("qemu-io")
    def test_the_other_node_takes_the_place_of_one_that_waits_without_a_split_brain(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 1 0 4M", "flush")
        self.network.silence("alpha", "beta")
        self.wait_suspended(self.alpha)
        self.wait_disconnected(self.beta)
        self.beta.ctl("primary", "vm1", "--force", "--yes")
        # It waits, too, for the one whose place it has taken; the operator has said all the same.
        self.qemu_io(self.beta, "write -P 2 1M 1M", "flush")
        self.network.heal()
        self.connect_both()
        self.synced()
        self.assertEqual(self.alpha.status()["role"], "Secondary")
        self.assertEqual(self.beta.status()["role"], "Primary")
        self.qemu_io(self.beta, "read -P 2 1M 1M", "read -P 1 2M 2M")
        self.stop_and_compare()

    @baton_test.requires_programs("qemu-io")
    def test_a_peer_that_is_stopped_in_order_suspends_nothing(self):
        self.begin()
        self.beta.stop()
        self.wait_disconnected(self.alpha)
        self.qemu_io(self.alpha, "write -P 1 0 1M", "flush")
        self.assertFalse(self.alpha.status()["suspended"])


class Fail(LostPeerCase):
    policy = "fail"

    @baton_test.requires_programs("qemu-io")
    def test_writes_end_with_an_error_until_the_peer_is_back(self):
        self.begin()
        self.network.silence("alpha", "beta")
        self.wait_suspended(self.alpha)
        output = self.qemu_io(self.alpha, "write -P 1 0 4k", check=1).stdout
        self.assertIn("Input/output error", output)
        self.network.heal()
        self.connect_both()
        self.qemu_io(self.alpha, "write -P 1 0 4k", "flush")
        self.stop_and_compare()


if __name__ == "__main__":
    baton_test.main()
