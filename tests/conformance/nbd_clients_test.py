"""The clients that people use, each doing what it is used for, against our NBD server."""
import json
import os

import nbd

from nbd_server_case import SIZE, ServerCase, baton_test

MIB = 1 << 20


class Clients(ServerCase):
    @baton_test.requires_programs("nbdinfo")
    def test_nbdinfo_sees_every_export_and_every_flag(self):
        told = json.loads(baton_test.run(["nbdinfo", "--json", self.uri()]).stdout)
        export = told["exports"][0]
        self.assertEqual(export["export-size"], SIZE)
        self.assertEqual(export["description"], "the test disk")
        self.assertEqual(export["block_size_minimum"], 1)
        self.assertEqual(export["block_size_preferred"], 4096)
        self.assertEqual(export["block_size_maximum"], 64 * MIB)
        self.assertEqual(export["contexts"], ["base:allocation"])
        for flag in "cache df fast_zero flush fua multi_conn trim zero".split():
            self.assertTrue(export[f"can_{flag}"], flag)
        self.assertFalse(export["is_read_only"])
        listed = json.loads(baton_test.run(["nbdinfo", "--list", "--json", self.tcp_uri("")]).stdout)
        self.assertEqual([e["export-name"] for e in listed["exports"]], ["disk", "vm1/1"])

    @baton_test.requires_programs("nbdinfo")
    def test_nbdinfo_maps_holes(self):
        handle = nbd.NBD()
        handle.connect_uri(self.uri())
        handle.pwrite(b"x" * 4096, 8 * MIB)
        handle.shutdown()
        extents = json.loads(baton_test.run(["nbdinfo", "--map", "--json", self.uri()]).stdout)
        data = [(e["offset"], e["length"]) for e in extents if e["type"] == 0]
        self.assertEqual(data, [(8 * MIB, 4096)])
        self.assertEqual(sum(e["length"] for e in extents), SIZE)

    def test_a_name_with_a_slash_and_the_default_export(self):
        for uri, size in ((self.uri("vm1/1"), MIB), (self.uri(""), SIZE)):
            handle = nbd.NBD()
            handle.connect_uri(uri)
            self.assertEqual(handle.get_size(), size)
            handle.shutdown()

    def test_an_unknown_export_is_refused_with_what_there_is(self):
        handle = nbd.NBD()
        with self.assertRaises(nbd.Error) as caught:
            handle.connect_uri(self.uri("vm2"))
        self.assertEqual(caught.exception.errno, "ENOENT")

    @baton_test.requires_programs("qemu-io")
    def test_qemu_io_reads_what_it_wrote_discarded_and_zeroed(self):
        for uri in (self.uri(), self.tcp_uri()):
            done = baton_test.run(["qemu-io", "-f", "raw", uri,
                                   "-c", "write -P 0x11 0 1M", "-c", "read -P 0x11 0 1M",
                                   "-c", "write -P 0x22 4095 3", "-c", "read -P 0x22 4095 3",
                                   "-c", "flush",
                                   "-c", "discard 64k 64k", "-c", "read -P 0 64k 64k",
                                   "-c", "write -z -u 0 32k", "-c", "read -P 0 0 32k",
                                   "-c", "write -f -P 2 1M 4k", "-c", "read -P 2 1M 4k",
                                   "-c", "aio_write -P 3 2M 16M", "-c", "aio_flush",
                                   "-c", "read -P 3 2M 16M"])
            self.assertNotIn("failed", done.stdout + done.stderr)

    @baton_test.requires_programs("qemu-img")
    def test_qemu_img_converts_compares_maps_and_benchmarks(self):
        image = self.folder / "image.raw"
        image.write_bytes(os.urandom(3 * MIB))
        os.truncate(image, SIZE)
        baton_test.run(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, self.uri()])
        baton_test.run(["qemu-img", "compare", "-f", "raw", "-F", "raw", image, self.uri()])
        extents = json.loads(baton_test.run(
            ["qemu-img", "map", "--output=json", "-f", "raw", self.uri()]).stdout)
        self.assertEqual([e["zero"] for e in extents], [False, True])
        baton_test.run(["qemu-img", "bench", "-f", "raw", "-t", "none", "-d", "16", "-c", "2000",
                        "-s", "4096", "-w", "--flush-interval=100", self.uri()])

    @baton_test.requires_programs("nbdcopy")
    def test_nbdcopy_copies_there_and_back_over_many_connections(self):
        image, copy = self.folder / "image.raw", self.folder / "copy.raw"
        image.write_bytes(os.urandom(20 * MIB) + bytes(SIZE - 20 * MIB))
        baton_test.run(["nbdcopy", "-C", "4", "-R", "64", "--request-size=1048576", "--flush",
                        image, self.uri()])
        copy.touch()
        baton_test.run(["nbdcopy", self.tcp_uri(), copy])
        self.assertEqual(image.read_bytes(), copy.read_bytes())

    @baton_test.requires_programs("fio")
    def test_fio_verifies_what_it_wrote(self):
        for block, depth in (("512", 16), ("4k", 32), ("13k", 8), ("1m", 16)):
            with self.subTest(block=block):
                baton_test.run(["fio", "--name=verify", "--ioengine=nbd", f"--uri={self.uri()}",
                                "--rw=randwrite", f"--bs={block}", f"--iodepth={depth}",
                                "--size=16M", "--verify=crc32c", "--do_verify=1",
                                "--verify_fatal=1", "--verify_state_save=0"], cwd=self.folder)
        baton_test.run(["fio", "--name=trim", "--ioengine=nbd", f"--uri={self.uri()}",
                        "--rw=randtrim", "--bs=64k", "--iodepth=16", "--size=16M", "--fsync=8"],
                       cwd=self.folder)


