#!/usr/bin/python3
"""Goal: a guest does not notice that its node's disk has failed, or was taken away: the other node
serves it, and when the disk is back only what it missed is copied and the baton comes home.
Method: two real daemons; disks that are detached under fio, and one that fails requests with EIO when
told to, and one that hangs (nbdkit's error and pause filters behind a FUSE file)."""
import pathlib
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import DEBIAN_FIRST, MIB, PairCase  # noqa: E402
from failing_file import FuseFile  # noqa: E402

TIMEOUT_SECONDS = 2


class DisklessCase(PairCase):
    options = f'secret = "of this test"\ntimeout = "{TIMEOUT_SECONDS}s"'

    def assert_served(self, node, disk_state):
        """`node` is Primary without a disk, and the other one holds for it."""
        status = node.status()
        self.assertEqual(status["role"], "Primary")
        self.assertEqual(status["devices"][0]["disk-state"], disk_state)
        self.assertEqual(status["baton"]["holder"], self.other(node).name)
        other = self.other(node).status()
        self.assertEqual(other["role"], "Secondary")
        self.assertEqual(other["devices"][0]["disk-state"], "UpToDate")

    def wait_home(self, node):
        """Its disk is filled and it holds the baton again."""
        self.wait_status(node, lambda status, _: status["baton"]["holder"] == node.name
                         and status["devices"][0]["disk-state"] == "UpToDate",
                         "the baton", timeout=60)
        self.assertEqual(node.status()["role"], "Primary")

    def start_verifying(self, node, seconds):
        return self.start_fio(node, "--rw=randrw", "--bs=4k-64k", "--size=48M", "--time_based=1",
                              f"--runtime={seconds}", "--fsync=32")


