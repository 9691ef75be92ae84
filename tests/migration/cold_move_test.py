#!/usr/bin/python3
"""Goal: a guest is moved as administrators move it on an active/passive pair: paused, its memory saved
to a file that lies beside its disk on the volume, unmounted, demoted; promoted, mounted, restored on the
other node, and goes on where it was. Each step refuses, with a reason, when it comes out of order.
Method: the commands of docs/migration.md "A cold move", an ext4 on a loop device on nbdfuse, and a QEMU
whose disk and saved memory are files in it."""
import errno
import pathlib
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import baton_test  # noqa: E402
import mounted_volume  # noqa: E402
import sector_guest  # noqa: E402
from baton_pair import PairCase  # noqa: E402
from qmp import Qmp  # noqa: E402

import nbd  # noqa: E402

SECTOR = 512


class FileMachine:
    """A QEMU whose disk is a file of the mounted filesystem."""

    def __init__(self, folder, name, image, memory=None):
        own = folder / f"{name}.own-qmp"
        argv = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-display",
                "none", "-accel", "tcg", "-m", "64",
                "-blockdev", f"driver=raw,node-name=disk,file.driver=file,file.filename={image}",
                "-device", "virtio-blk-pci,drive=disk,werror=stop,rerror=stop"]
        if memory:
            argv += ["-incoming", f"exec:cat {memory}"]
        with sector_guest.listener(own) as listener:
            argv += ["-chardev", f"socket,id=qmp,server=on,wait=off,fd={listener.fileno()}",
                     "-mon", "chardev=qmp,mode=control"]
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                                            pass_fds=[listener.fileno()])
        self.qmp = Qmp(name, own)

    def save(self, memory):
        """Stops the guest for good."""
        self.qmp.execute("stop")
        self.qmp.execute("migrate-set-capabilities", {"capabilities": [
            {"capability": "events", "state": True}]})
        self.qmp.execute("migrate", {"uri": f"exec:cat > {memory}"})
        self.qmp.wait_event(lambda event: event.name == "MIGRATION" and
                            event.data["status"] == "completed", 60, "the memory saved")

    def quit(self):
        self.qmp.execute("quit")
        status = self.process.wait(30)
        self.qmp.close()
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self.qmp.close()


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

    def machine(self, **options):
        machine = FileMachine(self.folder, f"guest{len(self.machines)}", self.file("guest.img"), **options)
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
            guest.save(self.file("memory"))
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
            self.wait_for(lambda: guest.qmp.execute("query-status")["status"] == "paused",
                          "the memory to be loaded", 30)
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
