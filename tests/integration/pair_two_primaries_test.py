#!/usr/bin/python3
"""Goal: with allow-two-primaries clients of both nodes write at once, and nothing is lost, mixed or
stale, whatever happens to the link and to the daemons (docs/dual-primary.md).
Method: two real daemons; fio with verification, and writers of whole stamped blocks, on both nodes."""
import pathlib
import re
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import BLOCK, DEBIAN_FIRST, MIB, PairCase  # noqa: E402

# Blocks of one stamp from end to end, at random places of its own kind, for `seconds`; now and then
# one is read back: it must be somebody's whole block, and of its own places its own last one.
STAMPER = r"""
import os, random, time
uri, name, kind, blocks, seconds = os.environ["STAMPER"].split()
blocks, seconds = int(blocks), float(seconds)
h = nbd.NBD()
h.connect_uri(uri)
random.seed(name)
mine, number, last = {}, 0, time.monotonic() + seconds
places = [n for n in range(blocks) if kind == "all" or n % 2 == (0 if kind == "even" else 1)]
while time.monotonic() < last:
    place = random.choice(places)
    number += 1
    stamp = b"%s%014d\n" % (name.encode(), number)
    h.pwrite(stamp * 256, place * 4096)
    mine[place] = stamp
    if number % 16 == 0:
        h.flush()
    place = random.choice(places)
    seen = bytes(h.pread(4096, place * 4096))
    assert seen == seen[:16] * 256, f"block {place} is a mixture: {seen[:16]} and others"
    if kind != "all":
        assert seen[:16] == mine.get(place, bytes(16)), f"block {place}: {seen[:16]}, not {mine.get(place)}"
h.flush()
h.shutdown()
print("stamped", number, flush=True)
"""


class TwoPrimariesCase(PairCase):
    options = 'secret = "of this test"\nallow-two-primaries = true\nfence-hold = "20s"'

    def begin_both(self):
        self.begin()
        self.beta.ctl("primary", "vm1")
        self.both_are_primary()

    def both_are_primary(self):
        for node in self.nodes:
            self.wait_status(node, lambda status, peer: status["role"] == "Primary" and
                             peer["peer-role"] == "Primary", "both to be Primary")
            self.assertEqual(node.status()["baton"]["holder"], "alpha")

    def stamper(self, node, kind, seconds, blocks=64):
        words = f"{self.uri(node)} {node.name[0]} {kind} {blocks} {seconds}"
        return self.start(["nbdsh", "-c", STAMPER], name=f"stamper-{node.name}",
                          env={**DEBIAN_FIRST, "STAMPER": words})

    def assert_done(self, *processes):
        for process in processes:
            self.assertEqual(process.wait(60), 0, process.log_tail())
            print(process.name, process.log().strip())

    def assert_whole_blocks(self, image, blocks=64):
        with open(image, "rb") as disk:
            for place in range(blocks):
                data = disk.read(BLOCK)
                self.assertEqual(data, data[:16] * 256, f"block {place} of {image.name} is a mixture")

    def end_equal(self):
        # One that was killed may still count as attached, with a write that was under way.
        self.wait_status(self.beta, lambda status, _: not status["clients"], "no client")
        self.beta.ctl("secondary", "vm1")
        self.stop_and_compare()