class Detach(DisklessCase):
    @baton_test.requires_programs("fio", "qemu-io")
    def test_a_guest_does_not_notice_that_its_disk_is_taken_and_given_back(self):
        self.begin()
        fio = self.start_verifying(self.alpha, 8)
        writer = self.start_writer(self.alpha, offset=50 * MIB, blocks=64)
        writer.wait_written(50)
        self.alpha.ctl("detach", "vm1")
        self.assert_served(self.alpha, "Diskless")
        writer.wait_written(200)
        self.alpha.ctl("attach", "vm1")
        self.wait_home(self.alpha)
        writer.wait_written(50)
        self.alpha.ctl("detach", "vm1")
        writer.wait_written(50)
        self.assertEqual(fio.wait(100), 0, fio.log_tail())
        self.alpha.ctl("attach", "vm1")
        self.wait_home(self.alpha)
        self.assertIsNone(writer.failure())
        writer.end()
        self.stop_and_compare()
        writer.assert_written_in(self.image(self.beta))

    @baton_test.requires_programs("qemu-io")
    def test_only_what_the_disk_missed_is_copied_to_it(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 1 0 32M", "flush")
        self.alpha.ctl("detach", "vm1")
        self.qemu_io(self.alpha, "write -P 2 4M 1M", "read -P 1 8M 1M", "read -P 2 4M 1M")
        since = self.beta.status()["bytes-replicated"]
        self.alpha.ctl("attach", "vm1")
        self.wait_home(self.alpha)
        copied = self.beta.status()["bytes-replicated"] - since
        self.assertGreaterEqual(copied, MIB)
        self.assertLess(copied, 2 * MIB)
        self.qemu_io(self.alpha, "read -P 2 4M 1M", "read -P 1 5M 27M")
        self.stop_and_compare()

    @baton_test.requires_programs("qemu-io")
    def test_the_other_node_takes_over_from_a_diskless_one_that_dies(self):
        self.begin()
        self.alpha.ctl("detach", "vm1")
        self.qemu_io(self.alpha, "write -P 3 0 4M", "flush")
        self.end_by_sigkill(self.alpha)
        self.wait_disconnected(self.beta)
        self.beta.ctl("primary", "vm1")
        self.qemu_io(self.beta, "read -P 3 0 4M", "write -P 4 1M 1M", "flush")
        self.alpha.start()
        self.connect_both()
        self.synced()
        self.stop_and_compare()

    @baton_test.requires_programs("nbdsh")
    def test_a_flush_is_not_answered_for_writes_that_only_a_lost_holder_has(self):
        self.begin()
        self.alpha.ctl("detach", "vm1")
        client = self.start(["nbdsh", "-c", f"""
import sys
h.connect_uri("{self.uri(self.alpha)}")
h.pwrite(b"x" * 4096, 0)
print("written", flush=True)
sys.stdin.readline()
try:
    h.flush()
    print("flushed", flush=True)
except nbd.Error as error:
    print("failed", error.errno, flush=True)
"""], name="client", env=DEBIAN_FIRST, stdin=subprocess.PIPE)
        baton_test.wait_for(lambda: "written" in client.log(), "the write", watch=[client])
        self.end_by_sigkill(self.beta)
        self.wait_disconnected(self.alpha)
        self.assertIn("since its last flush", self.alpha.refuses("secondary", "vm1"))
        self.alpha.ctl("secondary", "vm1", "--force")
        self.assertEqual(self.alpha.status()["role"], "Secondary")
        client.close_stdin()
        self.assertEqual(client.wait(30), 0)
        self.assertIn("failed EIO", client.log())

    @baton_test.requires_programs("qemu-io")
    def test_a_secondary_without_a_disk_reads_from_the_other_node(self):
        self.begin()
        self.beta.ctl("detach", "vm1")
        self.connect_both()
        self.qemu_io(self.alpha, "write -P 5 0 4M")
        self.qemu_io(self.beta, "read -P 5 0 4M")
        self.beta.ctl("attach", "vm1")
        self.synced()
        self.stop_and_compare()

    def test_the_last_copy_is_not_given_up(self):
        self.begin()
        self.beta.stop()
        self.wait_disconnected(self.alpha)
        self.assertIn("is not connected with an UpToDate copy", self.alpha.refuses("detach", "vm1"))
        self.assertEqual(self.disk_state(self.alpha), "UpToDate")


class FuseDisk(DisklessCase):
    """alpha's disk is a FUSE file, and nbdkit behind it does what `filter_words` say."""

    def config_text(self, **changes):
        text = super().config_text(**changes)
        return text.replace('disks = ["alpha.img"]',
                            'disks = ["dev/alpha.img"]\nmeta  = ["alpha.img.baton"]')

    def setUp(self):
        super().setUp()
        with open(self.image(self.alpha), "wb") as disk:
            disk.truncate(self.size)
        FuseFile(self, self.path("dev/alpha.img"), self.image(self.alpha), self.filter_words())


class FailingDisk(FuseDisk):
    """It fails every request while `inject` exists."""

    def filter_words(self):
        self.inject = self.path("inject")
        return ["error", "error=EIO", "error-rate=100%", f"error-file={self.inject}"]

    @baton_test.requires_programs("nbdkit", "nbdfuse", "fio")
    def test_a_guest_does_not_notice_that_its_disk_fails(self):
        self.begin()
        fio = self.start_verifying(self.alpha, 6)
        writer = self.start_writer(self.alpha, offset=50 * MIB, blocks=64)
        writer.wait_written(50)
        self.inject.touch()
        self.wait_status(self.alpha, lambda status, _: status["baton"]["holder"] == "beta",
                         "the baton at beta")
        self.assert_served(self.alpha, "Failed")
        writer.wait_written(100)
        self.assertIn("still fails", self.alpha.refuses("attach", "vm1"))
        writer.wait_written(50)
        self.inject.unlink()
        self.alpha.ctl("attach", "vm1")
        self.wait_home(self.alpha)
        self.assertEqual(fio.wait(100), 0, fio.log_tail())
        self.assertIsNone(writer.failure())
        writer.end()
        self.stop_and_compare()
        writer.assert_written_in(self.image(self.beta))


class HangingDisk(FuseDisk):
    """It answers nothing from pause() to go_on()."""
    options = DisklessCase.options + '\ndisk-timeout = "3s"'

    def filter_words(self):
        return ["pause", f"pause-control={self.path('pause')}"]

    def tell_disk(self, letter):
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.path("pause")))
            control.sendall(letter)
            self.assertEqual(control.recv(1), letter.upper())

    def pause(self):
        self.tell_disk(b"p")

    def go_on(self):
        self.tell_disk(b"r")

    def unanswered(self, node):
        return node.status()["devices"][0].get("unanswered", {}).get("count", 0)

    def wait_served(self):
        self.wait_status(self.alpha, lambda status, _: status["baton"]["holder"] == "beta",
                         "the baton at beta")
        self.assert_served(self.alpha, "Failed")

    @baton_test.requires_programs("nbdkit", "nbdfuse", "fio")
    def test_a_guest_goes_on_at_the_other_node_when_its_disk_hangs(self):
        self.begin()
        fio = self.start_verifying(self.alpha, 12)
        writer = self.start_writer(self.alpha, offset=50 * MIB, blocks=64)
        writer.wait_written(50)
        self.pause()
        self.wait_served()
        writer.wait_written(100)
        self.assertGreater(self.unanswered(self.alpha), 0)
        self.assertIn("its disk hangs: ", self.alpha.ctl("status", "vm1").stdout)
        self.assertRegex(self.alpha.daemon.log(), r"alpha\.img has not answered a \w+ for 3 s")
        self.assertIn("may reach it at any time", self.alpha.refuses("attach", "vm1"))
        writer.wait_written(50)
        self.go_on()
        self.wait_status(self.alpha, lambda *_: self.unanswered(self.alpha) == 0, "all answers")
        self.alpha.ctl("attach", "vm1")
        self.wait_home(self.alpha)
        self.assertEqual(fio.wait(100), 0, fio.log_tail())
        self.assertIsNone(writer.failure())
        writer.end()
        self.stop_and_compare()
        writer.assert_written_in(self.image(self.beta))

    @baton_test.requires_programs("nbdkit", "nbdfuse")
    def test_a_daemon_stops_although_its_disk_hangs(self):
        self.begin()
        writer = self.start_writer(self.alpha, offset=50 * MIB, blocks=64)
        writer.wait_written(50)
        self.pause()
        self.wait_served()
        writer.end()
        self.assertGreater(self.unanswered(self.alpha), 0)
        self.alpha.daemon.send_signal(signal.SIGTERM)
        self.alpha.daemon.wait(30)
        self.assertIn("that a disk has not answered", self.alpha.daemon.log())
        self.go_on()
        self.alpha.start()
        self.connect_both()
        self.synced()
        self.stop_and_compare()
        writer.assert_written_in(self.image(self.beta))


if __name__ == "__main__":
    baton_test.main()
