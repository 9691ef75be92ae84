#!/usr/bin/python3
"""Goal: the copies of a running pair are compared without a false alarm, what differs is found to the
block, and is repaired or copied by the next connect; a resync by checksum sends only what differs, and
one with a rate keeps it.
Method: two real daemons; bytes of an image are flipped behind its daemon's back; the images are compared
at the end."""
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import BLOCK, MIB, PairCase  # noqa: E402

KIB = 1024


class VerifyCase(PairCase):
    more_options = ""

    @property
    def options(self):
        return f'secret = "of this test"\ntimeout = "2s"\n{self.more_options}'

    def flip(self, node, *places):
        """One byte at each place becomes another, on the disk."""
        with open(self.image(node), "r+b", buffering=0) as image:
            for place in places:
                byte = os.pread(image.fileno(), 1, place)[0]
                os.pwrite(image.fileno(), bytes([byte ^ 0x10]), place)
            os.fsync(image.fileno())

    def verify_status(self, node):
        return self.connection(node).get("verify")

    def filled(self):
        """A pair with 32 MiB of data."""
        self.begin()
        self.qemu_io(self.alpha, "write -P 0x5a 0 32M", "flush")

    def start_verify(self, node, *words):
        return self.start([baton_test.program("batonctl"), *node.options, "verify", "vm1", *words],
                          name=f"verify-{node.name}")

    def wait_verifying(self, node, least=1):
        return self.wait_status(
            node, lambda _, peer: peer.get("verify", {}).get("running") and
            peer["verify"]["done-bytes"] >= least, "a verify under way")["connections"][0]


