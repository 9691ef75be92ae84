#!/usr/bin/python3
"""Goal: one node writes; the right to write moves when somebody asks for it, and every refusal names who
is in the way and what to do.
Method: two real daemons, batonctl, and clients that write while the baton moves."""
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import baton_test  # noqa: E402
from baton_pair import DEBIAN_FIRST, MIB, PairCase  # noqa: E402

WRITE_ON = """
h.connect_uri("{uri}")
try:
    while True:
        h.pwrite(bytes(4096), 0)
        print("written", flush=True)
except nbd.Error as error:
    print("failed", error.errno, flush=True)
"""


class Start(PairCase):
    def slow_down_the_metadata_of(self, node):
        """Every read of it takes a second from now on."""
        meta = self.folder / f"{node.name}.img.baton"
        stored = meta.rename(self.folder / f"{node.name}.slow")
        mount = self.folder / "mount"
        mount.mkdir()
        fuse = self.start(["nbdfuse", mount / "meta", "[", "nbdkit", "--exit-with-parent",
                           "--filter=delay", "file", stored, "rdelay=1", "]"])
        self.addCleanup(baton_test.run, ["umount", "--lazy", mount], check=False)
        self.wait_for((mount / "meta").exists, "nbdfuse")
        meta.symlink_to(mount / "meta")
        return fuse

    @baton_test.requires_root("a FUSE mount")
    @baton_test.requires_programs("nbdfuse", "nbdkit")
    def test_a_verb_sent_while_batond_starts_waits_for_the_resource(self):
        self.create_md()
        self.slow_down_the_metadata_of(self.alpha)
        self.beta.start()
        self.alpha.spawn()
        self.wait_for(lambda: baton_test.accepts(self.alpha.run_dir / "control.sock"),
                      "the control socket")
        shown = self.alpha.status()
        self.assertFalse(shown["up"], "status does not wait")
        self.assertEqual(shown["connections"][0]["connection-state"], "Connecting")
        self.connect_both()
        self.alpha.ctl("disconnect", "vm1")
        self.stop_both()


