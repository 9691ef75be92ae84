#!/usr/bin/python3
"""Goal: where a window is open the first write brings the right to write, and no guest that was left
behind, or has gone on, is overruled by it.
Method: two real daemons, batonctl, and clients that behave as a QEMU does before, during and after a
live migration: flushes and silence at the source, a write at the destination, a flush and a goodbye."""
import errno
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import PairCase  # noqa: E402

import nbd  # noqa: E402

BLOCK = 4096


class Guest:
    """One NBD connection of a QEMU's, and what it does with it."""

    def __init__(self, uri):
        self.nbd = nbd.NBD()
        self.nbd.connect_uri(uri)

    def write(self, number, place=0):
        """Error number, or 0."""
        try:
            self.nbd.pwrite(bytes([number]) * BLOCK, place * BLOCK)
        except nbd.Error as error:
            return getattr(errno, error.errno or "EIO")
        return 0

    def begin_write(self, number, place=0):
        self.buffer = nbd.Buffer.from_bytearray(bytearray([number]) * BLOCK)
        self.cookie = self.nbd.aio_pwrite(self.buffer, place * BLOCK)
        self.poll(0)

    def poll(self, milliseconds=50):
        self.nbd.poll(milliseconds)

    def answer(self, seconds=30):
        """Error number of the write that was begun, or 0."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if self.nbd.aio_command_completed(self.cookie):
                    return 0
            except nbd.Error as error:
                return getattr(errno, error.errno or "EIO")
            self.poll()
        raise AssertionError(f"no answer in {seconds} s")

    def read(self, place=0):
        return self.nbd.pread(BLOCK, place * BLOCK)[0]

    def stop(self):
        """As QEMU does at STOP."""
        self.nbd.flush()
        self.nbd.flush()

    def leave(self):
        self.nbd.flush()
        self.nbd.shutdown()


class FirstWrite(PairCase):
    options = 'secret = "of this test"\nfence-hold = "3s"'

    def setUp(self):
        super().setUp()
        self.begin()
        self.source = Guest(self.uri(self.alpha))
        for number in range(1, 20):
            self.assertEqual(self.source.write(number), 0)

    def allow(self, node, *options):
        node.ctl("handover", "vm1", "--allow", *options)
        self.assertTrue(node.status()["baton"]["window"])

    def held(self, node):
        self.wait_for(lambda: node.status()["held-writes"]["count"] > 0, f"a held write on {node.name}")

    def assert_primary(self, node):
        status = node.status()
        self.assertEqual((status["role"], status["baton"]["holder"]), ("Primary", node.name))
        self.assertFalse(status["baton"]["window"])
        self.wait_status(self.other(node), lambda status, peer: status["role"] == "Secondary",
                         "the other to be Secondary")

    def end(self, *guests):
        for guest in guests:
            guest.nbd.shutdown()
        self.stop_and_compare()

    def test_as_libvirt_moves_a_guest(self):
        destination = Guest(self.uri(self.beta))
        self.assertEqual(destination.write(99), errno.EPERM)  # no window: refused at once
        self.allow(self.beta)
        self.assertEqual(self.source.write(20), 0)  # an open window hinders nobody
        self.source.stop()
        self.assertEqual(destination.write(21), 0)
        self.assert_primary(self.beta)
        self.assertEqual(destination.read(), 21)
        self.source.leave()  # late, and no error
        self.assertEqual(destination.write(22), 0)
        self.end(destination)

    def test_the_source_is_gone_before_the_first_write(self):
        self.allow(self.beta)
        self.source.leave()
        destination = Guest(self.uri(self.beta))
        self.assertEqual(destination.write(21), 0)
        self.assert_primary(self.beta)
        self.end(destination)

    def test_who_only_reads_is_nobodys_guest(self):
        backup = Guest(self.uri(self.alpha))
        self.allow(self.beta)
        destination = Guest(self.uri(self.beta))
        self.assertEqual(self.source.write(20), 0)
        destination.begin_write(21)
        self.held(self.beta)
        backup.read()
        self.source.leave()
        self.assertEqual(destination.answer(), 0)
        self.assertEqual(backup.read(), 21)
        self.end(destination, backup)

    def test_the_first_write_waits_until_the_source_has_left(self):
        """libvirt kills the source 30 to 110 ms after the destination runs (schedules:
        refused-first-write)."""
        self.allow(self.beta)
        destination = Guest(self.uri(self.beta))
        self.assertEqual(self.source.write(20), 0)  # and no flush: it may go on at any time
        destination.begin_write(21)
        self.held(self.beta)
        self.assertIn("handover window", self.beta.status()["held-writes"]["reason"])
        self.source.leave()
        self.assertEqual(destination.answer(), 0)
        self.assert_primary(self.beta)
        self.end(destination)

    def test_a_source_that_goes_on_is_answered_once_and_for_good(self):
        for what in ("write", "read"):
            with self.subTest(what=what):
                self.allow(self.beta)
                destination = Guest(self.uri(self.beta))
                self.assertEqual(self.source.write(20), 0)
                destination.begin_write(21)
                self.held(self.beta)
                if what == "write":
                    self.assertEqual(self.source.write(22), 0)
                else:
                    self.source.read()
                self.assertEqual(destination.answer(), errno.ENOSPC)
                self.assert_primary(self.alpha)
                self.source.stop()
                self.assertEqual(destination.write(23), errno.EPERM)  # the window is closed
                destination.nbd.shutdown()
        self.end(self.source)

    def test_who_was_left_behind_never_writes_again_by_itself(self):
        destination = Guest(self.uri(self.beta))
        self.allow(self.beta)
        self.source.stop()
        self.assertEqual(destination.write(21), 0)
        destination.leave()  # and is killed: its writes are newer than the source's memory
        self.allow(self.alpha)
        began = time.monotonic()
        self.assertEqual(self.source.write(22), errno.ENOSPC)
        self.assertGreater(time.monotonic() - began, 2.5, "it is held first")
        self.assertEqual(self.source.read(), 21)
        self.assertTrue(self.alpha.status()["baton"]["window"], "it was not asked for")
        # Another one may: that is how a guest moves back.
        back = Guest(self.uri(self.alpha))
        self.assertEqual(back.write(23), 0)
        self.assert_primary(self.alpha)
        self.assertEqual(self.source.write(24), errno.ENOSPC)  # still
        self.alpha.ctl("primary", "vm1")  # an operator's word
        self.assertEqual(self.source.write(25), 0)
        self.end(self.source, back)

    def test_who_came_to_a_primary_without_a_disk_is_left_behind_like_others(self):
        self.source.leave()
        self.alpha.ctl("detach", "vm1")
        guest = Guest(self.uri(self.alpha))
        self.assertEqual(guest.write(20), 0)
        self.alpha.ctl("attach", "vm1")
        self.synced()
        self.wait_status(self.alpha, lambda status, _: status["baton"]["holder"] == "alpha", "the baton")
        self.allow(self.beta)
        guest.stop()
        destination = Guest(self.uri(self.beta))
        self.assertEqual(destination.write(21), 0)
        self.assertEqual(guest.write(22), errno.ENOSPC)  # and no EPERM, which would reach a filesystem
        self.end(destination)

    def test_the_listeners_word(self):
        self.alpha.ctl("handover", "vm1", "--guest", "running")
        self.allow(self.beta)
        destination = Guest(self.uri(self.beta))
        self.source.stop()
        destination.begin_write(21)
        self.held(self.beta)
        self.alpha.daemon.wait_for_line("source-runs")
        self.alpha.ctl("handover", "vm1", "--guest", "stopped")
        self.assertEqual(destination.answer(), 0)
        self.assert_primary(self.beta)
        # And back, but the source goes on: resumed by its libvirt, it has written nothing yet.
        self.beta.ctl("handover", "vm1", "--guest", "running")
        self.allow(self.alpha)
        destination.stop()
        self.beta.ctl("handover", "vm1", "--guest", "stopped")
        self.beta.ctl("handover", "vm1", "--guest", "running")
        self.wait_for(lambda: not self.alpha.status()["baton"]["window"], "the window to be closed")
        back = Guest(self.uri(self.alpha))
        self.assertEqual(back.write(22), errno.EPERM)
        self.assertEqual(destination.write(23), 0)
        self.end(destination, back, self.source)

    def test_a_window_ends(self):
        self.allow(self.beta, "--timeout", "1")
        self.wait_for(lambda: not self.beta.status()["baton"]["window"], "the window to close")
        destination = Guest(self.uri(self.beta))
        self.source.stop()
        self.assertEqual(destination.write(21), errno.EPERM)
        for node in self.nodes:  # denied on either
            self.allow(self.beta)
            node.ctl("handover", "vm1", "--deny")
            self.wait_for(lambda: not self.beta.status()["baton"]["window"], "the window to close")
        self.assertEqual(self.source.write(22), 0)
        self.assert_primary(self.alpha)
        self.end(self.source, destination)

    def test_what_is_refused(self):
        self.alpha.ctl("handover", "vm1", "--allow")  # is Primary: there is nothing to allow
        self.assertFalse(self.alpha.status()["baton"]["window"])
        self.alpha.ctl("disconnect", "vm1")
        text = self.beta.refuses("handover", "vm1", "--allow")
        self.assertIn("not connected", text)
        self.assertIn("wait-connect", text)
        for words in (("--allow", "--deny"), ("--allow", "--to", "beta"), ("--timeout", "5"),
                      ("--guest", "asleep"), ("--allow", "--timeout", "0")):
            with self.subTest(words=words):
                self.beta.refuses("handover", "vm1", *words, status=2)
        self.source.nbd.shutdown()

    def test_a_hundred_moves_without_a_pause(self):
        guests = {self.alpha: self.source}
        number = 30
        for _ in range(50):
            for here, there in ((self.alpha, self.beta), (self.beta, self.alpha)):
                there.ctl("handover", "vm1", "--allow")
                guests[there] = Guest(self.uri(there))
                guests[here].stop()
                number = (number + 1) % 250
                self.assertEqual(guests[there].write(number), 0)
                guests[here].leave()
                self.assertEqual(guests[there].read(), number)
        self.end(guests[self.alpha])


class NoGuess(PairCase):
    options = 'secret = "of this test"\nfence-hold = "2s"\nhandover-on-silence = false'

    def test_silence_is_not_enough_where_it_is_not_to_be(self):
        self.begin()
        source = Guest(self.uri(self.alpha))
        self.assertEqual(source.write(1), 0)
        source.stop()
        self.beta.ctl("handover", "vm1", "--allow")
        destination = Guest(self.uri(self.beta))
        self.assertEqual(destination.write(2), errno.ENOSPC)
        self.assertEqual(self.alpha.status()["role"], "Primary")
        source.leave()
        self.assertEqual(destination.write(3), 0)
        destination.nbd.shutdown()
        self.stop_and_compare()


if __name__ == "__main__":
    baton_test.main()
