#!/usr/bin/python3
"""Goal: a guest is moved as administrators move it on an active/passive pair: paused, its memory saved
to a file that lies beside its disk on the volume, unmounted, demoted; promoted, mounted, restored on the
other node, and goes on where it was. Each step refuses, with a reason, when it comes out of order.
Method: the commands of docs/migration.md "A cold move", an ext4 on a loop device on nbdfuse, and a QEMU
whose disk and saved memory are files in it."""
import errno
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import baton_test  # noqa: E402
import mounted_volume  # noqa: E402
import sector_guest  # noqa: E402
from baton_pair import PairCase  # noqa: E402

import nbd  # noqa: E402

SECTOR = 512


def save(machine, memory):
    """Stops the guest for good."""
    machine.qmp.execute("stop")
    machine.qmp.execute("migrate-set-capabilities", {"capabilities": [
        {"capability": "events", "state": True}]})
    machine.qmp.execute("migrate", {"uri": f"exec:cat > {memory}"})
    machine.wait_event("MIGRATION", status="completed")


@baton_test.requires_root("mounts and loop devices")
@baton_test.requires_programs("qemu-system-x86_64", "setpriv", *mounted_volume.PROGRAMS)
class ColdMove(PairCase):
    def setUp(self):
        super().setUp()
        mounted_volume.own_mounts(self)
        self.volume = mounted_volume.MountedVolume(self)
        self.machines = []
        self.begin()

    def tearDown(self):
        for machine in self.machines:
            machine.kill()
        self.volume.abandon()
        self.volume.take_down()

    def file(self, name):
        return self.volume.place / name

    def count(self):
        with open(self.file("guest.img"), "rb") as image:
            image.seek(SECTOR)
            count = struct.unpack("<I", image.read(4))[0]
            image.seek(2 * SECTOR)
            self.assertEqual(image.read(4), bytes(4), "somebody else wrote to the guest's disk")
        return count

    def machine(self, memory=None):
        disk = {"driver": "file", "filename": str(self.file("guest.img"))}
        incoming = f"exec:cat {memory}" if memory else None
        machine = sector_guest.Machine(self.folder, f"guest{len(self.machines)}", disk, incoming)
        self.machines.append(machine)
        return machine

    def counts_on(self):
        first = self.count()
        self.wait_for(lambda: self.count() > first + 5, "the guest to count on", 60)

    def refused_writes(self, node):
        handle = nbd.NBD()
        handle.connect_uri(self.uri(node))
        with self.assertRaises(nbd.Error) as refused:
            handle.pwrite(bytes(4096), 0)
        handle.shutdown()
        return getattr(errno, refused.exception.errno)

    def test_a_guest_is_saved_here_and_restored_there(self):
        here, there = self.alpha, self.beta
        self.volume.attach(self.uri(here))
        self.volume.make(4096)
        self.volume.mount()
        self.file("guest.img").write_bytes(sector_guest.boot_sector().ljust(1 << 20, b"\0"))
        guest = self.machine()
        for _ in range(2):
            self.counts_on()
            # Out of order: the other node cannot be Primary yet, and nobody writes there.
            self.assertIn(f"Primary on {here.name}", there.refuses("primary", "vm1"))
            self.assertEqual(self.refused_writes(there), errno.EPERM)
            save(guest, self.file("memory"))
            self.assertEqual(guest.quit(), 0)
            saved = self.count()
            self.volume.unmount()
            self.assertEqual(self.volume.detach(), 0)
            here.ctl("secondary", "vm1")
            there.ctl("primary", "vm1")
            here, there = there, here
            self.volume.attach(self.uri(here))
            mounted_volume.fsck_clean(self.volume.file)
            self.volume.mount()
            self.assertEqual(self.count(), saved)
            guest = self.machine(memory=self.file("memory"))
            # It was saved while it was stopped, and so it comes back.
            self.wait_for(lambda: guest.status() == "paused", "the memory to be loaded", 30)
            guest.qmp.execute("cont")
        self.counts_on()
        self.assertEqual(guest.quit(), 0)
        self.volume.unmount()
        self.assertEqual(self.volume.detach(), 0)
        self.stop_and_compare()

    def test_a_node_is_not_demoted_under_a_client_that_has_not_flushed(self):
        handle = nbd.NBD()
        handle.connect_uri(self.uri(self.alpha))
        handle.pwrite(b"x" * 4096, 0)
        text = self.alpha.refuses("secondary", "vm1")
        self.assertRegex(text, r"unix client, pid \d+.* has written .* since its last flush")
        self.assertEqual(self.alpha.status()["role"], "Primary")
        handle.flush()
        self.alpha.ctl("secondary", "vm1")
        self.beta.ctl("primary", "vm1")
        self.assertIn("Primary on beta", self.alpha.refuses("primary", "vm1"))
        handle.shutdown()
        self.stop_and_compare()


if __name__ == "__main__":
    baton_test.main()