@baton_test.requires_programs("qemu-io")
class Verify(VerifyCase):
    def test_copies_that_are_equal_are_reported_equal_by_either_node(self):
        self.filled()
        for node in self.nodes:
            done = node.ctl("verify", "vm1")
            self.assertEqual(done.stdout, "vm1: 64 MiB compared, nothing differs\n")
            self.assertIn("    verify: 64 MiB compared, nothing differs\n",
                          node.ctl("status", "vm1").stdout)
        result = json.loads(self.alpha.ctl("--json", "verify", "vm1").stdout)
        self.assertEqual((result["complete"], result["done-bytes"], result["found-bytes"]),
                         (True, 64 * MIB, 0))
        self.stop_and_compare()
        # Holes were compared as holes: nothing was made of them.
        for node in self.nodes:
            self.assertLess(self.image(node).stat().st_blocks * 512, 33 * MIB)

    @baton_test.requires_programs("fio")
    def test_under_writes_nothing_is_reported(self):
        for protocol in ("C", "A"):
            with self.subTest(protocol=protocol):
                for file in ("alpha.img", "beta.img", "alpha.img.baton", "beta.img.baton"):
                    self.path(file).unlink(missing_ok=True)
                self.write_config(protocol=protocol)
                self.begin()
                fio = self.start_fio(self.alpha, "--rw=randwrite", "--bsrange=4k-64k", "--size=32M",
                                     "--io_size=1G", "--norandommap=0", "--do_verify=0",
                                     "--time_based=1", "--runtime=60")
                self.wait_status(self.alpha, lambda status, _: status["bytes-replicated"] > MIB,
                                 "fio's writes")
                for node in self.nodes:
                    node.ctl("verify", "vm1", "--from-start", timeout=60)
                self.assertTrue(fio.is_running(), fio.log_tail())
                before = self.alpha.status()["bytes-replicated"]
                self.wait_status(self.alpha, lambda status, _: status["bytes-replicated"] > before,
                                 "fio's writes")
                fio.kill()
                fio.wait()
                self.assertEqual(self.verify_status(self.alpha)["found-bytes"], 0)
                self.stop_and_compare()

    def test_flipped_bytes_are_found_to_the_block_and_repaired(self):
        self.filled()
        first, second = 5 * MIB, 20 * MIB
        self.flip(self.beta, first + 123, second + BLOCK - 1, second + BLOCK)
        sentence = self.alpha.refuses("verify", "vm1")
        self.assertIn(f"{3 * BLOCK} bytes differ between alpha and beta, in 2 ranges: "
                      f"volume 0 at {first}+{BLOCK}, volume 0 at {second}+{2 * BLOCK};", sentence)
        self.assertIn("verify --repair", sentence)
        volume = self.peer_volume(self.alpha)
        self.assertEqual(volume["out-of-sync"], 3 * BLOCK // KIB)
        self.assertEqual(volume["replication-state"], "Established")
        self.assertEqual(volume["peer-disk-state"], "UpToDate")
        self.assertEqual(self.verify_status(self.alpha)["listed"],
                         [{"volume": 0, "offset": first, "length": BLOCK},
                          {"volume": 0, "offset": second, "length": 2 * BLOCK}])
        # Asked on the node that does not hold the baton.
        done = self.beta.ctl("verify", "vm1", "--repair")
        self.assertIn("12 KiB differed and were copied from the holder", done.stdout)
        self.assertEqual(self.peer_volume(self.alpha)["out-of-sync"], 0)
        self.assertIn("nothing differs", self.alpha.ctl("verify", "vm1").stdout)
        self.stop_and_compare()
        self.assertEqual(self.image(self.beta).read_bytes()[first + 123], 0x5a)

    def test_a_short_last_block_is_compared_and_repaired_like_any_other(self):
        size = 8 * MIB + 512
        self.write_config(size=str(size))
        self.begin()
        self.qemu_io(self.alpha, f"write -P 0x31 {8 * MIB - 512} 1k", "flush")
        self.assertIn("nothing differs", self.alpha.ctl("verify", "vm1").stdout)
        self.flip(self.beta, size - 1)
        self.assertIn(f"512 bytes differ between alpha and beta, in 1 range: volume 0 at {8 * MIB}+512",
                      self.alpha.refuses("verify", "vm1"))
        self.assertIn("512 bytes differed and were copied",
                      self.alpha.ctl("verify", "vm1", "--repair").stdout)
        self.assertEqual(self.peer_volume(self.alpha)["out-of-sync"], 0)
        self.stop_and_compare()

    def test_what_was_found_is_copied_by_the_next_connect(self):
        self.filled()
        self.flip(self.beta, 7 * MIB, 40 * MIB)  # the second place is a hole
        self.assertIn("8192 bytes differ", self.alpha.refuses("verify", "vm1"))
        self.end_by_sigkill(self.alpha)
        self.end_by_sigkill(self.beta)
        self.start_both()
        self.connect_both()
        self.synced()
        self.assertIn("nothing differs", self.alpha.ctl("verify", "vm1").stdout)
        self.stop_and_compare()
        self.assertEqual(self.image(self.beta).read_bytes()[40 * MIB], 0)

    def test_the_copy_of_the_holder_is_the_one_that_is_kept(self):
        self.filled()
        self.flip(self.alpha, 9 * MIB + 5)
        self.assertIn("if beta's are the right ones, first hand it over",
                      self.alpha.refuses("verify", "vm1"))
        self.alpha.ctl("handover", "vm1")
        self.alpha.ctl("verify", "vm1", "--repair")
        self.stop_and_compare()
        self.assertEqual(self.image(self.alpha).read_bytes()[9 * MIB + 5], 0x5a)

    def test_what_cannot_be_compared_is_refused_with_a_sentence(self):
        self.create_md()
        self.alpha.start()
        self.assertIn("not connected to beta", self.alpha.refuses("verify", "vm1"))
        self.beta.start()
        self.connect_both()
        self.assertRegex(self.alpha.refuses("verify", "vm1"), "cannot be verified")
        self.alpha.ctl("primary", "vm1", "--force")
        self.synced()
        self.assertRegex(self.alpha.ctl("verify", "vm1", "--stop", "--repair", check=2).stderr,
                         "excludes")
        self.alpha.ctl("verify", "vm1", "--stop")
        self.alpha.ctl("disconnect", "vm1")
        self.assertIn("run wait-connect first", self.alpha.refuses("verify", "vm1"))
        self.stop_both()


@baton_test.requires_programs("qemu-io")
class SlowVerify(VerifyCase):
    more_options = 'verify-rate = "4MiB"'

    def test_a_verify_that_is_cut_goes_on_where_it_was(self):
        self.filled()
        self.flip(self.beta, 100)
        began = time.monotonic()
        running = self.start_verify(self.alpha)
        shown = self.wait_verifying(self.alpha, least=4 * MIB)
        self.assertGreater(time.monotonic() - began, 0.8, "4 MiB a second")
        self.assertEqual(shown["peer_devices"][0]["replication-state"], "VerifyS")
        self.wait_verifying(self.beta)
        self.assertEqual(self.peer_volume(self.beta)["replication-state"], "VerifyT")
        self.assertIn("verified already", self.alpha.refuses("verify", "vm1"))
        self.end_by_sigkill(self.beta)
        self.assertEqual(running.wait(20), 1, running.log_tail())
        self.assertRegex(running.log(), r"ended at \d+ of 67108864 bytes: the connection to beta was "
                                        r"lost; the next verify goes on there .*; 4096 bytes differ "
                                        r"so far")
        at = self.verify_status(self.alpha)["done-bytes"]
        self.beta.start()
        self.connect_both()
        self.synced()
        self.assertIn("when it was cut off", self.alpha.ctl("status", "vm1").stdout)
        running = self.start_verify(self.beta)
        self.wait_verifying(self.alpha, least=at + 1)
        self.assertIn(f"verify: goes on at {at} of", self.alpha.daemon.log())
        self.beta.ctl("verify", "vm1", "--stop")
        self.assertEqual(running.wait(20), 1, running.log_tail())
        self.assertIn("it was stopped", running.log())
        self.assertEqual(self.peer_volume(self.beta)["replication-state"], "Established")
        self.stop_and_compare()

    def test_a_handover_does_not_wait_for_it_and_a_client_that_goes_leaves_it_running(self):
        self.filled()
        running = self.start_verify(self.alpha)
        self.wait_verifying(self.alpha)
        running.kill()
        running.wait()
        self.assertTrue(self.verify_status(self.alpha)["running"])
        began = time.monotonic()
        self.alpha.ctl("handover", "vm1")
        self.assertLess(time.monotonic() - began, 2)
        self.wait_log(self.alpha, "the baton has moved")
        self.assertIn("nothing differs", self.beta.ctl("verify", "vm1", timeout=60).stdout)
        self.stop_and_compare()

    def test_it_shows_how_long_it_will_still_take(self):
        self.filled()
        running = self.start_verify(self.alpha)
        status = self.wait_status(
            self.alpha, lambda _, peer: "seconds-to-go" in peer.get("verify", {}), "a time to go")
        verify = status["connections"][0]["verify"]
        # 32 MiB of data at 4 MiB a second; holes cost nothing, which nobody knows before.
        left = (64 * MIB - verify["done-bytes"]) / (4 * MIB)
        self.assertAlmostEqual(verify["seconds-to-go"], left, delta=left / 3 + 1)
        self.assertRegex(self.alpha.ctl("status", "vm1").stdout, r"verify: .*; \d+ s to go")
        self.assertEqual(running.wait(60), 0, running.log_tail())
        self.stop_and_compare()


@baton_test.requires_programs("qemu-io")
class Scrub(VerifyCase):
    more_options = 'verify-interval = "2s"'

    def test_the_holder_compares_on_its_own(self):
        self.filled()
        self.flip(self.beta, 3 * MIB)
        self.wait_log(self.alpha, r"verify: volume 0 differs from beta at 3145728\+4096")
        self.beta.ctl("verify", "vm1", "--repair", "--from-start")
        done = self.verify_status(self.alpha)
        self.assertEqual(done["repaired-bytes"], done["found-bytes"])
        self.stop_and_compare()


@baton_test.requires_programs("qemu-io")
class ChecksumResync(VerifyCase):
    more_options = "checksum-based = true"

    def test_only_what_differs_is_sent(self):
        self.filled()
        self.alpha.ctl("disconnect", "vm1")
        # Written anew with what was there, but for 12 KiB.
        self.qemu_io(self.alpha, "write -P 0x5a 0 32M", "write -P 0x11 8M 8k", "write -P 0x22 25M 512")
        since = self.alpha.status()["bytes-replicated"]
        self.assertEqual(self.peer_volume(self.alpha)["out-of-sync"], 32 * KIB)
        self.alpha.ctl("connect", "vm1")
        self.connect_both()
        self.synced()
        sent = self.alpha.status()["bytes-replicated"] - since
        self.assertGreaterEqual(sent, 3 * BLOCK)
        self.assertLess(sent, 256 * KIB)
        self.wait_log(self.alpha, rf"; {32 * MIB - 3 * BLOCK} bytes were equal and not sent")
        self.assertEqual(self.peer_volume(self.alpha)["out-of-sync"], 0)
        self.qemu_io(self.beta, "read -P 0x11 8M 8k", "read -P 0x22 25M 512", "read -P 0x5a 9M 16M")
        self.stop_and_compare()


@baton_test.requires_programs("qemu-io")
class ResyncRate(VerifyCase):
    more_options = 'resync-rate = "8MiB"'

    def test_a_fixed_rate_is_kept_and_the_time_to_go_is_shown_on_both(self):
        self.begin()
        self.alpha.ctl("disconnect", "vm1")
        self.qemu_io(self.alpha, "write -P 0x77 0 40M")
        began = time.monotonic()
        self.alpha.ctl("connect", "vm1")
        for node in self.nodes:
            status = self.wait_status(
                node, lambda _, peer: "seconds-to-go" in peer["peer_devices"][0], "a time to go")
            (volume,) = status["connections"][0]["peer_devices"]
            self.assertAlmostEqual(volume["seconds-to-go"], volume["out-of-sync"] / (8 * KIB),
                                   delta=2)
        self.synced()
        self.assertGreater(time.monotonic() - began, 4, "40 MiB at 8 MiB a second")
        self.stop_and_compare()


if __name__ == "__main__":
    baton_test.main()
