#!/usr/bin/python3
"""Goal: a pair is one disk: what clients write at the Primary is read back on both nodes, is the same
in both images after the stop, and a clean stop leaves nothing to copy; under every protocol.
Method: two real daemons and the clients that people use: nbdinfo, nbdcopy, qemu-io, qemu-img, fio,
nbdsh."""
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402

QEMU_IO_COMMANDS = (
    "write -P 0x11 0 1M", "write -P 0x22 1M 64k", "write -P 0x33 4097 513",  # unaligned
    "write -P 0x44 8191 2", "write -f -P 0x55 2M 12k",                       # FUA
    "write -P 0x66 3M 1M", "discard 3M 256k", "write -z 3328k 128k", "write -z -u 3584k 64k",
    "write -z 8000001 12345", "discard 9000001 70001", "flush")
QEMU_IO_CHECKS = (
    "read -P 0x11 0 4097", "read -P 0x33 4097 513", "read -P 0x11 4610 3581",
    "read -P 0x44 8191 2", "read -P 0x11 8193 1040383", "read -P 0x22 1M 64k",
    "read -P 0x55 2M 12k", "read -P 0 3M 384k", "read -P 0x66 3456k 128k", "read -P 0 3584k 64k",
    "read -P 0x66 3648k 448k",
    "read -P 0 8000001 12345", "read -P 0 40M 1M")