class Promotion(PairCase):
    def setUp(self):
        super().setUp()
        self.begin()

    def roles(self):
        return [node.status()["role"] for node in self.nodes]

    def test_a_second_primary_is_refused_and_the_first_is_named(self):
        before = self.beta.status()
        for options in ((), ("--force",), ("--force", "--yes")):
            with self.subTest(options=options):
                text = self.beta.refuses("primary", "vm1", *options)
                self.assertIn("Primary on alpha", text)
                self.assertRegex(text, "handover|demote")
        self.assertEqual(self.beta.status(), before)
        self.assertEqual(self.roles(), ["Primary", "Secondary"])
        self.alpha.ctl("primary", "vm1")  # is it already: done
        self.stop_and_compare()

    def test_after_secondary_here_the_other_may_be_primary_and_back(self):
        handshakes = [len(self.verdicts(node)) for node in self.nodes]
        for first, second in ((self.alpha, self.beta), (self.beta, self.alpha)) * 2:
            first.ctl("secondary", "vm1")
            self.assertEqual(self.roles(), ["Secondary", "Secondary"])
            second.ctl("primary", "vm1")
            self.assertEqual(second.status()["role"], "Primary")
            self.assertEqual(second.status()["baton"]["holder"], second.name)
            self.wait_status(first, lambda status, peer: peer["peer-role"] == "Primary" and
                             status["baton"]["holder"] == second.name, "the other's promotion")
            self.qemu_io(second, "write -P 7 1M 64k")
        self.alpha.ctl("secondary", "vm1")
        self.alpha.ctl("primary", "vm1")
        self.qemu_io(self.alpha, "write -P 8 1M 64k")
        # Changing roles is no reason to part, to make a generation, or to copy (rule 8).
        for node in self.nodes:
            self.assertNotIn("going on without", node.daemon.log())
            self.assertNotRegex(node.daemon.log(), "without holding the baton")
        self.assertEqual([len(self.verdicts(node)) for node in self.nodes], handshakes,
                         "the session of the beginning is still on")
        self.stop_and_compare()
        self.assertEqual(len(self.dump(self.alpha)["lineage"]), 2, "root and first generation")

    @baton_test.requires_programs("nbdsh")
    def test_secondary_is_refused_while_a_client_has_unflushed_writes(self):
        writer = self.start_writer(self.alpha, offset=0, blocks=64, flush_every=0, count=20)
        writer.wait_idle()
        text = self.alpha.refuses("secondary", "vm1")
        self.assertIn("unix client, pid", text)
        self.assertIn("--force", text)
        (client,) = self.alpha.status()["clients"]
        self.assertIn(client, text, "the client's name as status shows it")
        self.assertEqual(self.roles(), ["Primary", "Secondary"])
        self.alpha.ctl("secondary", "vm1", "--force")
        self.assertEqual(self.roles(), ["Secondary", "Secondary"])
        self.beta.ctl("primary", "vm1")
        writer.end()
        self.stop_and_compare()
        writer.assert_written_in(self.image(self.beta))

    @baton_test.requires_programs("nbdsh")
    def test_a_client_that_flushed_does_not_keep_the_role(self):
        writer = self.start_writer(self.alpha, offset=0, blocks=64, flush_every=1, count=20)
        writer.wait_idle()
        self.alpha.ctl("secondary", "vm1")
        self.assertEqual(self.roles(), ["Secondary", "Secondary"])
        self.assertEqual(len(self.alpha.status()["clients"]), 1, "attached clients stay")
        self.stop_and_compare()

    @baton_test.requires_programs("qemu-io")
    def test_after_a_clean_stop_of_the_primary_the_other_needs_no_force(self):
        self.qemu_io(self.alpha, "write -P 0x21 0 2M")
        self.alpha.stop()
        self.wait_disconnected(self.beta)
        self.assertEqual(self.disk_state(self.beta), "UpToDate", "the one that stopped left the baton")
        self.beta.ctl("primary", "vm1")
        self.qemu_io(self.beta, "read -P 0x21 0 2M", "write -P 0x22 4M 1M")
        self.alpha.start()
        self.synced()
        self.assertEqual(self.roles(), ["Secondary", "Primary"])
        self.assertIn("fast-forward-by-bitmap", [data for data, _ in self.verdicts(self.alpha)])
        self.qemu_io(self.alpha, "read -P 0x22 4M 1M")
        self.stop_and_compare()

    def test_the_last_to_stop_may_go_on_without_force_and_the_first_may_not(self):
        self.beta.stop()
        self.wait_disconnected(self.alpha)
        self.qemu_io(self.alpha, "write -P 0x31 0 1M")
        self.alpha.stop()
        # beta alone: it cannot know what alpha wrote since.
        self.beta.start()
        self.assertEqual(self.disk_state(self.beta), "Consistent")
        before = self.files()
        text = self.beta.refuses("primary", "vm1")
        self.assertIn("--force", text)
        text = self.beta.refuses("primary", "vm1", "--force")  # no terminal: nobody to ask
        self.assertIn("--yes", text)
        self.assertIn("lost", text, "the risk is named")
        self.assertEqual(self.beta.status()["role"], "Secondary")
        self.assertEqual(self.files(), before, "nothing was changed on disk")
        self.beta.stop()
        # alpha alone: nobody can have written since it stopped.
        self.alpha.start()
        self.assertEqual(self.disk_state(self.alpha), "UpToDate")
        self.alpha.ctl("primary", "vm1")
        self.beta.start()
        self.synced()
        self.stop_and_compare()

    def test_a_consistent_copy_is_promoted_with_force_and_yes(self):
        self.end_by_sigkill(self.alpha)
        self.wait_disconnected(self.beta)
        self.assertEqual(self.disk_state(self.beta), "Consistent")
        self.beta.refuses("primary", "vm1")
        self.beta.refuses("primary", "vm1", "--force")
        self.beta.ctl("primary", "vm1", "--force", "--yes")
        self.assertEqual(self.beta.status()["role"], "Primary")
        self.qemu_io(self.beta, "write -P 0x41 0 1M")
        self.beta.stop()

    def test_a_killed_primary_that_comes_back_is_primary_again(self):
        self.qemu_io(self.alpha, "write -P 0x51 0 1M")
        self.end_by_sigkill(self.alpha)
        self.wait_disconnected(self.beta)
        self.alpha.start()
        self.synced()
        self.wait_status(self.alpha, lambda status, _: status["role"] == "Primary",
                         "the role of before (auto-resume)")
        self.qemu_io(self.alpha, "read -P 0x51 0 1M", "write -P 0x52 1M 1M")
        self.stop_and_compare()


