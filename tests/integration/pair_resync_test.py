#!/usr/bin/python3
"""Goal: whatever happens to the link or to a daemon, the guest goes on, only the difference is copied
afterwards, and both images end the same; what nobody can know is shown as split brain.
Method: two real daemons, disconnected, stopped (SIGSTOP), killed (SIGKILL) under writing clients."""
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import MIB, PairCase  # noqa: E402

KIB = 1024
TIMEOUT_SECONDS = 2


class ResyncCase(PairCase):
    options = f'secret = "of this test"\ntimeout = "{TIMEOUT_SECONDS}s"'

    def out_of_sync(self, node):
        return self.peer_volume(node)["out-of-sync"] * KIB

    def bytes_replicated(self, node):
        return node.status()["bytes-replicated"]

    def assert_resynced(self, source, *, least, most, since):
        """The source sent the difference and not more; `most` leaves room for headers."""
        copied = self.bytes_replicated(source) - since
        self.assertGreaterEqual(copied, least)
        self.assertLessEqual(copied, most)


class Difference(ResyncCase):
    @baton_test.requires_programs("qemu-io")
    def test_after_disconnect_only_what_was_written_is_copied(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 0x01 0 32M")
        self.alpha.ctl("disconnect", "vm1")
        self.assertEqual(self.connection(self.alpha)["connection-state"], "StandAlone")
        self.wait_disconnected(self.beta)
        self.assertEqual(self.connection(self.beta)["connection-state"], "Connecting")
        self.assertEqual(self.disk_state(self.beta), "Consistent", "nobody vouches for it now")
        self.assertIn("batonctl connect", self.alpha.refuses("wait-connect", "vm1"))
        self.qemu_io(self.alpha, "write -P 0x02 4M 1M", "write -P 0x03 20M 4k",
                     "write -P 0x04 41001 700", "discard 10M 64k")
        differs = MIB + 4 * KIB + 4 * KIB + 64 * KIB
        self.assertEqual(self.out_of_sync(self.alpha), differs)
        since = self.bytes_replicated(self.alpha)
        self.alpha.ctl("connect", "vm1")
        self.connect_both()
        self.synced()
        self.assertEqual(self.out_of_sync(self.alpha), 0)
        self.assert_resynced(self.alpha, least=MIB + 8 * KIB, most=differs + 64 * KIB, since=since)
        self.assertEqual(self.verdicts(self.beta)[-1][0], "fast-forward-by-bitmap")
        self.qemu_io(self.beta, "read -P 0x02 4M 1M", "read -P 0x03 20M 4k", "read -P 0x04 41001 700",
                     "read -P 0 10M 64k", "read -P 0x01 21M 11M")
        self.stop_and_compare()

    def test_after_disconnect_without_a_write_nothing_is_copied(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 0x01 0 8M", "flush")
        for node in (self.alpha, self.beta):
            since = [self.bytes_replicated(each) for each in self.nodes]
            node.ctl("disconnect", "vm1")
            self.wait_disconnected(self.other(node))
            node.ctl("connect", "vm1")
            self.synced()
            for each, before in zip(self.nodes, since):
                self.assertLess(self.bytes_replicated(each) - before, 16 * KIB)
                self.assertEqual(self.verdicts(each)[-1][0], "equal")
        self.stop_and_compare()

    @baton_test.requires_programs("qemu-io")
    def test_writes_during_the_resync_are_on_both_copies(self):
        self.begin()
        self.alpha.ctl("disconnect", "vm1")
        self.qemu_io(self.alpha, "write -P 0x01 0 60M")
        fio = self.start_fio(self.alpha, "--rw=randwrite", "--bs=16k", "--size=60M",
                             "--io_size=60M", "--do_verify=1", "--time_based=0")
        self.alpha.ctl("connect", "vm1")
        self.connect_both()
        self.assertEqual(fio.wait(100), 0, fio.log_tail())
        self.synced()
        self.stop_and_compare()

    @baton_test.requires_programs("fio")
    def test_a_killed_secondary_catches_up_under_fio(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 0x01 0 64M", timeout=90)
        since = self.bytes_replicated(self.alpha)
        fio = self.start_fio(self.alpha, "--rw=randwrite", "--bs=4k", "--size=8M", "--io_size=16M",
                             "--norandommap=0", "--do_verify=1", "--rate_iops=2500")
        self.wait_status(self.alpha, lambda status, _: status["bytes-replicated"] > since + MIB,
                         "fio's writes")
        self.end_by_sigkill(self.beta)
        self.wait_disconnected(self.alpha)
        baton_test.wait_for(lambda: self.out_of_sync(self.alpha) > 0, "writes that beta lacks")
        self.assertTrue(fio.is_running(), fio.log_tail())
        self.assertEqual(self.alpha.status()["role"], "Primary")
        since = self.bytes_replicated(self.alpha)
        self.beta.start()
        self.connect_both()
        self.assertEqual(fio.wait(100), 0, fio.log_tail())
        self.synced()
        # 8 MiB were written round and round; beta's activity log may add a region at each end.
        self.assertLess(self.bytes_replicated(self.alpha) - since, 36 * MIB)
        self.assertEqual(self.verdicts(self.beta)[-1][0], "fast-forward-by-bitmap")
        self.stop_and_compare()

    @baton_test.requires_programs("fio")
    def test_a_killed_secondary_under_every_protocol(self):
        for protocol in ("A", "B"):
            with self.subTest(protocol=protocol):
                for file in ("alpha.img", "beta.img", "alpha.img.baton", "beta.img.baton"):
                    self.path(file).unlink(missing_ok=True)
                self.write_config(protocol=protocol)
                self.begin()
                fio = self.start_fio(self.alpha, "--rw=randwrite", "--bs=4k", "--size=8M",
                                     "--io_size=8M", "--do_verify=1", "--rate_iops=3000")
                self.wait_status(self.alpha, lambda status, _: status["bytes-replicated"] > MIB,
                                 "fio's writes")
                self.end_by_sigkill(self.beta)
                self.wait_disconnected(self.alpha)
                self.beta.start()
                self.connect_both()
                self.assertEqual(fio.wait(60), 0, fio.log_tail())
                self.synced()
                self.stop_and_compare()

    def test_a_resync_that_was_cut_goes_on_where_it_was(self):
        self.begin()
        self.alpha.ctl("disconnect", "vm1")
        self.qemu_io(self.alpha, "write -P 0x01 0 64M", timeout=90)
        self.alpha.ctl("connect", "vm1")
        self.wait_log(self.beta, "-> SyncTarget", start=len(self.beta.daemon.log()) // 2)
        self.end_by_sigkill(self.beta)
        self.wait_disconnected(self.alpha)
        self.beta.start()
        self.synced()
        self.assertNotIn("everything", "".join(data for data, _ in self.verdicts(self.beta)))
        self.stop_and_compare()


class FullSync(ResyncCase):
    def fill_images(self):
        """alpha: three islands of data, the rest holes. beta: dirty all over."""
        chance = random.Random(11)
        with open(self.image(self.alpha), "wb") as image:
            for place in (1, 30, 62):
                image.seek(place * MIB)
                image.write(chance.randbytes(256 * KIB))
            image.truncate(self.size)
        with open(self.image(self.beta), "wb") as image:
            image.write(b"\xdd" * self.size)

    def test_holes_are_not_sent_and_are_zeroed_at_the_target(self):
        self.fill_images()
        content = self.image(self.alpha).read_bytes()
        # beta's data may go: it is a leftover, and its operator says so.
        self.create_md()
        self.start_both()
        self.connect_both()
        self.beta.ctl("connect", "vm1", "--discard-my-data")
        self.alpha.ctl("primary", "vm1", "--force", "--yes")
        self.synced()
        self.assertLess(self.bytes_replicated(self.alpha), MIB + 64 * KIB, "data only")
        self.stop_and_compare()
        self.assertEqual(self.image(self.beta).read_bytes(), content)
        for node in self.nodes:
            self.assertLess(self.image(node).stat().st_blocks * 512, MIB + 256 * KIB,
                            f"{node.name}'s image stays sparse")

    def test_invalidate_fetches_the_copy_anew(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 0x01 0 3M")
        self.assertRegex(self.alpha.refuses("invalidate", "vm1"), "Primary")
        since = self.bytes_replicated(self.alpha)
        self.beta.ctl("invalidate", "vm1")
        self.connect_both()
        self.synced()
        copied = self.bytes_replicated(self.alpha) - since
        self.assertGreaterEqual(copied, 3 * MIB)
        self.assertLess(copied, 6 * MIB)
        self.stop_and_compare()

    def test_invalidate_remote_fetches_the_peers_copy_anew(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 0x01 0 3M")
        self.assertRegex(self.beta.refuses("invalidate-remote", "vm1"), "alpha is|Primary on alpha")
        since = self.bytes_replicated(self.alpha)
        self.alpha.ctl("invalidate-remote", "vm1")
        self.connect_both()
        self.synced()
        self.assertGreaterEqual(self.bytes_replicated(self.alpha) - since, 3 * MIB)
        self.beta.stop()
        self.wait_disconnected(self.alpha)
        self.assertIn("only while it is connected", self.alpha.refuses("invalidate-remote", "vm1"))
        self.beta.start()
        self.connect_both()
        self.stop_and_compare()

    def test_a_resync_waits_while_either_node_holds_it(self):
        self.begin()
        self.beta.ctl("disconnect", "vm1")
        self.qemu_io(self.alpha, "write -P 0x02 0 16M")
        self.alpha.ctl("pause-sync", "vm1")
        self.beta.ctl("pause-sync", "vm1")
        self.beta.ctl("connect", "vm1")
        self.connect_both()
        self.wait_held(self.alpha, "PausedSyncS", "user,peer")
        self.wait_held(self.beta, "PausedSyncT", "user,peer")
        self.qemu_io(self.alpha, "write -P 0x03 8M 1M", "read -P 0x02 0 1M")
        self.qemu_io(self.beta, "read -P 0x03 8M 1M", "read -P 0x02 4M 1M")
        self.alpha.ctl("resume-sync", "vm1")
        self.wait_held(self.alpha, "PausedSyncS", "peer")
        text = self.alpha.ctl("status", "vm1").stdout
        self.assertIn("resync is held: batonctl resume-sync vm1 on beta", text)
        self.beta.ctl("disconnect", "vm1")
        self.beta.ctl("connect", "vm1")
        self.connect_both()
        self.wait_held(self.alpha, "PausedSyncS", "peer")
        self.assertGreater(self.peer_volume(self.alpha)["out-of-sync"], 0)
        self.beta.ctl("resume-sync", "vm1")
        self.synced()
        self.assertNotIn("resync-suspended", self.peer_volume(self.alpha))
        self.stop_and_compare()

    def wait_held(self, node, state, by):
        self.wait_status(node, lambda _, peer: peer["peer_devices"][0]["replication-state"] == state
                         and peer["peer_devices"][0].get("resync-suspended") == by,
                         f"{state} by {by}")

    def test_during_the_sync_the_target_shows_the_sources_data(self):
        self.fill_images()
        self.image(self.beta).unlink()
        self.create_md()
        self.start_both()
        self.connect_both()
        self.alpha.ctl("primary", "vm1", "--force")
        back = self.path("back.raw")
        baton_test.run(["nbdcopy", self.uri(self.beta), back])
        self.synced()
        self.stop_and_compare()
        baton_test.run(["cmp", back, self.image(self.alpha)])


class FrozenPeer(ResyncCase):
    @baton_test.requires_programs("nbdsh")
    def test_a_frozen_secondary_stalls_a_write_no_longer_than_the_timeout(self):
        for protocol in ("C", "B", "A"):
            with self.subTest(protocol=protocol):
                for file in ("alpha.img", "beta.img", "alpha.img.baton", "beta.img.baton"):
                    self.path(file).unlink(missing_ok=True)
                self.write_config(protocol=protocol)
                self.begin()
                writer = self.start_writer(self.alpha, offset=0, blocks=512)
                writer.wait_written(100)
                self.beta.daemon.send_signal(signal.SIGSTOP)
                frozen_at = time.monotonic()
                self.wait_disconnected(self.alpha, timeout=TIMEOUT_SECONDS + 5)
                noticed = time.monotonic() - frozen_at
                writer.wait_written(100)
                # A quarter of the timeout is how often the watch looks; the rest is for a busy machine.
                self.assertLess(writer.slowest(), TIMEOUT_SECONDS * 1.25 + 1.0)
                self.assertLess(noticed, TIMEOUT_SECONDS * 1.5 + 1.5)
                self.assertIn("timeout", self.alpha.daemon.log())
                self.beta.daemon.send_signal(signal.SIGCONT)
                self.connect_both()
                self.synced()
                writer.wait_written(50)
                self.assertEqual(self.beta.status()["role"], "Secondary")
                writer.end()
                self.stop_and_compare()
                writer.assert_written_in(self.image(self.beta))

    @baton_test.requires_programs("nbdsh")
    def test_a_frozen_primary_goes_on_where_it_was(self):
        self.begin()
        writer = self.start_writer(self.alpha, offset=0, blocks=512)
        writer.wait_written(100)
        self.alpha.daemon.send_signal(signal.SIGSTOP)
        self.wait_disconnected(self.beta, timeout=TIMEOUT_SECONDS + 5)
        self.assertEqual(self.beta.status()["role"], "Secondary", "nobody declares it dead")
        self.alpha.daemon.send_signal(signal.SIGCONT)
        self.connect_both()
        self.synced()
        self.assertEqual(self.alpha.status()["role"], "Primary")
        writer.wait_written(100)
        writer.end()
        self.stop_and_compare()
        writer.assert_written_in(self.image(self.beta))


class Failover(ResyncCase):
    @baton_test.requires_programs("nbdsh")
    def test_the_survivor_is_promoted_and_the_old_primary_becomes_its_target(self):
        self.begin()
        writer = self.start_writer(self.alpha, offset=0, blocks=512)
        writer.wait_written(300)
        self.end_by_sigkill(self.alpha)
        writer.end()
        self.wait_disconnected(self.beta)
        self.beta.ctl("primary", "vm1", "--force", "--yes")
        back = self.path("back.raw")
        baton_test.run(["nbdcopy", self.uri(self.beta), back])
        writer.assert_written_in(back)  # rule 1: nothing acknowledged is lost
        self.qemu_io(self.beta, "write -P 0x99 32M 2M")
        self.alpha.start()
        self.connect_both()
        self.synced()
        self.assertEqual(self.alpha.status()["role"], "Secondary")
        self.assertEqual(self.beta.status()["role"], "Primary")
        self.assertRegex(self.alpha.daemon.log(), "-> SyncTarget")
        for node in self.nodes:
            self.assertNotIn("split-brain", self.connection(node))
        self.qemu_io(self.alpha, "read -P 0x99 32M 2M")
        self.stop_and_compare()

    def test_a_survivor_that_was_promoted_and_wrote_nothing_is_no_split_brain(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 0x01 0 1M")
        self.end_by_sigkill(self.alpha)
        self.wait_disconnected(self.beta)
        self.beta.ctl("primary", "vm1", "--force", "--yes")
        self.alpha.start()
        self.connect_both()
        self.synced()
        self.assertEqual([node.status()["role"] for node in self.nodes], ["Secondary", "Primary"])
        self.stop_and_compare()

    @baton_test.requires_programs("qemu-io")
    def test_both_wrote_is_split_brain_on_both_nodes_and_nothing_is_copied(self):
        self.begin()
        self.qemu_io(self.alpha, "write -P 0x01 0 1M", "flush")
        self.alpha.ctl("disconnect", "vm1")
        self.wait_disconnected(self.beta)
        self.qemu_io(self.alpha, "write -P 0xaa 1M 1M")
        self.beta.ctl("primary", "vm1", "--force", "--yes")
        self.qemu_io(self.beta, "write -P 0xbb 1M 1M")
        self.alpha.ctl("connect", "vm1")
        for node in self.nodes:
            status = self.wait_status(node, lambda _, peer: "split-brain" in peer, "split brain")
            (connection,) = status["connections"]
            self.assertEqual(connection["connection-state"], "Connected")
            self.assertEqual(connection["peer_devices"][0]["replication-state"], "Off")
            reason = connection["split-brain"]["reason"]
            self.assertIn("both wrote", reason)
            self.assertRegex(connection["split-brain"]["common-generation"], "^[0-9a-f]{16}$")
            for side in ("own-changed", "peer-changed"):
                self.assertGreaterEqual(connection["split-brain"][side], 1024, reason)
            text = node.ctl("status").stdout
            self.assertIn("SPLIT BRAIN", text)
            self.assertIn("batonctl resolve vm1 --keep", text)
            self.assertIn("resolve", node.refuses("wait-sync", "vm1"))
            self.assertRegex(node.daemon.log(), r"error: .*split brain")
        # What each has stays as it is, and no write goes over.
        since = [self.bytes_replicated(node) for node in self.nodes]
        self.qemu_io(self.alpha, "read -P 0xaa 1M 1M", check=False)
        for node, before in zip(self.nodes, since):
            self.assertLess(self.bytes_replicated(node) - before, 16 * KIB)
        self.stop_both()
        for node, pattern in ((self.alpha, b"\xaa"), (self.beta, b"\xbb")):
            with open(self.image(node), "rb") as image:
                image.seek(MIB)
                self.assertEqual(image.read(MIB), pattern * MIB, node.name)

    @baton_test.requires_programs("qemu-io")
    def test_split_brain_ends_when_one_side_gives_its_data_up(self):
        self.begin()
        self.alpha.ctl("disconnect", "vm1")
        self.wait_disconnected(self.beta)
        self.qemu_io(self.alpha, "write -P 0xaa 1M 1M")
        self.beta.ctl("primary", "vm1", "--force", "--yes")
        self.qemu_io(self.beta, "write -P 0xbb 2M 1M")
        self.alpha.ctl("connect", "vm1")
        self.wait_status(self.beta, lambda _, peer: "split-brain" in peer, "split brain")
        self.assertRegex(self.beta.refuses("connect", "vm1", "--discard-my-data"), "Primary")
        self.beta.ctl("secondary", "vm1", "--force")
        self.beta.ctl("connect", "vm1", "--discard-my-data")
        self.wait_status(self.alpha, lambda _, peer: "split-brain" not in peer and
                         peer["connection-state"] == "Connected", "the end of split brain")
        self.synced()
        self.qemu_io(self.beta, "read -P 0xaa 1M 1M", "read -P 0 2M 1M")
        self.stop_and_compare()


    def part(self):
        self.begin()
        self.alpha.ctl("disconnect", "vm1")
        self.wait_disconnected(self.beta)
        self.qemu_io(self.alpha, "write -P 0xaa 1M 1M")
        self.beta.ctl("primary", "vm1", "--force", "--yes")
        self.qemu_io(self.beta, "write -P 0xbb 2M 1M")
        self.alpha.ctl("connect", "vm1")
        for node in self.nodes:
            self.wait_status(node, lambda _, peer: "split-brain" in peer, "split brain")

    @baton_test.requires_programs("qemu-io")
    def test_resolve_says_what_it_needs(self):
        self.begin()
        self.assertIn("no split brain",
                      self.alpha.refuses("resolve", "vm1", "--keep", "alpha", "--no-undo"))
        self.stop_both()

    @baton_test.requires_programs("qemu-io")
    def test_resolve_where_the_data_stays(self):
        self.part()
        self.assertIn("alpha and beta",
                      self.alpha.refuses("resolve", "vm1", "--keep", "gamma", "--no-undo"))
        refused = self.alpha.refuses("resolve", "vm1", "--keep", "alpha", "--no-undo")
        self.assertIn("Primary on beta", refused)
        self.beta.ctl("secondary", "vm1", "--force")
        self.alpha.ctl("resolve", "vm1", "--keep", "alpha", "--no-undo")
        self.assertNotIn("split-brain", self.connection(self.alpha))
        self.synced()
        self.qemu_io(self.beta, "read -P 0xaa 1M 1M", "read -P 0 2M 1M")
        self.stop_and_compare()

    @baton_test.requires_programs("qemu-io")
    def test_resolve_where_the_data_is_lost(self):
        self.part()
        self.assertIn("Primary on alpha",
                      self.alpha.refuses("resolve", "vm1", "--keep", "beta", "--no-undo"))
        self.alpha.ctl("secondary", "vm1", "--force")
        self.alpha.ctl("resolve", "vm1", "--keep", "beta", "--no-undo")
        self.synced()
        self.qemu_io(self.alpha, "read -P 0xbb 2M 1M", "read -P 0 1M 1M")
        self.stop_and_compare()


class Adoption(ResyncCase):
    """An image that somebody used before is taken into use where it is."""

    def adopt(self):
        self.content = random.Random(5).randbytes(9 * MIB)
        with open(self.image(self.alpha), "wb") as image:
            image.write(self.content)
            image.truncate(self.size)
        self.inode = self.image(self.alpha).stat().st_ino
        self.blocks = self.image(self.alpha).stat().st_blocks
        self.create_md()

    def assert_untouched(self):
        now = self.image(self.alpha).stat()
        self.assertEqual((now.st_ino, now.st_size), (self.inode, self.size))
        with open(self.image(self.alpha), "rb") as image:
            self.assertEqual(image.read(len(self.content)), self.content)
            self.assertEqual(image.read().strip(b"\0"), b"")

    def test_the_adopted_side_is_copied_to_the_blank_one(self):
        self.adopt()
        self.assert_untouched()
        self.start_both()
        self.connect_both()
        self.alpha.ctl("primary", "vm1", "--force")
        self.synced()
        self.assertLess(self.bytes_replicated(self.alpha), 10 * MIB)
        self.stop_and_compare()
        self.assert_untouched()
        self.assertEqual(self.image(self.alpha).stat().st_blocks, self.blocks)

    def test_the_adopted_side_is_no_target_until_its_operator_says_so(self):
        self.adopt()
        self.start_both()
        self.connect_both()
        self.beta.refuses("primary", "vm1", "--force")
        self.beta.ctl("primary", "vm1", "--force", "--yes")
        self.wait_log(self.alpha, r"cannot replicate .*discard-my-data")
        self.assertRegex(self.wait_status(
            self.alpha, lambda _, peer: peer.get("last-error"), "the reason")
            ["connections"][0]["last-error"], "discard-my-data")
        self.assert_untouched()
        self.alpha.ctl("connect", "vm1", "--discard-my-data")
        self.synced()
        self.stop_and_compare()
        with open(self.image(self.alpha), "rb") as image:
            self.assertEqual(image.read(len(self.content)), bytes(len(self.content)))

    def test_two_adopted_images_are_never_merged(self):
        with open(self.image(self.beta), "wb") as image:
            image.write(b"other data" * 1000)
            image.truncate(self.size)
        self.adopt()
        self.start_both()
        self.connect_both()
        self.alpha.refuses("primary", "vm1", "--force")
        self.alpha.ctl("primary", "vm1", "--force", "--yes")
        self.wait_log(self.beta, r"cannot replicate .*discard-my-data")
        self.stop_both()
        self.assert_untouched()
        with open(self.image(self.beta), "rb") as image:
            self.assertEqual(image.read(10000), b"other data" * 1000)


if __name__ == "__main__":
    baton_test.main()
