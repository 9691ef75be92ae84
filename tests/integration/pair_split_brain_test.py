#!/usr/bin/python3
"""Goal: a split brain ends by an operator's word or by the configured policy, and what one side loses
is first kept in a file that batonctl lists, reads and exports; where it cannot be kept, nothing is lost.
Method: two real daemons that both wrote while they could not talk."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import BLOCK, MIB, PairCase  # noqa: E402


class SplitBrainCase(PairCase):
    options = 'secret = "of this test"\ntimeout = "2s"'

    def part(self):
        """Both have 0x11 in the first 4 MiB; then alpha alone writes 0xaa, and beta alone 0xbb."""
        self.begin()
        self.qemu_io(self.alpha, "write -P 0x11 0 4M")
        self.alpha.ctl("disconnect", "vm1")
        self.wait_disconnected(self.beta)
        self.qemu_io(self.alpha, "write -P 0xaa 1M 1M")
        self.beta.ctl("primary", "vm1", "--force", "--yes")
        self.qemu_io(self.beta, "write -P 0xbb 2M 1M", "discard 3M 64k", "write -P 0xbb 8M 4k")

    def meet(self):
        self.alpha.ctl("connect", "vm1")
        for node in self.nodes:
            self.wait_status(node, lambda _, peer: "split-brain" in peer, "split brain")

    def undo_files(self, node):
        return json.loads(node.ctl("undo-list", "vm1", "--json").stdout)

    def undo_read(self, node, file, offset, length, check=0):
        done = subprocess.run([baton_test.program("batonctl"), *map(str, node.options), "undo-read",
                               "--file", file, "--offset", str(offset), "--length", str(length)],
                              capture_output=True, timeout=30, check=False)
        self.assertEqual(done.returncode, check, done.stderr)
        return done.stdout if check == 0 else done.stderr.decode()

    def assert_alpha_stayed(self):
        self.synced()
        self.qemu_io(self.beta, "read -P 0xaa 1M 1M", "read -P 0x11 2M 2M", "read -P 0 8M 4k")

    def assert_kept(self, undo):
        """What only beta had, and what the two had changed on alpha's side, as beta had it."""
        file = undo["file"]
        self.assertEqual(self.undo_read(self.beta, file, 2 * MIB, MIB), b"\xbb" * MIB)
        self.assertEqual(self.undo_read(self.beta, file, 8 * MIB, BLOCK), b"\xbb" * BLOCK)
        self.assertEqual(self.undo_read(self.beta, file, 3 * MIB, 65536), bytes(65536))
        self.assertEqual(self.undo_read(self.beta, file, MIB + 700, 5000), b"\x11" * 5000)
        self.assertIn("was not kept", self.undo_read(self.beta, file, 0, BLOCK, check=1))
        self.assertIn("beyond the volume", self.undo_read(self.beta, file, self.size, 1, check=1))


class Undo(SplitBrainCase):
    @baton_test.requires_programs("qemu-io")
    def test_what_the_loser_had_is_kept_listed_and_read_back(self):
        self.part()
        self.meet()
        self.assertIn("Primary on beta", self.alpha.refuses("resolve", "vm1", "--keep", "alpha"))
        self.assertEqual(self.undo_files(self.beta), [])
        self.assertEqual(self.beta.ctl("undo-list", "vm1").stdout, "nothing was kept\n")
        self.beta.ctl("secondary", "vm1", "--force")
        tip = self.dump(self.beta)["lineage"][-1]
        self.alpha.ctl("resolve", "vm1", "--keep", "alpha")
        self.assert_alpha_stayed()

        (undo,) = self.undo_files(self.beta)
        self.assertEqual(undo["file"], f"{self.image(self.beta)}.baton.undo-{tip}")
        self.assertEqual((undo["node"], undo["kept-node"], undo["volume"]), ("beta", "alpha", 0))
        self.assertEqual(undo["generation"], tip)
        self.assertEqual(undo["kept-generation"], self.dump(self.alpha)["lineage"][-1])
        self.assertGreaterEqual(undo["data-bytes"], 2 * MIB + BLOCK)
        self.assertGreaterEqual(undo["zero-bytes"], 65536)
        # Not more than the difference, and a hole takes no room.
        self.assertLess(undo["data-bytes"], 6 * MIB)
        self.assertLess(os.stat(undo["file"]).st_size, 6 * MIB)
        self.assertIn(tip, self.beta.ctl("undo-list", "vm1").stdout)
        self.assert_kept(undo)

        out = self.path("old.img")
        self.beta.ctl("undo-export", "--file", undo["file"], "--out", out)
        self.assertEqual(out.stat().st_size, self.size)
        with open(out, "rb") as image:
            image.seek(2 * MIB)
            self.assertEqual(image.read(MIB), b"\xbb" * MIB)
        self.assertIn("exists already",
                      self.beta.refuses("undo-export", "--file", undo["file"], "--out", out))
        self.stop_and_compare()
        self.assert_kept(self.undo_files(self.beta)[0])  # no daemon runs

    @baton_test.requires_programs("qemu-io")
    def test_discarding_on_the_node_itself_keeps_it_too(self):
        self.part()
        self.beta.ctl("secondary", "vm1", "--force")
        self.beta.ctl("connect", "vm1", "--discard-my-data")
        self.alpha.ctl("connect", "vm1")
        self.wait_log(self.beta, "split-brain-discarded")
        self.assert_alpha_stayed()
        self.assert_kept(self.undo_files(self.beta)[0])
        self.stop_both()

    @baton_test.requires_programs("qemu-io")
    def test_nothing_is_kept_when_nobody_wants_it(self):
        self.part()
        self.meet()
        self.beta.ctl("secondary", "vm1", "--force")
        self.beta.ctl("resolve", "vm1", "--keep", "alpha", "--no-undo")
        self.assert_alpha_stayed()
        self.assertEqual(self.undo_files(self.beta), [])
        self.stop_both()

    @baton_test.requires_programs("qemu-io")
    def test_a_damaged_or_unfinished_file_is_said_to_be_one(self):
        self.part()
        self.meet()
        self.beta.ctl("secondary", "vm1", "--force")
        self.beta.ctl("resolve", "vm1", "--keep", "alpha")
        self.synced()
        (undo,) = self.undo_files(self.beta)
        with open(undo["file"], "r+b") as file:
            file.seek(3 * BLOCK)
            byte = file.read(1)
            file.seek(3 * BLOCK)
            file.write(bytes([byte[0] ^ 1]))
        out = self.path("old.img")
        self.assertIn("is damaged",
                      self.beta.refuses("undo-export", "--file", undo["file"], "--out", out))
        with open(undo["file"], "r+b") as file:
            file.write(bytes(BLOCK))
        self.assertIn("unfinished", self.undo_files(self.beta)[0]["error"])
        self.assertIn("unfinished", self.undo_read(self.beta, undo["file"], 0, 1, check=1))
        self.stop_both()