class Library(ServerCase):
    """libnbd with its own checks switched off, so that ours are the ones that are seen."""

    def setUp(self):
        super().setUp()
        self.handle = nbd.NBD()
        self.handle.set_strict_mode(0)
        self.handle.add_meta_context("base:allocation")
        self.handle.connect_uri(self.uri())

    def fails_with(self, errno, call, *arguments, **options):
        with self.assertRaises(nbd.Error) as caught:
            call(*arguments, **options)
        self.assertEqual(caught.exception.errno, errno)

    def test_what_passes_the_end_is_refused_and_the_connection_goes_on(self):
        h = self.handle
        self.fails_with("EINVAL", h.pread, 512, SIZE)
        self.fails_with("ENOSPC", h.pwrite, bytes(512), SIZE - 511)
        self.fails_with("ENOSPC", h.zero, 512, SIZE)
        self.fails_with("EINVAL", h.trim, 512, SIZE)
        self.fails_with("EINVAL", h.cache, 512, SIZE)
        self.assertEqual(h.pread(512, SIZE - 512), bytearray(512))

    def test_flags_that_do_not_belong_are_refused(self):
        h = self.handle
        self.fails_with("EINVAL", h.pwrite, bytes(512), 0, nbd.CMD_FLAG_NO_HOLE)
        self.fails_with("EINVAL", h.trim, 512, 0, nbd.CMD_FLAG_FAST_ZERO)
        self.fails_with("EINVAL", h.pread, 512, 0, nbd.CMD_FLAG_REQ_ONE)
        h.pwrite(bytes(512), 0, nbd.CMD_FLAG_FUA)
        h.zero(512, 0, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FUA)
        h.trim(512, 0, nbd.CMD_FLAG_FUA)
        self.assertEqual(h.pread(512, 0, nbd.CMD_FLAG_DF), bytearray(512))

    def test_unaligned_and_empty_requests_are_served(self):
        h = self.handle
        h.pwrite(b"abc", 4095)
        self.assertEqual(h.pread(5, 4094), bytearray(b"\0abc\0"))
        h.zero(1, 4096)
        self.assertEqual(h.pread(3, 4095), bytearray(b"a\0c"))
        h.flush()
        h.cache(0, 0)

    def test_sixty_four_mebibytes_go_in_one_request(self):
        data = os.urandom(MIB) * 64
        self.handle.pwrite(data, 0)
        self.assertEqual(self.handle.pread(64 * MIB, 0, nbd.CMD_FLAG_DF), data)

    def test_block_status_covers_what_was_asked_or_one_extent(self):
        h = self.handle
        h.pwrite(b"x" * 8192, 4096)
        seen = []
        h.block_status(65536, 0, lambda *told: seen.append(told))
        self.assertEqual(seen[0][2], [4096, 3, 8192, 0, 53248, 3])
        seen.clear()
        h.block_status(65536, 0, lambda *told: seen.append(told), nbd.CMD_FLAG_REQ_ONE)
        self.assertEqual(seen[0][2], [4096, 3])

    def test_many_requests_in_flight_keep_their_data_apart(self):
        h = self.handle
        blocks = [os.urandom(4096) for _ in range(256)]
        pending = [h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(block)), i * 4096)
                   for i, block in enumerate(blocks)]
        while h.aio_in_flight() > 0:
            h.poll(-1)
        for cookie in pending:
            self.assertTrue(h.aio_command_completed(cookie))
        self.assertEqual(h.pread(256 * 4096, 0), b"".join(blocks))


class OptionMode(ServerCase):
    def test_info_list_contexts_and_abort_leave_the_server_ready(self):
        h = nbd.NBD()
        h.set_opt_mode(True)
        h.connect_uri(self.uri())
        names = []
        self.assertEqual(h.opt_list(lambda name, description: names.append((name, description))), 2)
        self.assertEqual(names, [("disk", "the test disk"), ("vm1/1", "")])
        h.set_export_name("vm1/1")
        h.opt_info()
        self.assertEqual(h.get_size(), MIB)
        contexts = []
        h.opt_list_meta_context(contexts.append)
        self.assertEqual(contexts, ["base:allocation"])
        h.set_export_name("nowhere")
        self.assertRaises(nbd.Error, h.opt_info)
        h.set_export_name("disk")
        h.opt_go()
        self.assertEqual(h.get_size(), SIZE)
        h.shutdown()
        h = nbd.NBD()
        h.set_opt_mode(True)
        h.connect_uri(self.uri())
        h.opt_abort()

    def test_simple_replies_and_export_name_serve_old_clients(self):
        h = nbd.NBD()
        h.set_request_structured_replies(False)
        h.set_handshake_flags(0)  # neither fixed newstyle nor NO_ZEROES: EXPORT_NAME is used
        h.connect_uri(self.uri())
        self.assertEqual(h.get_protocol(), "newstyle")
        h.pwrite(b"old" * 512, 512)
        self.assertEqual(h.pread(1536, 512), bytearray(b"old" * 512))
        h.shutdown()


if __name__ == "__main__":
    baton_test.main()