class FreshPair(PairCase):
    def test_force_asks_nothing_on_a_fresh_pair(self):
        self.create_md()
        self.start_both()
        self.connect_both()
        self.assertIn("primary --force", self.beta.refuses("primary", "vm1"))
        self.beta.ctl("primary", "vm1", "--force")
        self.synced()
        self.assertEqual(self.beta.status()["baton"]["holder"], "beta")
        self.stop_and_compare()

    def test_force_over_the_others_data_wants_yes(self):
        content = random.Random(3).randbytes(4 * MIB)
        with open(self.image(self.beta), "wb") as image:
            image.write(content)
            image.truncate(self.size)
        self.create_md()
        self.start_both()
        self.connect_both()
        text = self.alpha.refuses("primary", "vm1", "--force")
        self.assertIn("holds data", text)
        self.assertIn("--yes", text)
        self.assertEqual(self.alpha.status()["role"], "Secondary")
        # Even then the data is not overwritten: that takes a word on the node that has it.
        self.alpha.ctl("primary", "vm1", "--force", "--yes")
        baton_test.wait_for(lambda: self.connection(self.alpha).get("last-error"), "a refusal")
        self.wait_log(self.beta, "discard-my-data")
        with open(self.image(self.beta), "rb") as image:
            self.assertEqual(image.read(len(content)), content)
        self.stop_both()