class Traffic:
    """The cases of every protocol; PairCase comes in with the classes below."""

    def setUp(self):
        super().setUp()
        self.begin()

    @baton_test.requires_programs("nbdinfo")
    def test_both_nodes_show_the_same_export(self):
        shown = []
        for node in self.nodes:
            for uri in (self.uri(node), self.uri(node, ""), self.tcp_uri(node)):
                (export,) = json.loads(baton_test.run(["nbdinfo", "--json", uri]).stdout)["exports"]
                export.pop("uri", None)
                shown.append(export)
        for export in shown[1:]:
            self.assertEqual(export, shown[0])
        self.assertEqual(shown[0]["export-size"], self.size)
        self.assertFalse(shown[0]["is_read_only"], "QEMU opens the destination's disk for writing")
        self.assertTrue(shown[0]["can_fua"])
        self.assertTrue(shown[0]["can_trim"])
        self.assertTrue(shown[0]["can_zero"])

    @baton_test.requires_programs("nbdcopy", "qemu-img")
    def test_an_image_goes_in_and_comes_out_at_both_nodes(self):
        source = self.path("source.raw")
        chance = random.Random(7)
        with open(source, "wb") as out:
            for _ in range(24):
                out.seek(chance.randrange(63) * MIB + chance.randrange(MIB // 512) * 512)
                out.write(chance.randbytes(300_000))
            out.truncate(self.size)
        baton_test.run(["nbdcopy", "--flush", source, self.tcp_uri(self.alpha)])
        for node in self.nodes:
            for uri in (self.uri(node), self.tcp_uri(node)):
                back = self.path("back.raw")
                baton_test.run(["nbdcopy", uri, back])
                baton_test.run(["cmp", source, back])
        self.assert_equal_through_nbd()
        self.stop_and_compare()
        baton_test.run(["cmp", source, self.image(self.beta)])

    @baton_test.requires_programs("qemu-io")
    def test_every_kind_of_write_reads_back_on_both_nodes(self):
        self.qemu_io(self.alpha, *QEMU_IO_COMMANDS)
        for node in self.nodes:
            self.qemu_io(node, *QEMU_IO_CHECKS)
        self.assert_equal_through_nbd()
        self.stop_and_compare()

    @baton_test.requires_programs("fio")
    def test_fio_verifies_what_it_wrote(self):
        for size, amount in (("512", "1M"), ("4k", "8M"), ("64k", "32M"), ("1M", "64M")):
            with self.subTest(bs=size):
                self.fio(self.alpha, "--rw=randwrite", f"--bs={size}", "--size=64M",
                         f"--io_size={amount}", "--do_verify=1",
                         uri=self.tcp_uri(self.alpha) if size == "64k" else None)
        # The same random numbers again, as the Secondary has it: reads only.
        self.fio(self.beta, "--rw=randwrite", "--bs=1M", "--size=64M", "--io_size=64M",
                 "--verify_only")
        self.stop_and_compare()

    @baton_test.requires_programs("fio")
    def test_mixed_sizes_that_overlap_end_the_same_on_both_copies(self):
        # Depth 16 on few blocks, so that writes in flight overlap and only an order kept on both
        # copies makes them equal.
        pair = [
            self.start(["fio", "--name=overlap", "--ioengine=nbd", f"--uri={self.uri(self.alpha)}",
                        "--rw=randrw", "--bsrange=512-64k", "--bs_unaligned=1", "--size=1M",
                        "--io_size=8M", "--iodepth=16", "--norandommap", f"--randseed={seed}"],
                       name=f"fio-{seed}", cwd=self.folder)
            for seed in (1, 2)]
        for fio in pair:
            self.assertEqual(fio.wait(100), 0, fio.log_tail())
        self.assert_equal_through_nbd()
        self.stop_and_compare()

    @baton_test.requires_programs("nbdsh")
    def test_nbdsh_sees_one_disk_from_both_nodes(self):
        self.nbdsh(f"""
a, b = nbd.NBD(), nbd.NBD()
for handle, uri in ((a, {self.uri(self.alpha)!r}), (b, {self.tcp_uri(self.beta)!r})):
    handle.add_meta_context("base:allocation")
    handle.connect_uri(uri)
for number in range(50):
    data = bytes([number + 1]) * (511 + number * 997)
    a.pwrite(data, 777 + number * 60000, nbd.CMD_FLAG_FUA if number % 3 == 0 else 0)
    assert b.pread(len(data), 777 + number * 60000) == data, number
a.trim(1 << 20, 1 << 20)
a.zero(1 << 20, 3 << 20, nbd.CMD_FLAG_NO_HOLE)
a.zero(1 << 20, 5 << 20, nbd.CMD_FLAG_FAST_ZERO)
a.flush()
b.flush()
for where in (1, 3, 5):
    assert b.pread(1 << 20, where << 20) == bytes(1 << 20), where
a.pwrite(b"z" * (4 << 20), 8 << 20)
assert b.pread(4 << 20, 8 << 20) == b"z" * (4 << 20)
""")
        self.stop_and_compare()

    @baton_test.requires_programs("nbdsh")
    def test_a_write_on_the_secondary_is_refused_and_the_log_says_by_whom_and_why(self):
        done = self.nbdsh(f"""
import errno
h = nbd.NBD()
h.connect_uri({self.uri(self.beta)!r})
calls = (lambda: h.pwrite(b"x" * 4096, 0), lambda: h.trim(4096, 0), lambda: h.zero(4096, 0))
for call in calls:
    try:
        call()
    except nbd.Error as error:
        assert error.errno == "EPERM", error.errno
    else:
        raise SystemExit("the write was not refused")
h.set_debug(True)
try:
    h.pwrite(b"x" * 4096, 0)
except nbd.Error:
    pass
assert h.pread(4096, 0) == bytes(4096)
h.flush()
""")
        self.assertIn("this node is Secondary", done.stderr, "the reply's message, as libnbd has it")
        self.assertRegex(self.beta.daemon.log(), r"client, pid \d+.*Secondary")
        self.assertEqual(self.alpha.status()["role"], "Primary")
        self.assertEqual(self.beta.status()["role"], "Secondary")
        self.stop_and_compare()

    @baton_test.requires_programs("qemu-io")
    def test_a_clean_stop_leaves_nothing_to_copy(self):
        self.qemu_io(self.alpha, "write -P 0x5a 0 8M", "write -P 0xa5 20M 3M")  # and no flush
        self.stop_and_compare()
        for node in self.nodes:
            self.assertEqual(self.dump(node)["peers"][0]["out-of-sync"], 0)
        for round_ in (1, 2):
            with self.subTest(round=round_):
                self.start_both()
                self.synced()
                for node in self.nodes:
                    self.assertEqual([data for data, _ in self.verdicts(node)][-1:], ["equal"])
                    self.assertNotRegex(node.daemon.log(), "SyncSource|SyncTarget")
                    self.assertEqual(self.peer_volume(node)["out-of-sync"], 0)
                    self.assertLess(node.status()["bytes-replicated"], 16384)
                    # One of them was told by the other: both may write without force.
                    self.assertEqual(self.disk_state(node), "UpToDate")
                self.beta.ctl("primary", "vm1")
                self.qemu_io(self.beta, "read -P 0x5a 0 8M", "read -P 0xa5 20M 3M",
                             f"write -P {round_} 30M 1M")
                self.stop_and_compare()


class ProtocolA(Traffic, PairCase):
    protocol = "A"


class ProtocolB(Traffic, PairCase):
    protocol = "B"


class ProtocolC(Traffic, PairCase):
    protocol = "C"


class InternalMetadata(Traffic, PairCase):
    """At the end of the disk on one node, in a file of its own on the other."""
    internal = ("alpha",)


class TwoVolumes(PairCase):
    """Volumes of one resource come up, replicate and stop together."""

    def config_text(self, **changes):
        text = super().config_text(**changes)
        for name in ("alpha", "beta"):
            text = text.replace(f'["{name}.img"]', f'["{name}.img", "{name}-1.img"]')
        return text.replace("[node.alpha]", '[[volume]]\nsize = "16MiB"\n\n[node.alpha]')

    @baton_test.requires_programs("qemu-io", "nbdinfo")
    def test_both_volumes_are_replicated(self):
        self.begin()
        for node in self.nodes:
            size = baton_test.run(["nbdinfo", "--size", self.uri(node, "vm1/1")]).stdout
            self.assertEqual(int(size), 16 * MIB)
        self.qemu_io(self.alpha, "write -P 1 0 1M")
        baton_test.run(["qemu-io", "-f", "raw", self.uri(self.alpha, "vm1/1"), "-c",
                        "write -P 2 15M 1M"])
        done = baton_test.run(["qemu-io", "-f", "raw", self.uri(self.beta, "vm1/1"), "-c",
                               "read -P 2 15M 1M"])
        self.assertNotIn("verification failed", done.stdout)
        self.stop_and_compare()
        baton_test.run(["cmp", self.path("alpha-1.img"), self.path("beta-1.img")])


if __name__ == "__main__":
    baton_test.main()
