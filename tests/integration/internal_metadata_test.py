#!/usr/bin/python3
"""Goal: metadata at the end of a volume's own disk is as good as in a file of its own: it is made
only where nothing is lost, survives SIGKILL and whatever clients do to the last block, and its node
pairs with one whose metadata is external.
Method: real daemons over files and, where root and a loop device are to be had, block devices."""
import json
import os
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_node import NodeCase, SINGLE_NODE_CONFIG  # noqa: E402
from baton_pair import BLOCK, MIB, PairCase  # noqa: E402

SUPERBLOCKS = (0, 64 << 10)  # in the metadata
INTERNAL_CONFIG = SINGLE_NODE_CONFIG.replace("disks =", 'meta  = ["internal"]\ndisks =')
NO_SIZE = INTERNAL_CONFIG.replace('size = "64MiB"', "")


def metadata_bytes(disk_bytes):
    """docs/on-disk-format.md "Internal metadata", once more."""
    def divided(number, by):
        return -(-number // by)
    disk_bytes -= disk_bytes % 4096
    log_pages = divided(divided(disk_bytes, 4 * MIB), 30720)
    bitmap_pages = divided(divided(disk_bytes, 4096), 30720)
    return (128 << 10) + 4096 * (log_pages + 8 * bitmap_pages)


def metadata_at(disk_bytes):
    return disk_bytes - disk_bytes % 4096 - metadata_bytes(disk_bytes)


DISK_BYTES = 64 * MIB + metadata_bytes(65 * MIB)  # of a volume of 64 MiB


def loop_device(case, image):
    """A block device over a file, gone at the end of the case; skips where there can be none."""
    if os.geteuid() != 0:
        case.skipTest("a loop device needs root")
    made = baton_test.run(["losetup", "--find", "--show", image], check=False)
    if made.returncode != 0:
        case.skipTest(f"no loop device is to be had: {made.stderr}")
    device = made.stdout.strip()
    # After the daemons are gone: cleanups run last first, and theirs are added later.
    case.addCleanup(baton_test.run, ["losetup", "--detach", device], check=False)
    return device


class InternalCase(NodeCase):
    def setUp(self):
        super().setUp()
        self.write_config(INTERNAL_CONFIG)
        self.disk = self.path("vm1.img")

    def dump(self):
        (dump,) = json.loads(self.node.ctl("dump-md", "vm1", "--json").stdout)
        return dump

    def put(self, disk, offset, data):
        with open(disk, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def make_disk(self, size=DISK_BYTES):
        with open(self.disk, "wb") as file:
            file.truncate(size)

    def qemu_io(self, *commands):
        words = [word for command in commands for word in ("-c", command)]
        done = baton_test.run(["qemu-io", "-f", "raw", self.uri(), *words])
        self.assertNotIn("verification failed", done.stdout)


class CreateMd(InternalCase):
    def test_a_missing_disk_is_made_with_room_for_both(self):
        done = self.node.ctl("create-md", "vm1")
        self.assertIn("64 MiB, made, sparse), metadata at its end", done.stdout)
        self.assertEqual(self.disk.stat().st_size, DISK_BYTES)
        self.assertLess(self.disk.stat().st_blocks * 512, MIB)
        self.assertEqual(set(self.files()), {"vm1.toml", "vm1.img"})
        dump = self.dump()
        self.assertEqual((dump["size"], dump["adopted"], dump["warnings"]), (64 * MIB, False, []))
        self.assertIn("size            67108864", self.node.ctl("dump-md", "vm1").stdout)
        with open(self.disk, "rb") as file:
            for copy in SUPERBLOCKS:
                file.seek(metadata_at(DISK_BYTES) + copy + 8)
                self.assertEqual(file.read(8), b"BATONMD\n")

    def test_without_a_size_the_volume_is_what_the_metadata_leaves(self):
        self.write_config(NO_SIZE)
        for rest in (0, 512, 4096 + 1536):
            with self.subTest(rest=rest):
                self.make_disk(8 * MIB + rest)
                self.node.ctl("create-md", "vm1", "--force")
                self.assertEqual(self.dump()["size"], metadata_at(8 * MIB + rest))

    def test_a_smaller_size_leaves_the_rest_alone(self):
        content = random.Random(1).randbytes(66 * MIB)
        self.disk.write_bytes(content)
        end = metadata_at(66 * MIB)
        self.put(self.disk, end, bytes(66 * MIB - end))
        self.assertIn("64 MiB, adopted", self.node.ctl("create-md", "vm1").stdout)
        self.assertEqual(self.disk.read_bytes()[:end], content[:end])
        self.assertEqual((self.dump()["size"], self.dump()["adopted"]), (64 * MIB, True))

    def test_data_at_the_end_stays_until_the_word_is_said(self):
        end = metadata_at(DISK_BYTES)
        for place in (end, end + SUPERBLOCKS[1], end + 100_000, DISK_BYTES - 1):
            with self.subTest(place=place - end):
                self.make_disk()
                self.put(self.disk, place, b"!")
                before = self.files()
                for words in ((), ("--force",)):
                    text = self.node.refuses("create-md", "vm1", *words)
                    self.assert_sentence(text, f"disk {self.disk} of vm1 volume 0 holds data in its "
                                         f"last {DISK_BYTES - end} bytes", "shrink", f"{end} bytes",
                                         "--overwrite-end", "larger", "meta = [")
                    self.assertEqual(self.files(), before)
        self.assertIn("existing and blank",
                      self.node.ctl("create-md", "vm1", "--overwrite-end").stdout)
        self.assertEqual(self.dump()["warnings"], [])

    def test_data_before_the_end_is_adopted(self):
        self.make_disk()
        self.put(self.disk, metadata_at(DISK_BYTES) - 1, b"!")
        self.assertIn("adopted with its data", self.node.ctl("create-md", "vm1").stdout)
        self.assertTrue(self.dump()["adopted"])
        with open(self.disk, "rb") as file:
            file.seek(metadata_at(DISK_BYTES) - 1)
            self.assertEqual(file.read(1), b"!")

    def test_existing_metadata_stays_unless_forced(self):
        self.node.ctl("create-md", "vm1")
        before = self.files()
        for words in ((), ("--overwrite-end",)):
            text = self.node.refuses("create-md", "vm1", *words)
            self.assert_sentence(text, "has metadata already, at its end", "--force")
            self.assertEqual(self.files(), before)
        self.put(self.disk, metadata_at(DISK_BYTES), b"x" * BLOCK)
        self.assertIn("has metadata already", self.node.refuses("create-md", "vm1", "--overwrite-end"),
                      "the second copy of the superblock is one, too")
        self.node.ctl("create-md", "vm1", "--force")

    def test_a_create_md_that_was_cut_short_is_repeated_without_a_word(self):
        self.node.ctl("create-md", "vm1")
        for copy in SUPERBLOCKS:
            self.put(self.disk, metadata_at(DISK_BYTES) + copy, bytes(BLOCK))
        self.assert_sentence(self.node.refuses("dump-md", "vm1"), "has no metadata at its end",
                             "create-md vm1")
        self.assertIn("existing and blank", self.node.ctl("create-md", "vm1").stdout)

    def test_a_disk_too_small_is_refused_with_the_figures(self):
        self.make_disk(64 * MIB)
        before = self.files()
        text = self.node.refuses("create-md", "vm1")
        self.assert_sentence(text, f"has {64 * MIB} bytes", f"takes the last {metadata_bytes(64 * MIB)}",
                             'size = "64MiB"', "lower size", f"{DISK_BYTES} bytes long", "meta = [")
        self.assertEqual(self.files(), before)
        self.write_config(NO_SIZE)
        self.make_disk(128 << 10)
        self.assert_sentence(self.node.refuses("create-md", "vm1"), f"{128 << 10} bytes, too few",
                             "at least 172032 bytes", "meta = [")

    def test_a_missing_disk_has_nothing_to_dump_and_is_made_with_a_size_alone(self):
        self.assert_sentence(self.node.refuses("dump-md", "vm1"), "does not exist", "create-md vm1")
        self.write_config(NO_SIZE)
        self.assert_sentence(self.node.refuses("create-md", "vm1"), "gives no size", "add size")
        self.assertFalse(self.disk.exists())

    def test_a_disk_in_use_is_refused_and_dumped_all_the_same(self):
        self.node.ctl("create-md", "vm1")
        self.node.start()
        self.assert_sentence(self.node.refuses("create-md", "vm1", "--force"), "vm1.img",
                             "another process holds it")
        self.assertEqual(self.dump()["size"], 64 * MIB)
        self.node.stop()


class Start(InternalCase):
    def assert_ends(self, *parts):
        before = self.files()
        log = self.node.fails(1)
        (sentence,) = [line for line in log.splitlines() if " error: " in line and parts[0] in line]
        self.assert_sentence(sentence, *parts)
        self.assertEqual(self.files(), before)

    @baton_test.requires_programs("qemu-io")
    def test_a_disk_that_grew_is_refused_until_it_has_its_size_again(self):
        self.node.ctl("create-md", "vm1")
        self.node.start()
        self.qemu_io("write -P 7 63M 1M", "flush")
        self.node.stop()
        os.truncate(self.disk, DISK_BYTES + MIB)
        self.assert_ends("has no metadata at its end", f"the {DISK_BYTES + MIB} bytes it has now",
                         "its former size", "create-md vm1")
        os.truncate(self.disk, DISK_BYTES)
        self.node.start()
        self.qemu_io("read -P 7 63M 1M")
        self.node.stop()

    def test_a_disk_that_shrank_is_refused(self):
        self.node.ctl("create-md", "vm1")
        os.truncate(self.disk, DISK_BYTES - MIB)
        self.assert_ends(f"has {DISK_BYTES - MIB} bytes", "internal metadata takes the last",
                         f"{DISK_BYTES} bytes long")

    def test_metadata_that_was_never_made_names_create_md(self):
        self.make_disk()
        self.assert_ends("has no metadata at its end", "batonctl create-md vm1")

    def test_one_bad_superblock_copy_is_survived(self):
        self.node.ctl("create-md", "vm1")
        self.put(self.disk, metadata_at(DISK_BYTES), b"x" * BLOCK)
        self.node.start()
        self.assertIn("superblock copy 0", self.node.daemon.log())
        self.node.stop()

    @baton_test.requires_programs("qemu-io", "nbdinfo")
    def test_two_volumes_of_both_kinds_do_not_mix(self):
        text = (INTERNAL_CONFIG.replace("[node.solo]", '[[volume]]\nsize = "16MiB"\n\n[node.solo]')
                .replace('["vm1.img"]', '["vm1.img", "two.img"]')
                .replace('["internal"]', '["internal", "two.meta"]'))
        for meta in ('["internal", "two.meta"]', '["internal", "internal"]'):
            with self.subTest(meta=meta):
                for name in ("vm1.img", "two.img"):
                    self.path(name).unlink(missing_ok=True)
                self.write_config(text.replace('["internal", "two.meta"]', meta))
                self.node.ctl("create-md", "vm1")
                self.node.start()
                for volume, size in (("", 64 * MIB), ("/1", 16 * MIB)):
                    uri = self.uri(f"vm1{volume}")
                    shown = baton_test.run(["nbdinfo", "--size", uri]).stdout
                    self.assertEqual(int(shown), size)
                    baton_test.run(["qemu-io", "-f", "raw", uri, "-c", f"write -P 9 0 {size}"])
                self.node.stop()
                dumps = json.loads(self.node.ctl("dump-md", "vm1", "--json").stdout)
                self.assertEqual([(dump["volume"], dump["size"], dump["warnings"]) for dump in dumps],
                                 [(0, 64 * MIB, []), (1, 16 * MIB, [])])
        # Each belongs to its volume alone.
        place = self.path("vm1.toml")
        place.write_text(place.read_text().replace('["vm1.img", "two.img"]', '["two.img", "vm1.img"]')
                         .replace('size = "16MiB"', "").replace('size = "64MiB"', ""))
        self.assert_ends("belongs to volume 1 of vm1 on node solo", "not to volume 0")


class BlockDevice(InternalCase):
    """A loop device: claimed once for both parts, and with a size that is what it is."""

    def setUp(self):
        super().setUp()
        self.make_disk(66 * MIB)
        self.device = loop_device(self, self.disk)
        self.use('meta  = ["internal"]')

    def use(self, meta, size='size = "64MiB"'):
        text = SINGLE_NODE_CONFIG.replace('"vm1.img"', f'"{self.device}"')
        self.write_config(text.replace("disks =", f"{meta}\ndisks =").replace('size = "64MiB"', size))

    @baton_test.requires_programs("qemu-io", "nbdinfo")
    def test_it_is_written_to_its_last_block_and_found_again(self):
        self.use('meta  = ["internal"]', size="")
        self.node.ctl("create-md", "vm1")
        size = metadata_at(66 * MIB)
        self.node.start()
        self.assertEqual(int(baton_test.run(["nbdinfo", "--size", self.uri()]).stdout), size)
        self.qemu_io(f"write -P 5 0 {size}", "flush")
        for round_ in (1, 2):
            self.qemu_io(f"discard {size - BLOCK} {BLOCK}", f"write -z {size - 5 * BLOCK} {BLOCK}",
                         f"write -P {round_} {size - 1} 1", f"write -P 6 {size - 3 * BLOCK} {BLOCK}",
                         f"discard {size - 700} 300", "flush",
                         f"read -P 6 {size - 3 * BLOCK} {BLOCK}", f"read -P {round_} {size - 1} 1")
            self.node.daemon.kill()
            self.node.start()
            self.assertEqual(self.dump()["warnings"], [])
            self.assertNotIn("damaged", self.node.daemon.log())
        self.qemu_io(f"read -P 5 0 {size - 5 * BLOCK}", f"read -P 2 {size - 1} 1")
        self.node.stop()

    def test_without_meta_it_is_refused_and_both_ways_are_named(self):
        self.use("")
        text = self.node.refuses("create-md", "vm1", status=10)
        self.assert_sentence(text, self.device, "is a block device", 'meta = ["internal"]',
                             'meta = ["PATH"]', "[node.solo]")

    def test_data_at_its_end_stays_until_the_word_is_said(self):
        self.put(self.device, 66 * MIB - 512, b"a filesystem")
        text = self.node.refuses("create-md", "vm1")
        self.assert_sentence(text, f"disk {self.device}", "--overwrite-end")
        self.node.ctl("create-md", "vm1", "--overwrite-end")
        self.assertEqual(self.dump()["size"], 64 * MIB)

    def test_with_external_metadata_it_may_be_larger_than_the_volume(self):
        self.use('meta  = ["vm1.meta"]')
        self.put(self.device, 65 * MIB, b"not the volume's")
        self.assertIn("64 MiB, existing and blank", self.node.ctl("create-md", "vm1").stdout)
        self.node.start()
        self.qemu_io("write -P 1 0 64M", "flush")
        self.node.stop()
        with open(self.device, "rb") as device:
            device.seek(65 * MIB)
            self.assertEqual(device.read(16), b"not the volume's")
        self.use('meta  = ["vm1.meta"]', size='size = "67MiB"')
        self.assert_sentence(self.node.refuses("create-md", "vm1", "--force"), "66 MiB", "67MiB")


class MixedPair(PairCase):
    """alpha's metadata is at the end of its disk, beta's in a file of its own."""
    size = 256 * MIB
    internal = ("alpha",)
    options = 'secret = "of this test"\ntimeout = "2s"'

    def metadata_of_alpha(self):
        with open(self.image(self.alpha), "rb") as disk:
            disk.seek(self.size)
            return disk.read()

    @baton_test.requires_programs("qemu-io", "nbdsh")
    def test_both_are_killed_and_only_what_was_hot_is_copied(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 0x11 0 32M", "flush")
        self.stop_and_compare()
        self.start_both()
        self.connect_both()
        self.alpha.ctl("primary", "vm1")
        # Round and round the last blocks, up to the first byte of the metadata.
        writer = self.start_writer(self.alpha, offset=self.size - 64 * BLOCK, blocks=64)
        writer.wait_written(300)
        for node in self.nodes:
            self.end_by_sigkill(node)
        writer.wait_idle()
        self.start_both()
        self.connect_both()
        self.synced()
        for node in self.nodes:
            self.assertNotIn("damaged", node.daemon.log())
        # One region was active, of 256 MiB.
        copied = sum(node.status()["bytes-replicated"] for node in self.nodes)
        self.assertLess(copied, 8 * MIB + 64 * 1024)
        self.wait_status(self.alpha, lambda status, _: status["role"] == "Primary", "the baton back")
        self.qemu_io(self.beta, "read -P 0x11 0 32M")
        self.stop_and_compare()
        for node in self.nodes:
            writer.assert_written_in(self.image(node))
            self.assertEqual(self.dump(node)["peers"][0]["out-of-sync"], 0)

    @baton_test.requires_programs("qemu-io")
    def test_the_last_block_is_written_zeroed_and_discarded_and_the_metadata_stays(self):
        self.begin()
        last = self.size - BLOCK
        self.qemu_io(self.alpha, f"write -P 1 {last} 4k", "flush")  # its region becomes active
        before = self.metadata_of_alpha()
        self.qemu_io(self.alpha, f"write -P 2 {last} 4k", f"discard {last} 4k", f"write -z {last} 4k",
                     f"write -z -u {last} 4k", f"write -P 3 {self.size - 513} 513",
                     f"discard {self.size - 100} 100", f"write -P 4 {self.size - 1} 1",
                     f"discard {self.size - MIB} 1M", f"write -P 5 {last} 4k", "flush")
        self.assertEqual(self.metadata_of_alpha(), before, "no write in an active region changes it")
        for beyond in (f"write {self.size} 4k", f"discard {self.size} 4k", f"write {last} 8k"):
            self.qemu_io(self.alpha, beyond, check=False)
        self.assertEqual(self.metadata_of_alpha(), before)
        self.qemu_io(self.beta, f"read -P 5 {last} 4k", f"read -P 0 {self.size - MIB} 1044480")
        self.stop_and_compare()
        for node in self.nodes:
            self.assertEqual(self.dump(node)["warnings"], [])

    @baton_test.requires_programs("qemu-io")
    def test_what_the_other_missed_is_copied_and_no_more(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 1 0 32M", "flush")
        for away, here in ((self.beta, self.alpha), (self.alpha, self.beta)):
            with self.subTest(away=away.name):
                away.stop()
                self.wait_disconnected(here)
                here.ctl("primary", "vm1", "--force", "--yes")
                self.qemu_io(here, f"write -P 2 {self.size - MIB} 1M", "flush")
                away.start()
                self.connect_both()
                self.synced()
                self.assertGreaterEqual(here.status()["bytes-replicated"], MIB)
                self.assertLess(away.status()["bytes-replicated"], MIB)
                self.qemu_io(away, f"read -P 2 {self.size - MIB} 1M", "read -P 1 0 32M")
        self.stop_and_compare()

    @baton_test.requires_programs("qemu-io")
    def test_the_pair_goes_on_when_the_disk_with_both_is_taken_and_given_back(self):
        self.begin()
        self.alpha.ctl("detach", "vm1")
        self.qemu_io(self.alpha, f"write -P 3 {self.size - MIB} 1M", "flush")
        self.alpha.ctl("attach", "vm1")
        self.wait_status(self.alpha, lambda status, _: status["baton"]["holder"] == "alpha"
                         and status["devices"][0]["disk-state"] == "UpToDate", "the baton", 60)
        self.qemu_io(self.alpha, f"read -P 3 {self.size - MIB} 1M")
        self.stop_and_compare()


class MixedPairOfBlockDevices(PairCase):
    """Two devices of one size, one with its metadata inside: size makes their volumes alike."""
    size = 64 * MIB

    def setUp(self):
        super().setUp()
        self.devices = {}
        for node in self.nodes:
            with open(self.image(node), "wb") as image:
                image.truncate(66 * MIB)
            self.devices[node.name] = loop_device(self, self.image(node))
        text = self.config_text()
        for node, meta in ((self.alpha, "internal"), (self.beta, "beta.meta")):
            text = text.replace(f'["{node.name}.img"]',
                                f'["{self.devices[node.name]}"]\nmeta  = ["{meta}"]')
        self.path("vm1.toml").write_text(text)

    @baton_test.requires_programs("qemu-io", "nbdsh")
    def test_they_replicate_are_killed_and_come_back(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 7 0 64M", "flush")
        writer = self.start_writer(self.alpha, offset=self.size - 64 * BLOCK, blocks=64)
        writer.wait_written(200)
        for node in self.nodes:
            self.end_by_sigkill(node)
        writer.wait_idle()
        self.start_both()
        self.connect_both()
        self.synced()
        self.stop_both()
        baton_test.run(["cmp", "-n", self.size, *self.devices.values()])
        for device in self.devices.values():
            writer.assert_written_in(pathlib.Path(device))


if __name__ == "__main__":
    baton_test.main()
