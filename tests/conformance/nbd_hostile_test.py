"""What no library sends, over a real socket. The rows of the unit tests that need a real process:
it lives, and others are served meanwhile."""
import struct

import nbd

from nbd_server_case import SIZE, RawClient, ServerCase, baton_test

MIB = 1 << 20
EINVAL, ENOSPC = 22, 28


class Hostile(ServerCase):
    def client(self, go=True):
        client = RawClient(self.socket_path)
        self.addCleanup(client.socket.close)
        if go:
            client.go()
        return client

    def others_are_served(self):
        handle = nbd.NBD()
        handle.connect_uri(self.uri())
        handle.pwrite(b"fine", 0)
        self.assertEqual(handle.pread(4, 0), bytearray(b"fine"))
        handle.shutdown()

    def test_handshakes_that_cannot_be_followed_are_closed(self):
        rows = {
            "unknown client flag": struct.pack(">I", 1 << 5),
            "bad option magic": struct.pack(">IQII", 3, 1, 1, 0),
            "option of 256 MiB": struct.pack(">IQII", 3, RawClient.IHAVEOPT, 99, 256 * MIB),
            "CVE-2019-14851 request before GO": struct.pack(">IIHHQQI", 3, 0x25609513, 0, 0, 1, 0,
                                                            512),
        }
        for name, data in rows.items():
            with self.subTest(name):
                client = self.client(go=False)
                client.send(data)
                self.assertTrue(client.is_closed())
        self.others_are_served()

    def test_handshakes_that_can_be_answered_go_on(self):
        unknown, invalid = 0x80000006, 0x80000003
        rows = {
            "CVE-2022-26495 name length 0xffffffff": (struct.pack(">I", 0xFFFFFFFF) + b"disk\0\0",
                                                      invalid),
            "CVE-2022-26496 name of 5000 bytes": (struct.pack(">I", 5000) + b"x" * 5000 + b"\0\0",
                                                  invalid),
            "CVE-2017-15118 name of 4096 bytes": (struct.pack(">I", 4096) + b"x" * 4096 + b"\0\0",
                                                  unknown),
        }
        client = self.client(go=False)
        client.send(struct.pack(">I", 3))
        for name, (data, answer) in rows.items():
            with self.subTest(name):
                client.option(7, data)
                self.assertEqual(client.answer()[0], answer)
        for _ in range(20):  # two thousand in all; answers are read, or both sides would wait
            for _ in range(100):
                client.option(4711)
            for _ in range(100):
                self.assertEqual(client.answer()[0], 0x80000001)
        client.option(2)
        self.assertEqual(client.answer()[0], 1)
        self.assertTrue(client.is_closed())

    def test_refused_requests_leave_the_connection_in_step(self):
        client = self.client()
        for command, offset, length, flags, error in (
                (99, 0, 0, 0, EINVAL), (0, 0, 512, 1 << 15, EINVAL), (0, SIZE, 512, 0, EINVAL),
                (0, 2**64 - 512, 1024, 0, EINVAL), (4, 2**64 - 512, 1024, 0, EINVAL),
                (7, 0, 512, 0, EINVAL), (0, 0, 65 * MIB, 0, EINVAL)):
            client.request(command, offset, length, flags)
            self.assertEqual(client.reply(), error, (command, offset, length))
        for offset, length, error in ((SIZE, 4096, ENOSPC), (2**64 - 512, 1024, ENOSPC),
                                      (0, 65 * MIB, EINVAL)):
            client.request(1, offset, length, data=bytes(length))
            self.assertEqual(client.reply(), error)
        client.request(3, 7, 7)
        self.assertEqual(client.reply(), 0)

    def test_a_request_without_its_magic_number_ends_the_connection(self):
        client = self.client()
        client.send(bytes(28))
        self.assertTrue(client.is_closed())
        self.others_are_served()

    def test_half_a_write_never_happened(self):
        client = self.client()
        client.request(1, 0, MIB, data=b"x" * (MIB - 1))
        client.socket.close()
        handle = nbd.NBD()
        handle.connect_uri(self.uri())
        self.assertEqual(handle.pread(MIB, 0), bytearray(MIB))
        handle.shutdown()

    def test_requests_before_disc_are_answered_then_it_closes_without_a_reply(self):
        client = self.client()
        for cookie in range(64):
            client.request(3, 0, 0, cookie=cookie)
        client.request(2, 2**64 - 1, 2**32 - 1)
        for _ in range(64):
            self.assertEqual(client.reply(), 0)
        self.assertTrue(client.is_closed())

    def test_a_client_that_never_reads_hurts_nobody(self):
        client = self.client()
        client.socket.settimeout(0.2)
        try:
            for cookie in range(10_000):
                client.request(0, 0, MIB, cookie=cookie)
        except TimeoutError:
            pass  # the server has stopped reading from it, as it should
        else:
            self.fail("the server took 10 GB of requests")
        self.others_are_served()

    # CVE-2024-7409: silent clients hold their connection open, also while the server stops.
    def test_a_silent_client_is_closed_after_ten_seconds_and_does_not_delay_a_stop(self):
        first = self.client(go=False)
        self.assertTrue(first.is_closed())
        self.client(go=False)
        # sees_everybody_off() stops the server with the second one connected.


if __name__ == "__main__":
    baton_test.main()