class Handover(PairCase):
    """The baton moves while both nodes' clients stay attached."""
    options = 'secret = "of this test"\nfence-hold = "60s"'

    def setUp(self):
        super().setUp()
        self.begin()

    @baton_test.requires_programs("nbdsh")
    def test_back_and_forth_with_a_writer_on_each_node(self):
        blocks = 2048
        first = self.start_writer(self.alpha, offset=0, blocks=blocks)
        first.wait_written(200)
        second = None
        for turn in range(3):
            with self.subTest(turn=turn):
                # Given by the holder first, then taken by the node that wants it.
                (self.beta if turn else self.alpha).ctl("handover", "vm1", "--to", "beta")
                self.assertEqual(self.beta.status()["role"], "Primary")
                self.assertEqual(self.alpha.status()["role"], "Secondary")
                self.wait_status(self.alpha, lambda status, _: status["held-writes"]["count"] == 1,
                                 "the source's write is held, not failed")
                held = first.written()
                if second is None:
                    second = self.start_writer(self.beta, offset=32 * MIB, blocks=blocks)
                second.wait_written(200)
                self.assertEqual(first.written(), held, "one node writes at a time")
                self.assertIn("baton", self.alpha.status()["held-writes"]["reason"])
                (self.beta if turn else self.alpha).ctl("handover", "vm1", "--to", "alpha")
                self.assertEqual(self.alpha.status()["role"], "Primary")
                first.wait_written(200)
                self.wait_status(self.beta, lambda status, _: status["held-writes"]["count"] == 1,
                                 "the destination's write is held")
        for node in self.nodes:
            self.assertNotIn("going on without", node.daemon.log())
        self.assertIsNone(second.failure(), second.process.log_tail())
        # The writer's node first: had the other one left before it, the writer would have gone on
        # without that copy.
        self.alpha.stop()
        self.beta.stop()
        self.assert_same_images()
        for writer in (first, second):
            writer.assert_written_in(self.image(self.alpha))

    @baton_test.requires_programs("fio")
    def test_fio_at_the_source_is_held_and_finishes_after_the_way_back(self):
        fio = self.start_fio(self.alpha, "--rw=randwrite", "--bs=4k", "--size=32M",
                             "--io_size=32M", "--do_verify=1", "--rate_iops=4000")
        before = self.alpha.status()["bytes-replicated"]
        self.wait_status(self.alpha, lambda status, _: status["bytes-replicated"] > before + MIB,
                         "fio's writes")
        self.alpha.ctl("handover", "vm1")
        self.assertEqual(self.beta.status()["role"], "Primary")
        self.wait_status(self.alpha, lambda status, _: status["held-writes"]["count"] > 0,
                         "held writes")
        self.qemu_io(self.beta, "write -P 0x77 48M 1M", "read -P 0x77 48M 1M")
        self.assertTrue(fio.is_running(), fio.log_tail())
        self.alpha.ctl("handover", "vm1", "--to", "alpha")
        self.assertEqual(fio.wait(100), 0, fio.log_tail())
        self.qemu_io(self.alpha, "read -P 0x77 48M 1M")
        self.stop_and_compare()

    @baton_test.requires_programs("nbdsh")
    def test_under_protocol_a_nothing_acknowledged_is_missing_after_a_handover(self):
        self.stop_both()
        self.write_config(protocol="A")
        self.start_both()
        self.synced()
        self.alpha.ctl("primary", "vm1")
        writer = self.start_writer(self.alpha, offset=0, blocks=1024, flush_every=0)
        writer.wait_written(500)
        self.alpha.ctl("handover", "vm1")
        self.wait_status(self.alpha, lambda status, _: status["held-writes"]["count"] == 1, "held")
        writer.end()
        self.end_by_sigkill(self.alpha)
        written = self.path("beta.raw")
        baton_test.run(["nbdcopy", self.uri(self.beta), written])
        writer.assert_written_in(written)
        self.beta.stop()

    def test_handover_to_nobody_names_the_nodes(self):
        text = self.alpha.refuses("handover", "vm1", "--to", "gamma")
        self.assertIn("gamma", text)
        self.assertIn("beta", text)
        self.assertEqual(self.alpha.status()["role"], "Primary")
        self.beta.stop()
        self.wait_disconnected(self.alpha)
        self.assertIn("not connected to beta", self.alpha.refuses("handover", "vm1"))
        self.alpha.stop()

    def test_writes_held_too_long_end_with_enospc(self):
        self.stop_both()
        self.options = 'secret = "of this test"\nfence-hold = "2s"'
        self.write_config()
        self.start_both()
        self.synced()
        self.alpha.ctl("primary", "vm1")
        writer = self.start_writer(self.alpha, offset=0, blocks=256)
        writer.wait_written(50)
        self.alpha.ctl("handover", "vm1")
        baton_test.wait_for(writer.failure, "the end of the held write", timeout=20)
        self.assertEqual(writer.failure(), "ENOSPC", "QEMU pauses its guest on this one")
        self.stop_and_compare()
        writer.assert_written_in(self.image(self.beta))


    @baton_test.requires_programs("nbdsh")
    def test_a_write_that_is_held_is_not_answered_by_a_stop(self):
        """An error would reach a guest; a client whose connection ends asks again. At either listener."""
        uris = [self.uri(self.alpha), self.tcp_uri(self.alpha)]
        clients = [self.start(["nbdsh", "-c", WRITE_ON.format(uri=uri)], name=f"client-{at}", env=DEBIAN_FIRST)
                   for at, uri in enumerate(uris)]
        for client in clients:
            client.wait_for_line("^written")
        self.alpha.ctl("handover", "vm1")
        self.wait_status(self.alpha, lambda status, _: status["held-writes"]["count"] == 2, "two held writes")
        self.alpha.stop()
        for client in clients:
            self.assertEqual(client.wait(20), 0, client.log_tail())
            self.assertRegex(client.log(), "(?m)^failed")
            self.assertNotIn("ESHUTDOWN", client.log())


if __name__ == "__main__":
    baton_test.main()