class UndoBesideADiskWithInternalMetadata(SplitBrainCase):
    internal = ("beta",)
    test_what_the_loser_had_is_kept_listed_and_read_back = (
        Undo.test_what_the_loser_had_is_kept_listed_and_read_back)


class Room(SplitBrainCase):
    """The undo file lies beside the metadata, here on a filesystem of 1 MiB."""

    def config_text(self, **changes):
        return super().config_text(**changes).replace(
            'disks = ["beta.img"]', 'disks = ["beta.img"]\nmeta = ["small/beta.meta"]')

    @baton_test.requires_programs("qemu-io")
    def test_where_there_is_no_room_nothing_is_overwritten(self):
        small = self.path("small")
        small.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", small],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("a small filesystem can only be mounted by root")
        self.addCleanup(subprocess.run, ["umount", "-l", small], check=False)
        self.part()
        self.meet()
        self.beta.ctl("secondary", "vm1", "--force")
        for node in self.nodes:
            refused = node.refuses("resolve", "vm1", "--keep", "alpha")
            self.assertRegex(refused, r"needs \S+ MiB in .*small, and \S+ [KM]iB are free")
            self.assertIn("--no-undo", refused)
            self.assertIn("split-brain", self.connection(node))
        self.assertEqual([], [each for each in small.iterdir() if "undo" in each.name])
        self.assertIn("make room", self.connection(self.beta)["split-brain"]["reason"])
        self.beta.ctl("resolve", "vm1", "--keep", "alpha", "--no-undo")
        self.assert_alpha_stayed()
        self.stop_both()


class Policies(SplitBrainCase):
    options = SplitBrainCase.options + ('\nafter-sb-0pri = "discard-younger-primary"'
                                        '\nafter-sb-1pri = "consensus"')

    @baton_test.requires_programs("qemu-io")
    def test_the_younger_primary_yields_as_soon_as_it_is_none(self):
        self.part()
        self.meet()
        self.beta.ctl("secondary", "vm1", "--force")
        since = len(self.beta.daemon.log())
        self.alpha.ctl("disconnect", "vm1")
        self.alpha.ctl("connect", "vm1")
        self.wait_log(self.beta, "after-sb: consensus, so the data of beta yields", start=since)
        self.wait_log(self.beta, "split-brain-discarded", start=since)
        self.assert_alpha_stayed()
        self.assert_kept(self.undo_files(self.beta)[0])
        self.stop_both()

    @baton_test.requires_programs("qemu-io")
    def test_a_primary_that_has_lost_is_told_by_its_handler(self):
        for name in ("alpha", "beta"):
            config = self.write_config(f"{name}.toml")
            config.write_text(config.read_text().replace(
                '"consensus"', '"consensus"\nafter-sb-2pri = "call-pri-lost-after-sb"') + f'''
[handlers]
pri-lost-after-sb = "echo $DRBD_RESOURCE > {self.folder}/{name}.lost"
''')
        self.alpha.config, self.beta.config = self.path("alpha.toml"), self.path("beta.toml")
        self.part()
        self.meet()
        self.wait_log(self.beta, "after-sb: beta is Primary and has lost: pri-lost-after-sb is run")
        self.wait_log(self.alpha, "after-sb: beta is Primary and has lost: its pri-lost-after-sb")
        baton_test.wait_for(lambda: self.path("beta.lost").exists()
                            and self.path("beta.lost").read_text() == "vm1\n",
                            "the handler of beta to be run", 10)
        self.assertFalse(self.path("alpha.lost").exists())
        for node in self.nodes:
            self.assertEqual(node.status()["role"], "Primary")
        self.stop_both()

    def test_two_nodes_that_say_different_things_do_not_talk(self):
        self.write_config("other.toml")
        text = self.path("other.toml").read_text()
        self.path("other.toml").write_text(text.replace("consensus", "disconnect"))
        self.create_md()
        self.beta.config = self.path("other.toml")
        for node in self.nodes:
            node.spawn()
        self.wait_log(self.alpha, "after-sb-0pri and after-sb-1pri .*make the configurations the "
                                  "same")
        self.stop_both()


if __name__ == "__main__":
    baton_test.main()