class TwoPrimaries(TwoPrimariesCase):
    @baton_test.requires_programs("fio")
    def test_each_in_its_half(self):
        self.begin_both()
        half = self.size // 2
        jobs = [self.start_fio(node, "--rw=randrw", "--bs=4k-64k", f"--offset={half * place}",
                               f"--size={half}", "--time_based=1", "--runtime=5", "--fsync=32")
                for place, node in enumerate(self.nodes)]
        for job in jobs:
            self.assertEqual(job.wait(100), 0, job.log_tail())
        self.end_equal()

    @baton_test.requires_programs("nbdsh")
    def test_every_other_block(self):
        self.begin_both()
        self.assert_done(self.stamper(self.alpha, "even", 4), self.stamper(self.beta, "odd", 4))
        self.end_equal()

    @baton_test.requires_programs("nbdsh")
    def test_the_same_blocks(self):
        self.begin_both()
        self.assert_done(self.stamper(self.alpha, "all", 4, 8), self.stamper(self.beta, "all", 4, 8))
        self.end_equal()
        for node in self.nodes:
            self.assert_whole_blocks(self.image(node), 8)

    @baton_test.requires_programs("nbdsh")
    def test_what_one_has_written_the_other_one_reads(self):
        self.begin_both()
        for number in range(1, 30):
            writer, reader = (self.alpha, self.beta) if number % 2 else (self.beta, self.alpha)
            self.qemu_io(writer, f"write -P {number} 0 128k")
            self.qemu_io(reader, f"read -P {number} 0 128k")
        self.end_equal()

    @baton_test.requires_programs("nbdsh")
    def test_the_link_is_lost_and_comes_back(self):
        self.use_bad_network()
        self.begin_both()
        stampers = [self.stamper(self.alpha, "even", 8), self.stamper(self.beta, "odd", 8)]
        for _ in range(3):
            self.network.reset()
            self.connect_both()
            self.synced()
        # Another client that only writes: a read that waits is not shown there.
        writer = self.start_writer(self.beta, offset=2 * MIB, blocks=64, flush_every=0)
        writer.wait_written(20)
        self.network.silence("alpha", "beta")
        self.wait_status(self.beta, lambda status, _: status["held-writes"]["count"] > 0, "a held write")
        self.assertRegex(self.beta.status()["held-writes"]["reason"], "holds the baton|cannot be reached")
        self.network.heal()
        self.assert_done(*stampers)
        writer.wait_written(20)
        writer.end()
        self.both_are_primary()
        self.synced()
        self.end_equal()

    @baton_test.requires_programs("nbdsh")
    def test_the_other_ones_daemon_is_killed_and_is_primary_again(self):
        self.begin_both()
        stamper = self.stamper(self.alpha, "even", 6)
        beta = self.start_writer(self.beta, offset=MIB, blocks=64)
        beta.wait_written(50)
        self.end_by_sigkill(self.beta)
        beta.wait_idle()
        self.beta.start()
        self.both_are_primary()
        again = self.start_writer(self.beta, offset=2 * MIB, blocks=64)
        again.wait_written(50)
        self.assert_done(stamper)
        again.end()
        self.synced()
        self.end_equal()

    @baton_test.requires_programs("nbdsh")
    def test_the_holders_daemon_is_killed_and_is_primary_again(self):
        self.begin_both()
        beta = self.start_writer(self.beta, offset=MIB, blocks=64)
        beta.wait_written(50)
        self.end_by_sigkill(self.alpha)
        self.alpha.start()
        self.both_are_primary()
        # Of the write that was with the dead process nobody knows: it is not done again.
        baton_test.wait_for(lambda: beta.failure() or beta.written() > 500, "the writer to go on or end")
        self.assertIn(beta.failure(), (None, "ENOSPC"))
        again = self.start_writer(self.beta, offset=2 * MIB, blocks=64)
        again.wait_written(50)
        for writer in (beta, again):
            writer.end()
        self.synced()
        self.end_equal()

    @baton_test.requires_programs("nbdsh")
    def test_the_holder_gives_up_and_the_other_one_does_not_notice(self):
        self.begin_both()
        beta = self.start_writer(self.beta, offset=MIB, blocks=64)
        beta.wait_written(50)
        self.alpha.ctl("secondary", "vm1")
        self.wait_status(self.beta, lambda status, _: status["baton"]["holder"] == "beta", "the baton")
        beta.wait_written(50)
        self.alpha.ctl("primary", "vm1")
        self.assertEqual(self.alpha.status()["role"], "Primary")
        beta.wait_written(50)
        self.alpha.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(self.alpha.daemon.wait(30), 0)
        beta.wait_written(50)
        self.assertIsNone(beta.failure())
        self.alpha.start()
        self.synced()
        beta.end()
        self.stop_and_compare()
        beta.assert_written_in(self.image(self.alpha))

    def test_what_makes_no_sense_is_refused(self):
        self.begin_both()
        for words in (("handover", "vm1"), ("migrate", "vm1")):
            self.assertRegex(self.alpha.refuses(*words), "Primary on both nodes|no qmp")
        self.end_by_sigkill(self.beta)
        self.beta.config = self.write_config("beta.toml", options='secret = "of this test"')
        self.beta.start()
        self.wait_status(self.alpha, lambda _, peer: re.search(
            "alpha allows two primaries of vm1 and beta does not", peer.get("last-error", "")), "the reason")


class OnePrimary(PairCase):
    def test_is_what_there_is_without_the_option(self):
        self.begin()
        self.assertRegex(self.beta.refuses("primary", "vm1"), "is Primary on alpha: demote it there first")
        self.stop_and_compare()


class LostHolder(TwoPrimariesCase):
    options = 'secret = "of this test"\nallow-two-primaries = true\nfence-hold = "2s"'

    @baton_test.requires_programs("nbdsh")
    def test_what_waits_for_it_is_shown_and_ends_in_time(self):
        """A write and a flush end with ENOSPC, which pauses a QEMU guest under its default policy."""
        self.use_bad_network()
        self.begin_both()
        self.network.silence("alpha", "beta")
        self.wait_disconnected(self.beta)
        for call, error, shown in (("pread(4096, 0)", "EIO", "held-reads"),
                                   ("pwrite(bytes(4096), 0)", "ENOSPC", "held-writes"),
                                   ("flush()", "ENOSPC", "held-writes")):
            with self.subTest(call):
                code = f"""
import errno, os
h = nbd.NBD()
h.connect_uri({self.uri(self.beta)!r})
try:
    h.{call}
except nbd.Error as error:
    print(errno.errorcode[error.errnum])
"""
                client = self.start(["nbdsh", "-c", code], name="client", env=DEBIAN_FIRST)
                status = self.wait_status(self.beta, lambda status, _, shown=shown: status[shown]["count"] > 0,
                                          f"it among the {shown}")
                self.assertRegex(status[shown]["reason"], "which holds the baton, cannot be reached")
                self.assertEqual(client.wait(20), 0, client.log_tail())
                self.assertEqual(client.log().strip(), error)
        self.network.heal()
        self.synced()

if __name__ == "__main__":
    baton_test.main()
