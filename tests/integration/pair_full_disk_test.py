#!/usr/bin/python3
"""Goal: a file system that fills up under a thin image stops the guest for as long as it is full,
and no longer; where it is the other node's, the guest goes on and the copy is filled when there is
room. Method: two real daemons, one node's files on a small tmpfs, a file beside them that takes the
room and gives it back."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402


class FullDiskCase(PairCase):
    room = 32 * MIB  # for a volume of twice that
    fence_hold = "20s"
    full = "alpha"

    @property
    def options(self):
        return f'secret = "of this test"\nfence-hold = "{self.fence_hold}"'

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("a tmpfs of one's own needs root")
        self.small = self.folder / "small"
        self.small.mkdir()
        made = baton_test.run(["mount", "-t", "tmpfs", "-o", f"size={self.room}", "none",
                               self.small], check=False)
        if made.returncode != 0:
            self.skipTest(f"no tmpfs is to be had: {made.stderr}")
        # After the daemons are gone: cleanups run last first, and theirs are added later.
        self.addCleanup(baton_test.run, ["umount", self.small])
        text = self.config_text().replace(f'["{self.full}.img"]', f'["small/{self.full}.img"]')
        self.path("vm1.toml").write_text(text)

    def image(self, node):
        return (self.small if node.name == self.full else self.folder) / f"{node.name}.img"

    def fill_up(self):
        """All of the room that is left."""
        with open(self.small / "ballast", "wb") as file:
            left = os.statvfs(self.small)
            os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize)

    def give_room(self):
        (self.small / "ballast").unlink()

    def wait_held(self, node):
        status = self.wait_status(node, lambda status, _: status["held-writes"]["count"] > 0,
                                  "a write to be held")
        return status["held-writes"]["reason"]


class ThePrimarysDisk(FullDiskCase):
    @baton_test.requires_programs("qemu-io", "nbdsh")
    def test_writes_wait_for_room_and_go_on(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 1 0 4M", "flush")
        self.fill_up()
        writer = self.start_writer(self.alpha, offset=16 * MIB, blocks=256)
        self.assertIn("no room", self.wait_held(self.alpha))
        self.qemu_io(self.alpha, "write -P 2 0 4M", "read -P 2 0 4M", "flush")
        self.assertEqual(writer.written(), 0)
        self.assertEqual(self.alpha.status()["role"], "Primary")
        self.assertEqual(self.disk_state(self.alpha), "UpToDate")
        self.assertIn("no room", self.alpha.daemon.log())
        self.give_room()
        writer.wait_written(300)
        writer.end()
        self.wait_log(self.alpha, "has room again")
        self.assertEqual(self.connection(self.alpha)["connection-state"], "Connected")
        self.stop_and_compare()
        writer.assert_written_in(self.image(self.beta))

    @baton_test.requires_programs("qemu-io", "nbdsh")
    def test_a_handover_is_refused_while_they_wait_and_done_when_there_is_room(self):
        self.begin()
        self.fill_up()
        writer = self.start_writer(self.alpha, offset=16 * MIB, blocks=256)
        self.wait_held(self.alpha)
        refused = self.alpha.ctl("handover", "vm1", "--to", "beta", check=1, timeout=30)
        self.assertIn("did not finish within the timeout", refused.stderr)
        self.give_room()
        writer.wait_written(300)
        writer.end()
        self.alpha.ctl("handover", "vm1", "--to", "beta")
        self.assertEqual(self.beta.status()["role"], "Primary")
        self.stop_and_compare()


class ThePrimarysDiskForLong(FullDiskCase):
    fence_hold = "2s"

    @baton_test.requires_programs("qemu-io", "nbdsh")
    def test_the_guest_is_told_enospc_at_the_deadline_and_may_write_again(self):
        self.begin()
        self.fill_up()
        writer = self.start_writer(self.alpha, offset=16 * MIB, blocks=256)
        writer.wait_idle()
        self.assertEqual(writer.failure(), "ENOSPC")
        self.give_room()
        self.qemu_io(self.alpha, "write -P 5 16M 1M", "flush")
        self.connect_both()
        self.synced()
        self.qemu_io(self.beta, "read -P 5 16M 1M")
        self.stop_and_compare()


class TheOtherNodesDisk(FullDiskCase):
    full = "beta"

    @baton_test.requires_programs("qemu-io", "nbdsh")
    def test_the_guest_goes_on_and_the_copy_is_filled_when_there_is_room(self):
        self.begin()
        self.fill_up()
        writer = self.start_writer(self.alpha, offset=16 * MIB, blocks=256)
        writer.wait_written(300)
        self.assertEqual(self.disk_state(self.beta), "Outdated")
        self.wait_status(self.alpha, lambda _, peer: "is full" in peer["last-error"],
                         "the reason")
        self.assertIn("has no room for a write of the other node", self.beta.daemon.log())
        self.beta.ctl("primary", "vm1", check=1)
        self.end_by_sigkill(self.beta)
        self.beta.start()
        self.assertIn(self.disk_state(self.beta), ("Outdated", "Inconsistent"))
        self.give_room()
        self.connect_both()
        self.synced()
        writer.wait_written(300)
        writer.end()
        self.stop_and_compare()
        writer.assert_written_in(self.image(self.beta))


if __name__ == "__main__":
    baton_test.main()
